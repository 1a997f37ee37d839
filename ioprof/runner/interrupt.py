"""Ctrl-C and SIGTERM as one exception in the main thread, held back while results are being saved."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
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


@contextmanager
def interruptible() -> Iterator[None]:
    """Turn SIGINT and SIGTERM into `Interrupted` inside the block; outside the main thread nothing changes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(signum: int, frame: FrameType | None) -> None:
        raise Interrupted(signum)

    before = [signal.signal(signum, handle) for signum in _HANDLED]
    try:
        yield
    finally:
        for signum, handler in zip(_HANDLED, before, strict=True):
            signal.signal(signum, handler)


@contextmanager
def shielded() -> Iterator[None]:
    """Hold SIGINT and SIGTERM back inside the block and deliver them at its end."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _HANDLED)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
