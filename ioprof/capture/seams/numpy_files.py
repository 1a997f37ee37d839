"""``numpy.fromfile``, by which ``numpy.load`` reads arrays too: it reads through a FILE of C's, where no tap is."""

from __future__ import annotations

import functools
import io
import os
from collections.abc import Callable
from types import ModuleType

from ioprof.capture.names import Undo, replace_everywhere
from ioprof.capture.taps import TAPS
from ioprof.clock import now_ns
from ioprof.trace.kinds import Kind, error_code

_SEP_AT = 3
"""Place of ``sep`` among the arguments."""


def seam(module: ModuleType) -> list[Undo]:
    """Tap it wherever numpy or the program itself holds it."""
    original = module.fromfile
    return replace_everywhere({id(original): (original, _tapped(original))}, within="numpy")


def _tapped(original: Callable[..., object]) -> Callable[..., object]:
    @functools.wraps(original)
    def fromfile(*arguments: object, **named: object) -> object:
        path = arguments[0] if arguments else named.get("file")
        if isinstance(path, (str, bytes, os.PathLike)):
            # As numpy does it; but the opening is an operation of its own.
            opened = functools.partial(io.open, path, "rb")
            with opened() as file:
                return read(file, *arguments[1:], **{key: value for key, value in named.items() if key != "file"})
        return read(*arguments, **named)

    def read(*arguments: object, **named: object) -> object:
        is_text = bool(arguments[_SEP_AT] if len(arguments) > _SEP_AT else named.get("sep", ""))
        start_ns = now_ns()
        try:
            array = original(*arguments, **named)
        except OSError as error:
            TAPS.note(Kind.READ, start_ns, now_ns(), 0, error_code(error), False)
            raise
        end_ns, size_bytes = now_ns(), getattr(array, "nbytes", None)
        # How long numbers are as text is not known here.
        if isinstance(size_bytes, int) and not is_text:
            TAPS.note(Kind.READ, start_ns, end_ns, size_bytes, 0, True)
        return array

    return fromfile
