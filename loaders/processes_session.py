"""The consumer's side of the loader `processes`: asks workers for batches in turn and delivers them in that order.

A worker has at most ``prefetch`` requests at a time, and is given the next one when a batch of its own is delivered:
a closed loop, as torch's DataLoader has one. The moment of the request is the batch's dispatch.
"""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np
from ioprof.loaders.processes_worker import RECORD, REQUEST, Answer, Request, Shared, WorkerPlan, work
from ioprof.loaders.worker_process import dead_among, end_workers

from ioprof.clock import now_ns
from ioprof.contract import Batch, DeadWorker, Indices, LoadJob
from ioprof.errors import RunError
from ioprof.runner.interrupt import shielded
from ioprof.trace.batch_trace import BatchStamps

if TYPE_CHECKING:
    from multiprocessing.context import SpawnContext

    from ioprof.loaders.processes import ProcessesParams


class WorkerTraceback(Exception):  # noqa: N818 - where an error came from, not an error of its own
    """Where a worker failed, as its own process saw it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Worker:
    """A worker process and this side's ends of its pipes."""

    process: BaseProcess
    requests: Connection
    results: Connection


class _Asked(NamedTuple):
    """A batch that was asked for."""

    worker: int
    number: int
    dispatch_ns: int


class ProcessesSession:
    """Worker processes, started with the first epoch and kept until `close`."""

    def __init__(self, job: LoadJob, params: ProcessesParams) -> None:
        self._job = job
        self._params = params
        # The stubs of all three contexts have `Process`; that of what they have in common has not.
        self._context = cast("SpawnContext", multiprocessing.get_context(params.start_method))
        self._workers: list[_Worker] = []
        self._delivery: Shared = self._context.RawArray(ctypes.c_int64, 1)
        self._order: Shared | None = None
        self._wanted = 0
        self._position = 0
        self._next_number = 0
        self._epoch = 0
        self._asked: deque[_Asked] = deque()

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Deliver one epoch: the batches in the order they were asked for, worker after worker.

        Raises:
            RunError: a worker failed.
            EOFError: a worker ended without a word.
        """
        self._begin(epoch)
        workers = self._params.workers
        for number in range(workers * self._params.prefetch):
            self._ask(number % workers)
        through = set[int]()
        while self._asked:
            asked = self._asked.popleft()
            if asked.worker in through:
                continue
            stamps = self._received(asked)
            if stamps is None:
                through.add(asked.worker)
                continue
            self._ask(asked.worker)
            yield stamps.batch(None, asked.dispatch_ns)

    def _begin(self, epoch: int) -> None:
        """Say what the coming requests are about; what is left of an epoch that was left half-way is void."""
        order = self._job.order(epoch) if self._job.order is not None else None
        if not self._workers:
            self._start(order)
        if order is not None:
            self._share(order)
        self._delivery[0] += 1
        self._epoch, self._position = epoch, 0
        self._asked.clear()

    def _share(self, order: Indices) -> None:
        """Put the order where workers see it, and note how much of it is wanted."""
        shared = np.frombuffer(cast("bytearray", self._order), dtype=np.int64)
        if len(order) > len(shared):
            raise RunError(f"an epoch of {len(order)} samples after one of {len(shared)}: epochs must not grow")
        shared[: len(order)] = order
        size = self._job.batch_size
        self._wanted = len(order) - len(order) % size if self._job.drop_last else len(order)

    def _ask(self, worker: int) -> None:
        """Ask a worker for the next batch, unless there is none or the run wants to stop."""
        start = stop = 0
        if self._order is not None:
            start, stop = self._position, min(self._position + self._job.batch_size, self._wanted)
            if start == stop:
                return
        if self._job.stop_requested():
            return
        number = self._next_number
        self._next_number, self._position = number + 1, stop
        is_last = stop > 0 and self._wanted - stop <= (self._params.workers - 1) * self._job.batch_size
        request = Request(self._delivery[0], self._epoch, number, start, stop, is_last)
        dispatch_ns = now_ns()
        # A worker that has ended left its last words, if any: they come after the batches it made before.
        with contextlib.suppress(BrokenPipeError):
            os.write(self._workers[worker].requests.fileno(), REQUEST.pack(*request))
        self._asked.append(_Asked(worker, number, dispatch_ns))

    def _received(self, asked: _Asked) -> BatchStamps | None:
        """Wait for a worker's answer; None: its part of the stream is through."""
        results = self._workers[asked.worker].results.fileno()
        while packed := os.read(results, RECORD.size):
            answer, *fields = RECORD.unpack(packed)
            if answer == Answer.FAILED:
                raise self._failure(asked.worker, fields[0])
            stamps = BatchStamps(*fields)
            # Others were asked for by an epoch that was left half-way.
            if stamps.number == asked.number:
                return stamps if answer == Answer.MADE else None
        raise EOFError(f"worker {asked.worker} ended without a word")

    def _failure(self, worker: int, text_bytes: int) -> RunError:
        parts, left = list[bytes](), text_bytes
        while left and (part := os.read(self._workers[worker].results.fileno(), left)):
            parts.append(part)
            left -= len(part)
        line, _, where = b"".join(parts).decode(errors="replace").partition("\n")
        error = RunError(f"worker {worker} failed: {line}; what was measured is kept")
        error.__cause__ = WorkerTraceback(where)
        return error

    def _start(self, order: Indices | None) -> None:
        if order is not None:
            self._order = self._context.RawArray(ctypes.c_int64, max(1, len(order)))
        # Broken off half-way, a worker would be left that nobody knows of.
        with shielded():
            for worker in range(self._params.workers):
                self._workers.append(self._started(worker))

    def _started(self, worker: int) -> _Worker:
        job = self._job
        requests, to_worker = self._context.Pipe(duplex=False)
        from_worker, results = self._context.Pipe(duplex=False)
        forked = self._params.start_method == "fork"
        ours = [to_worker, from_worker, *(end for one in self._workers for end in (one.requests, one.results))]
        plan = WorkerPlan(
            job=job.worker,
            worker=worker,
            workers=self._params.workers,
            batch_size=job.batch_size,
            drop_last=job.drop_last,
            order=self._order,
            delivery=self._delivery,
            requests=requests,
            results=results,
            not_ours=tuple(ours) if forked else (),
        )
        process = self._context.Process(target=work, args=(plan,), name=f"ioprof-worker-{worker}", daemon=True)
        try:
            process.start()
        finally:
            requests.close()
            results.close()
        return _Worker(process=process, requests=to_worker, results=from_worker)

    def process_ids(self) -> list[int]:
        """Return the workers alive now."""
        return [one.process.pid for one in self._workers if one.process.pid is not None and one.process.is_alive()]

    def dead_workers(self) -> list[DeadWorker]:
        """Return the workers that a signal or an error code ended."""
        return dead_among([one.process for one in self._workers])

    def close(self) -> None:
        """End the workers: each finishes its batch, finds its pipes closed, and closes its trace."""
        self._delivery[0] += 1
        for one in self._workers:
            one.requests.close()
            one.results.close()
        end_workers([one.process for one in self._workers], self._job.worker)
        self._workers, self._order = [], None
        self._asked.clear()
