"""The process of one run: takes its order from a pipe, records, analyses, tells how it goes; dies with its parent."""

from __future__ import annotations

import contextlib
import os
import sys
from multiprocessing.connection import Connection
from pathlib import Path

from ioprof import api
from ioprof.compound.messages import Advanced, Ended, FromRun, Go, Held, Measuring, Order, PhaseBegan, StepsEnded
from ioprof.errors import IoprofError
from ioprof.host.parent_death import die_with_parent
from ioprof.runner.interrupt import Interrupted, interruptible
from ioprof.runner.plan import plan_run

_ANSWER_BROKEN = (EOFError, BrokenPipeError, ConnectionResetError)


class _Telling:
    """Observes the run and passes on what it sees."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def phase(self, text: str) -> None:
        """Pass it on."""
        self._tell(PhaseBegan(text))

    def progress(self, done: int, total: int) -> None:
        """Pass it on."""
        self._tell(Advanced(done, total))

    def measuring(self, directory: Path) -> None:
        """Pass it on."""
        self._tell(Measuring(str(directory)))

    def finished(self) -> None:
        """Pass it on."""
        self._tell(StepsEnded())

    def _tell(self, message: FromRun) -> None:
        # Without a parent the kernel ends this process; until then nobody is to be told.
        with contextlib.suppress(*_ANSWER_BROKEN):
            self._connection.send(message)


def main(descriptor: int, parent: int) -> None:
    """Serve one order of the parent."""
    die_with_parent()
    if os.getppid() != parent:
        sys.exit(1)
    with Connection(descriptor) as connection, contextlib.suppress(*_ANSWER_BROKEN):
        connection.send(_ended(connection))


def _ended(connection: Connection) -> Ended:
    try:
        with interruptible():
            return _recorded(connection)
    except Interrupted as signal:
        return Ended(None, f"{signal.signal_name} received", signal.exit_code)
    except api.RecordingStoppedError as stopped:
        directory = str(stopped.run.directory)
        if isinstance(stopped.cause, Interrupted):
            return Ended(directory, f"{stopped.cause.signal_name} received", stopped.cause.exit_code)
        return Ended(directory, _told(stopped.cause), getattr(stopped.cause, "exit_code", 1))
    except IoprofError as error:
        return Ended(None, _told(error), error.exit_code)


def _recorded(connection: Connection) -> Ended:
    order: Order = connection.recv()
    plan = plan_run(order.spec)
    prepared = api.prepare_plan(plan)
    gate = (lambda: _wait_at_gate(connection)) if order.gated else None
    run = api.record_and_load(plan, prepared, order.command, _Telling(connection), gate, order.unprobed)
    return Ended(str(run.directory), None, 0)


def _wait_at_gate(connection: Connection) -> None:
    connection.send(Held())
    answer = connection.recv()
    if not isinstance(answer, Go):
        raise TypeError(f"expected Go, got {answer!r}")


def _told(error: BaseException) -> str:
    return "; ".join([" ".join(str(error).split()), *getattr(error, "__notes__", ())])
