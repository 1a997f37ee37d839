"""Worker threads that are asked for batches in turn and hand over what they read; or none, and the consumer reads.

Nothing is copied on the way: samples stay where they were read to, or are joined into as many tensors as are wanted.
"""

from __future__ import annotations

import pickle
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from queue import SimpleQueue
from typing import cast

import numpy as np
from ioprof.loaders.batch_makers import Request, Samples, maker_of, reads_natively, share_of, untapped
from ioprof.loaders.turns_session import Made, TurnsSession
from ioprof.loaders.worker_process import CLOSING_S

from ioprof.clock import now_ns
from ioprof.contract import Batch, DeadWorker, Indices, LoadJob, QueueOccupancy, SampleReader, SampleStream
from ioprof.errors import CaveatWarning, RunError
from ioprof.host.thread_io import ThreadIo
from ioprof.trace.batch_trace import BatchTrace

Joined = Callable[[Samples], object]
"""Makes a batch's payload of its samples."""


class OwnBatches:
    """Makes the batches of one worker, in the thread that made this."""

    def __init__(self, job: LoadJob, worker: int, workers: int, order: Indices | None, join: Joined | None) -> None:
        # A copy: a reader is used from one worker at a time.
        source = cast("SampleReader | SampleStream", pickle.loads(pickle.dumps(job.worker.source)))  # noqa: S301 - own
        own = replace(job.worker, source=source)
        self.trace = BatchTrace(own, worker, io=_own_io() if worker >= 0 else None)
        self._maker = maker_of(own, share_of(job, worker, workers), self.trace, order)
        self._join = join
        self._natively = reads_natively(source)

    def made(self, request: Request) -> Made | None:
        """Make a batch; None: there are no more."""
        samples = self._maker.fetch(request)
        if samples is None:
            return None
        if self._join is None:
            data, stamps = cast("object", samples), self.trace.end_unjoined(len(samples))
        else:
            data = self._join(samples)
            stamps = self.trace.end(len(samples))
        return data, untapped(stamps, samples) if self._natively else stamps


def _own_io() -> ThreadIo:
    """Return what counts the calling thread's I/O."""
    counters = ThreadIo()
    counters.follow()
    return counters


class _Worker:
    """A thread, and what goes to and comes from it."""

    def __init__(self, make: Callable[[], OwnBatches], number: int) -> None:
        self.requests: SimpleQueue[Request | None] = SimpleQueue()
        self.results: SimpleQueue[tuple[int, Made | None] | Exception] = SimpleQueue()
        self.delivery = 0
        self._make = make
        # A daemon: one that is stuck in a dead file server must not keep the program from ending.
        self.thread = threading.Thread(target=self._work, name=f"ioprof-worker-{number}", daemon=True)
        self.thread.start()

    def _work(self) -> None:
        """Answer requests until told to end; what fails is raised by the consumer, as it is."""
        batches: OwnBatches | None = None
        try:
            batches = self._make()
            while (request := self.requests.get()) is not None:
                if request.delivery == self.delivery:
                    self.results.put((request.number, batches.made(request)))
        except Exception as error:  # noqa: BLE001 - whatever it is, the consumer raises it
            self.results.put(error)
        finally:
            if batches is not None:
                batches.trace.close()


class _InOneProcess(TurnsSession):
    """What threads and the consumer's own thread have in common: they see the order where it is."""

    _order: Indices | None = None

    def _prepare(self, order: Indices | None) -> None:
        if order is None:
            return
        if self._order is None:
            self._order = np.empty(len(order), dtype=np.int64)
        if len(order) > len(self._order):
            raise RunError(f"an epoch of {len(order)} samples after one of {len(self._order)}: epochs must not grow")
        self._order[: len(order)] = order

    def process_ids(self) -> list[int]:
        """Return nothing: batches are made in this process."""
        return []

    def dead_workers(self) -> list[DeadWorker]:
        """Return nothing: threads do not die alone."""
        return []


class ThreadsSession(_InOneProcess):
    """Worker threads, started with the first epoch and kept until `close`."""

    def __init__(self, job: LoadJob, *, workers: int, prefetch: int, join: Joined | None) -> None:
        super().__init__(job, workers, prefetch)
        self._join = join
        self._workers: list[_Worker] = []

    def _prepare(self, order: Indices | None) -> None:
        super()._prepare(order)
        if not self._workers:
            self._workers = [self._started(worker) for worker in range(self._turns)]
        for one in self._workers:
            one.delivery = self._delivery

    def _started(self, worker: int) -> _Worker:
        return _Worker(lambda: OwnBatches(self._job, worker, self._turns, self._order, self._join), worker)

    def _send(self, worker: int, request: Request) -> None:
        self._workers[worker].requests.put(request)

    def _received(self, worker: int, number: int) -> Made | None:
        while True:
            answer = self._workers[worker].results.get()
            if isinstance(answer, Exception):
                raise answer
            if answer[0] == number:
                return answer[1]

    def queue_occupancy(self) -> QueueOccupancy:
        """Return how many batches wait."""
        ready = sum(one.results.qsize() for one in self._workers)
        return QueueOccupancy(ready=ready, limit=self._turns * self._prefetch)

    def close(self) -> None:
        """End the threads: each finishes its batch and closes its trace. One that is stuck is left behind, and told."""
        workers, self._workers = self._workers, []
        for one in workers:
            one.delivery = -1
            one.requests.put(None)
        deadline_s = time.monotonic() + CLOSING_S
        for one in workers:
            one.thread.join(max(0.0, deadline_s - time.monotonic()))
        stuck = sum(one.thread.is_alive() for one in workers)
        if stuck:
            warnings.warn(
                f"{stuck} of {len(workers)} worker threads did not end within {CLOSING_S:.0f} s and were left behind: "
                "a thread that is stuck in an operation cannot be ended.",
                CaveatWarning,
                stacklevel=2,
            )
        self._forget()


class InlineSession(_InOneProcess):
    """No workers: the consumer's thread makes each batch when it is asked for."""

    def __init__(self, job: LoadJob, *, join: Joined | None) -> None:
        super().__init__(job, 1, 1)
        self._join = join
        self._own: OwnBatches | None = None

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Make and deliver one epoch."""
        self._begin(epoch)
        if self._own is None:
            self._own = OwnBatches(self._job, -1, 1, self._order, self._join)
        own = self._own
        try:
            while (request := self._next_request()) is not None:
                dispatch_ns = now_ns()
                made = own.made(request)
                if made is None:
                    return
                batch = made[1].batch(made[0], dispatch_ns)
                del made
                yield batch
                del batch
        finally:
            own.trace.note_last_io()

    def _send(self, worker: int, request: Request) -> None:
        raise NotImplementedError("nobody is asked: the consumer makes its batches itself")

    def _received(self, worker: int, number: int) -> Made | None:
        raise NotImplementedError("nobody is asked: the consumer makes its batches itself")

    def close(self) -> None:
        """Close the trace; safe to call twice."""
        own, self._own = self._own, None
        if own is not None:
            own.trace.close()
