"""Ctrl-C and SIGTERM as one exception in the main thread, held back while results are being saved."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType


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
    """Turn SIGINT and SIGTERM into `Interrupted` inside the block; outside the main thread nothing changes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = [signal.signal(signum, _handle) for signum in _HANDLED]
    try:
        yield
    finally:
        for signum, handler in zip(_HANDLED, before, strict=True):
            signal.signal(signum, handler)


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
