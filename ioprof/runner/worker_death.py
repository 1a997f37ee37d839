"""Tells that a worker died where all that the consumer sees is a broken connection."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from ioprof.contract import DeadWorker, LoaderSession
from ioprof.errors import IoprofError, WorkerDiedError

_FEWER = "use fewer workers, smaller batches or less prefetching"
_SHM_FULL = f"usually /dev/shm is full (see df /dev/shm): give it more room (docker run --shm-size), or {_FEWER}"
_BUS = f"{_SHM_FULL}; or a file was truncated while it was mapped"
_CRASH = "it crashed in native code (dmesg may say where); --workers 0 shows more"
_ENDED = "someone, or a job scheduler, ended it"
_USUAL_CAUSES: dict[int, str] = {
    signal.SIGKILL: f"usually the kernel ran out of memory (see dmesg): {_FEWER}",
    signal.SIGBUS: _BUS,
    signal.SIGSEGV: _CRASH,
    signal.SIGABRT: _CRASH,
    signal.SIGILL: _CRASH,
    signal.SIGFPE: _CRASH,
    signal.SIGTERM: _ENDED,
    signal.SIGINT: _ENDED,
    signal.SIGHUP: _ENDED,
}


@contextmanager
def worker_deaths_told(session: LoaderSession) -> Iterator[None]:
    """Turn whatever the death of a worker raises inside the block into the error that says so.

    A dead worker shows as a refused or reset connection, an end of file, a missing socket, or as what a loader
    raises from a signal handler, anywhere in the consumer. Which of them is chance; the processes know.

    Raises:
        WorkerDiedError: a worker was killed or crashed.
    """
    try:
        yield
    except IoprofError:
        raise
    except Exception as error:
        dead = _dead_workers(session)
        if not dead:
            raise
        raise WorkerDiedError(death_text(dead)) from error


def _dead_workers(session: LoaderSession) -> list[DeadWorker]:
    try:
        return session.dead_workers()
    except RuntimeError:
        # The loader's signal handler struck while we asked. It does so once.
        return session.dead_workers()


def death_text(dead: list[DeadWorker]) -> str:
    """Return one line: who died of what, and what usually does that."""
    who = ", ".join(f"worker {one.worker} (pid {one.pid}) {_end(one.exit_code)}" for one in dead)
    cause = next((_USUAL_CAUSES[-one.exit_code] for one in dead if -one.exit_code in _USUAL_CAUSES), None)
    return f"{who}; " + (f"{cause}; " if cause else "") + "what was measured is kept"


def _end(exit_code: int) -> str:
    if exit_code > 0:
        return f"ended with exit code {exit_code}"
    try:
        return f"was ended by {signal.Signals(-exit_code).name}"
    except ValueError:
        return f"was ended by signal {-exit_code}"
