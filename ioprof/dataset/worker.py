"""The child's side of the worker pool: takes chunks from a pipe, works, reports; dies with its parent."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Protocol, TypeVar

from ioprof.clock import now_ns
from ioprof.dataset.chunks import Chunk

_REPORT_EVERY_NS = 200_000_000
_PR_SET_PDEATHSIG = 1

OutcomeT_co = TypeVar("OutcomeT_co", covariant=True)


class Meter(Protocol):
    """Where a job reports what it has done; cheap to call often."""

    def advance(self, objects: int, size_bytes: int) -> None:
        """Add to what was done so far."""
        ...


class Job(Protocol[OutcomeT_co]):
    """Work on chunks; picklable, and itself unchanged by the work."""

    def run(self, chunk: Chunk, meter: Meter) -> OutcomeT_co:
        """Handle one chunk; its outcome is pickled. OSError stops the pool and reaches the caller."""
        ...


@dataclass(frozen=True, slots=True)
class Advanced:
    """Something was done since the last message."""

    objects: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Finished:
    """A chunk is done."""

    chunk: Chunk
    outcome: object


@dataclass(frozen=True, slots=True)
class Failed:
    """A chunk met an error that stops the work."""

    chunk: Chunk
    errno: int | None
    message: str
    path: str | None


class _PipeMeter:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._objects = self._bytes = 0
        self._last_ns = now_ns()

    def advance(self, objects: int, size_bytes: int) -> None:
        self._objects += objects
        self._bytes += size_bytes
        if now_ns() - self._last_ns > _REPORT_EVERY_NS:
            self.flush()

    def flush(self) -> None:
        self._connection.send(Advanced(self._objects, self._bytes))
        self._objects = self._bytes = 0
        self._last_ns = now_ns()


def main(descriptor: int, parent: int) -> None:
    """Serve one parent until it says so, closes the pipe or dies."""
    _die_with(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    connection = Connection(descriptor)
    try:
        _serve(connection)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        # The parent is gone: nobody is left to tell.
        sys.exit(1)


def _serve(connection: Connection) -> None:
    job: Job[object] = connection.recv()
    meter = _PipeMeter(connection)
    while (chunk := connection.recv()) is not None:
        try:
            outcome = job.run(chunk, meter)
        except OSError as error:
            meter.flush()
            path = error.filename if isinstance(error.filename, str) else None
            connection.send(Failed(chunk, error.errno, error.strerror or str(error), path))
        else:
            meter.flush()
            connection.send(Finished(chunk, outcome))


def _die_with(parent: int) -> None:
    """Ask the kernel to kill this process when its parent ends, however it ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        # It ended before we asked.
        os._exit(1)
