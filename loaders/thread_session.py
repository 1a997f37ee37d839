"""Loaders whose library makes batches in threads of the consumer's process: each thread has a trace of its own.

The library schedules: it takes requests, calls `ThreadMaker.make` in whichever of its threads is free, and hands over
what that returned. So batches carry the stamps, operations and kernel counters of the thread that made them, and the
threads are the run's workers, numbered in the order in which they first made a batch.
"""

from __future__ import annotations

import pickle
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from types import TracebackType
from typing import Protocol, cast

from ioprof.loaders.torch_map_session import Request, StampedBatches
from ioprof.loaders.torch_session import Envelope, joined, unwrapped
from ioprof.loaders.worker_process import CLOSING_S

from ioprof.contract import Batch, DeadWorker, LoadJob, SampleReader, WorkerJob
from ioprof.errors import CaveatWarning, RunError
from ioprof.host.thread_io import ThreadIo
from ioprof.trace.batch_trace import BatchStamps, BatchTrace

Made = Envelope | Exception
"""What a thread has made of a request; what failed travels as it is, because a library may drop or reword an error."""


class _Failure:
    """Keeps the error that ends a block, which ends quietly; an interrupt goes on."""

    error: Exception

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> bool:
        if not isinstance(error, Exception):
            return False
        self.error = error
        return True


class ThreadWorker:
    """One thread's reader and trace."""

    def __init__(self, job: WorkerJob, number: int) -> None:
        # A copy: a reader is used from one worker at a time.
        self._reader = cast("SampleReader", pickle.loads(pickle.dumps(job.source)))  # noqa: S301 - made here
        self._io = ThreadIo()
        self.trace = BatchTrace(job, number, io=self._io)

    def serve_here(self) -> None:
        """Serve the calling thread from now on."""
        self._io.follow()

    def read(self, samples: Sequence[int]) -> Sequence[bytes | memoryview]:
        """Read and decode samples of the batch that the trace has begun."""
        return self._reader.read(self.trace.tap, samples)

    def sealed(self, content: Sequence[bytes | memoryview]) -> Envelope:
        """Join the samples of the batch, all of which are read."""
        self.trace.fetched()
        envelope = joined(content), self.trace.end_packed(len(content))
        # The library ends its threads when it likes: what a thread has read is not to be learnt from it afterwards.
        self._io.read()
        return envelope

    def made(self, request: Request) -> Envelope:
        """Make one batch."""
        epoch, number, samples, is_last = request
        self.trace.begin(epoch, number)
        content = self.read(samples)
        if is_last:
            self.trace.end_epoch()
        return self.sealed(content)


class ThreadMaker:
    """Makes batches in whichever thread it is called."""

    def __init__(self, job: WorkerJob) -> None:
        self._job = job
        self._own = threading.local()
        self._lock = threading.Condition()
        self._making = 0
        """Batches that are being made now."""
        self._is_open = True
        self._workers: list[ThreadWorker] = []
        self._idle: list[ThreadWorker] = []
        """Those whose threads ended with an epoch, the first to be taken last."""

    def make(self, request: Request) -> Made:
        """Make the batch of a request, or return what went wrong."""
        failure = _Failure()
        with failure, self.worker() as worker:
            return worker.made(request)
        return failure.error

    @contextmanager
    def worker(self) -> Iterator[ThreadWorker]:
        """Lend the calling thread its own reader and trace; `close` waits until it gives them back.

        Raises:
            RunError: the loader is closed.
        """
        with self._lock:
            if not self._is_open:
                raise RunError("the loader was closed before this batch was made")
            self._making += 1
        try:
            yield self._here()
        finally:
            with self._lock:
                self._making -= 1
                self._lock.notify_all()

    def _here(self) -> ThreadWorker:
        worker = getattr(self._own, "worker", None)
        if not isinstance(worker, ThreadWorker):
            with self._lock:
                worker = self._own.worker = self._idle.pop() if self._idle else self._opened()
            worker.serve_here()
        return worker

    def _opened(self) -> ThreadWorker:
        # Numbered only once it is open: one that cannot be opened takes no number.
        worker = ThreadWorker(self._job, len(self._workers))
        self._workers.append(worker)
        return worker

    def end_epoch(self) -> None:
        """No thread makes a batch any more: let go of what is mapped, and take each thread's last counters."""
        for worker in self._workers:
            worker.trace.tap.unmap()
            worker.trace.note_last_io()
        self._own, self._idle = threading.local(), self._workers[::-1]

    def close(self) -> None:
        """Make nothing any more, and close all traces; one whose thread is stuck in a read stays as it is."""
        with self._lock:
            self._is_open = False
            is_quiet = self._lock.wait_for(lambda: not self._making, CLOSING_S)
        workers, self._workers, self._idle = self._workers, [], []
        if not is_quiet:
            warnings.warn(
                f"threads were still reading {CLOSING_S:.0f} s after the loader was closed: their last counters are "
                "missing.",
                CaveatWarning,
                stacklevel=2,
            )
            return
        for worker in workers:
            worker.trace.close()


class Epoch(Protocol):
    """One epoch under way in a library: what it delivers, and how it is ended."""

    def __iter__(self) -> Iterator[Made]: ...

    def close(self) -> None:
        """End it, if it has not; when this returns, no thread makes a batch."""
        ...


Engine = Callable[[Iterable[Request], Callable[[Request], Made]], Epoch]
"""A library: starts an epoch of these requests, each made by that function in a thread of the library's."""


class ThreadSession:
    """An open loader whose batches are made in threads."""

    def __init__(self, job: LoadJob, threads: int, engine: Engine) -> None:
        self._requests = StampedBatches(job, threads)
        self._maker = ThreadMaker(job.worker)
        self._engine = engine
        self._epoch: Epoch | None = None

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Deliver one epoch.

        Raises:
            Exception: what a thread met, as it was raised there.
        """
        self._requests.start(epoch)
        self._epoch = running = self._engine(self._requests, self._maker.make)
        with closing(running):
            for made in running:
                if isinstance(made, Exception):
                    raise made
                batch = unwrapped(made, self._dispatched_ns)
                del made
                yield batch
                del batch
        self._maker.end_epoch()

    def _dispatched_ns(self, stamps: BatchStamps) -> int:
        return self._requests.dispatched_ns.pop(stamps.number, -1)

    def process_ids(self) -> list[int]:
        """Return nothing: batches are made in this process."""
        return []

    def dead_workers(self) -> list[DeadWorker]:
        """Return nothing: threads do not die alone."""
        return []

    def close(self) -> None:
        """End the epoch under way and close the traces; safe to call twice."""
        if self._epoch is not None:
            self._epoch.close()
            self._epoch = None
        self._maker.close()
