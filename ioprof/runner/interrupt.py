"""Ctrl-C and SIGTERM as one exception in the main thread, held back while results are being saved."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sys import UnraisableHookArgs


class Interrupted(KeyboardInterrupt):
    """A signal asked the run to end."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum

    @property
    def signal_name(self) -> str:
        """``SIGINT`` or ``SIGTERM``."""
        return signal.Signals(self.signum).name

    @property
    def exit_code(self) -> int:
        """128 + signal number, as shells report it."""
        return 128 + self.signum


_HANDLED = (signal.SIGINT, signal.SIGTERM)
_AGAIN_S = 0.01
"""After this time a signal is sent again whose exception was raised where Python drops it."""


@dataclass(slots=True)
class _Shield:
    """What the main thread's handler asks before it raises; no other thread touches it."""

    depth: int = 0
    """`shielded` blocks that are open, one inside the other."""
    held: int | None = None
    """The first signal that came meanwhile."""


_shield = _Shield()


def _handle(signum: int, frame: FrameType | None) -> None:
    if _shield.depth:
        _shield.held = signum if _shield.held is None else _shield.held
        return
    _shield.held = None
    raise Interrupted(signum)


@contextmanager
def interruptible() -> Iterator[None]:
    """Turn SIGINT and SIGTERM into `Interrupted` inside the block; outside the main thread nothing changes.

    Processes forked meanwhile leave SIGINT to this one, and SIGTERM ends them.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    with _SentAgain():
        before = [signal.signal(signum, _handle) for signum in _HANDLED]
        try:
            yield
        finally:
            for signum, handler in zip(_HANDLED, before, strict=True):
                signal.signal(signum, handler)


class _SentAgain:
    """Sends a signal again whose exception was dropped.

    Handlers run between any two steps of Python code, also where an exception has nowhere to go: in the hooks around a
    fork, which workers start with, in destructors, in callbacks of the garbage collector. There Python prints it, and
    the run would go on as if nobody had asked it to end.
    """

    def __init__(self) -> None:
        self._shown = sys.unraisablehook
        self._pid = os.getpid()
        self._timer: threading.Timer | None = None

    def __enter__(self) -> None:
        self._shown = sys.unraisablehook
        sys.unraisablehook = self._dropped

    def __exit__(self, *_: object) -> None:
        sys.unraisablehook = self._shown
        if self._timer is not None:
            self._timer.cancel()

    def _dropped(self, unraisable: UnraisableHookArgs) -> None:
        error = unraisable.exc_value
        if not isinstance(error, Interrupted):
            self._shown(unraisable)
        elif os.getpid() == self._pid:
            self._timer = threading.Timer(_AGAIN_S, _send_to_main_thread, (error.signum,))
            self._timer.daemon = True
            self._timer.start()


def _send_to_main_thread(signum: int) -> None:
    ident = threading.main_thread().ident
    if ident is not None:
        signal.pthread_kill(ident, signum)


def _leave_to_parent() -> None:
    """Let a forked process be silent at Ctrl-C and end at SIGTERM, from its first step on."""
    for signum, handler in zip(_HANDLED, (signal.SIG_IGN, signal.SIG_DFL), strict=True):
        if signal.getsignal(signum) is _handle:
            signal.signal(signum, handler)


os.register_at_fork(after_in_child=_leave_to_parent)


@contextmanager
def shielded() -> Iterator[None]:
    """Hold what `interruptible` hears back inside the block and raise it at the end of the outermost one.

    The handler itself waits: a thread's signal mask would not do, as the kernel then gives the signal to another
    thread, and Python runs the handler in the main thread all the same.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # no handler runs here
        return
    _shield.depth += 1
    try:
        yield
    finally:
        _shield.depth -= 1
        held = _shield.held
        if held is not None and not _shield.depth:
            _shield.held = None
            raise Interrupted(held)
