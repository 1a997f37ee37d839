"""The parent's side of the worker pool: plain processes that import what their job needs and nothing else.

Not multiprocessing's own pools: fork is unsafe under a parent that runs threads (torch), spawn and forkserver
run the parent's main module again (and with it torch), and none of them ends with a parent that is killed.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.connection import Connection, wait
from types import TracebackType
from typing import Generic, TypeVar, cast

from ioprof.dataset.chunks import Chunk
from ioprof.dataset.worker import Advanced, Failed, Finished, Job
from ioprof.errors import StoreError
from ioprof.store.base import Store
from ioprof.store.throttled_url import below_url

OutcomeT = TypeVar("OutcomeT")
OnAdvance = Callable[[int, int], None]

_BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[3]); "
    "from ioprof.dataset.worker import main; main(int(sys.argv[1]), int(sys.argv[2]))"
)
_QUEUED = 2
"""Chunks a worker holds: one in work, one waiting, so that it never waits for the parent."""
_MOST_WORKERS = 32
_REMOTE_WORKERS = 8


def default_workers(store: Store) -> int:
    """Return how many workers suit a store: one per usable core, more where requests wait for a network."""
    cores = len(os.sched_getaffinity(0))
    return min(_MOST_WORKERS, cores if store.local_root is not None else max(_REMOTE_WORKERS, 2 * cores))


def lives_in_this_process(store: Store) -> bool:
    """Return whether no other process can see the store."""
    return below_url(store.url).startswith("memory:")


def run_chunks(
    job: Job[OutcomeT], chunks: list[Chunk], workers: int, on_advance: OnAdvance
) -> Iterator[tuple[Chunk, OutcomeT]]:
    """Run a job over chunks in ``workers`` processes, 0 for this one, and yield outcomes as they come.

    Raises:
        OSError: a worker met it; the others are stopped.
        StoreError: a worker died.
    """
    workers = min(workers, len(chunks))
    if workers <= 1:
        meter = _CallMeter(on_advance)
        for chunk in chunks:
            yield chunk, job.run(chunk, meter)
        return
    with WorkerPool(job, workers, on_advance) as pool:
        yield from pool.run(chunks)


class WorkerPool(Generic[OutcomeT]):
    """Worker processes for one job; leaving the context ends them all, also in mid-chunk."""

    def __init__(self, job: Job[OutcomeT], workers: int, on_advance: OnAdvance) -> None:
        self._job = job
        self._workers = workers
        self._on_advance = on_advance
        self._processes: dict[Connection, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> WorkerPool[OutcomeT]:
        try:
            for _ in range(self._workers):
                connection, process = _start_worker()
                self._processes[connection] = process
            for connection in self._processes:
                connection.send(self._job)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all workers and wait until they are gone; safe to call twice."""
        for process in self._processes.values():
            process.kill()
        for connection, process in self._processes.items():
            process.wait()
            connection.close()
        self._processes.clear()

    def run(self, chunks: Iterable[Chunk]) -> Iterator[tuple[Chunk, OutcomeT]]:
        """Hand out chunks in order and yield each one's outcome as it comes."""
        left = iter(chunks)
        outstanding = 0
        for connection in list(self._processes) * _QUEUED:
            outstanding += self._send_next(connection, left)
        while outstanding:
            for ready in wait(list(self._processes)):
                connection = cast("Connection", ready)
                finished = self._receive(connection)
                if finished is not None:
                    outstanding += self._send_next(connection, left) - 1
                    yield finished.chunk, cast("OutcomeT", finished.outcome)

    def _send_next(self, connection: Connection, left: Iterator[Chunk]) -> int:
        chunk = next(left, None)
        if chunk is None:
            return 0
        try:
            connection.send(chunk)
        except (BrokenPipeError, ConnectionResetError):
            raise self._death(connection) from None
        return 1

    def _receive(self, connection: Connection) -> Finished | None:
        try:
            message = connection.recv()
        except (EOFError, ConnectionResetError):
            raise self._death(connection) from None
        match message:
            case Advanced(objects, size_bytes):
                self._on_advance(objects, size_bytes)
                return None
            case Finished():
                return message
            case Failed(_, number, text, path):
                raise OSError(number or errno.EIO, text, path)
        raise StoreError(f"a worker process sent {message!r}")

    def _death(self, connection: Connection) -> StoreError:
        code = self._processes[connection].wait()
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        return StoreError(f"a worker process {how}; what it finished is kept, and running again continues")


class _CallMeter:
    def __init__(self, on_advance: OnAdvance) -> None:
        self._on_advance = on_advance

    def advance(self, objects: int, size_bytes: int) -> None:
        self._on_advance(objects, size_bytes)


def _start_worker() -> tuple[Connection, subprocess.Popen[bytes]]:
    ours, theirs = socket.socketpair()
    with theirs:
        arguments = [str(theirs.fileno()), str(os.getpid()), json.dumps(sys.path)]
        try:
            process = subprocess.Popen(
                [sys.executable, "-c", _BOOT, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                # Ctrl-C in a terminal reaches the parent alone, which then ends its workers.
                process_group=0,
                # numpy's algebra would start a thread per core in each worker, for nothing.
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
            )
        except BaseException:
            ours.close()
            raise
    return Connection(ours.detach()), process
