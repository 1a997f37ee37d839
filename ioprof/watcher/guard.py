"""What keeps our failures from the program that is watched."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType

_DEATH = "DataLoader worker (pid"


class Guard:
    """Ends a block at an exception, which is given to ``fail`` and to nobody else; used again and again, and nested.

    Interruptions and exits are the program's own, and go on; so does what torch raises from a signal handler, wherever
    that strikes: that a worker died.
    """

    def __init__(self, fail: Callable[[Exception], None]) -> None:
        self._fail = fail

    def __enter__(self) -> None:
        return

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if not isinstance(error, Exception) or is_of_a_death(error):
            return False
        self._fail(error)
        return True


def is_of_a_death(error: BaseException) -> bool:
    """Return whether torch raised this from its signal handler: wherever the program was when a worker died."""
    return isinstance(error, RuntimeError) and str(error).startswith(_DEATH)


@contextmanager
def deaths_put_off() -> Iterator[None]:
    """Keep torch's signal handler from raising inside the block: the end of a recording must come to its end.

    Whether a worker died is asked of the workers themselves; and torch looks after them every five seconds.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # no handler runs here
        return
    before = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL if before is None else before)
