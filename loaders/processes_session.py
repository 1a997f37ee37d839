"""Worker processes that are asked for batches in turn, each through a pipe of its own, and answer with stamps."""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, cast

import numpy as np
from ioprof.loaders.batch_makers import Request, share_of
from ioprof.loaders.processes_worker import RECORD, REQUEST, Answer, Shared, WorkerPlan, work
from ioprof.loaders.turns_session import Made, TurnsSession
from ioprof.loaders.worker_process import end_workers

from ioprof.contract import DeadWorker, Indices, LoadJob, dead_among
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


class ProcessesSession(TurnsSession):
    """Worker processes, started with the first epoch and kept until `close`."""

    def __init__(self, job: LoadJob, params: ProcessesParams) -> None:
        super().__init__(job, params.workers, params.prefetch)
        self._params = params
        # The stubs of all three contexts have `Process`; that of what they have in common has not.
        self._context = cast("SpawnContext", multiprocessing.get_context(params.start_method))
        self._workers: list[_Worker] = []
        self._told: Shared = self._context.RawArray(ctypes.c_int64, 1)
        self._order: Shared | None = None

    def _prepare(self, order: Indices | None) -> None:
        """Start the workers with the first epoch; put the order where they see it."""
        if not self._workers:
            self._start(order)
        if order is not None:
            self._share(order)
        self._told[0] = self._delivery

    def _share(self, order: Indices) -> None:
        shared = np.frombuffer(cast("bytearray", self._order), dtype=np.int64)
        if len(order) > len(shared):
            raise RunError(f"an epoch of {len(order)} samples after one of {len(shared)}: epochs must not grow")
        shared[: len(order)] = order

    def _send(self, worker: int, request: Request) -> None:
        # A worker that has ended left its last words, if any: they come after the batches it made before.
        with contextlib.suppress(BrokenPipeError):
            os.write(self._workers[worker].requests.fileno(), REQUEST.pack(*request))

    def _received(self, worker: int, number: int) -> Made | None:
        results = self._workers[worker].results.fileno()
        while packed := os.read(results, RECORD.size):
            answer, *fields = RECORD.unpack(packed)
            if answer == Answer.FAILED:
                raise self._failure(worker, fields[0])
            stamps = BatchStamps(*fields)
            # Others were asked for by an epoch that was left half-way.
            if stamps.number == number:
                return (None, stamps) if answer == Answer.MADE else None
        raise EOFError(f"worker {worker} ended without a word")

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
            share=share_of(job, worker, self._params.workers),
            order=self._order,
            delivery=self._told,
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
        self._told[0] += 1
        for one in self._workers:
            one.requests.close()
            one.results.close()
        end_workers([one.process for one in self._workers], self._job.worker)
        self._workers, self._order = [], None
        self._forget()
