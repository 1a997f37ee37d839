"""What keeps our failures from the program that is watched."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType


class Guard:
    """Ends a block at an exception, which is given to ``fail`` and to nobody else; used again and again, and nested.

    Interruptions and exits are the program's own, and go on.
    """

    def __init__(self, fail: Callable[[Exception], None]) -> None:
        self._fail = fail

    def __enter__(self) -> None:
        return

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if not isinstance(error, Exception):
            return False
        self._fail(error)
        return True
