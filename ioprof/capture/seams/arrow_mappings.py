"""``pyarrow.memory_map``: a mapping of its own, which may be gone before anybody looks what is mapped."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import ModuleType

from ioprof.capture.mappings import note_path_mapping
from ioprof.capture.names import Undo, replace_everywhere
from ioprof.capture.taps import TAPS
from ioprof.clock import now_ns
from ioprof.trace.kinds import Kind, error_code


def seam(module: ModuleType) -> list[Undo]:
    """Tap it wherever pyarrow's own readers or the program itself hold it."""
    original = module.memory_map
    return replace_everywhere({id(original): (original, _tapped(original))}, within="pyarrow")


def _tapped(original: Callable[..., object]) -> Callable[..., object]:
    @functools.wraps(original)
    def memory_map(*arguments: object, **named: object) -> object:
        start_ns = now_ns()
        try:
            mapped = original(*arguments, **named)
        except OSError as error:
            TAPS.note(Kind.MAP, start_ns, now_ns(), 0, error_code(error), False)
            raise
        TAPS.note(Kind.MAP, start_ns, now_ns(), 0, 0, False)
        size = getattr(mapped, "size", None)
        path = arguments[0] if arguments else named.get("path")
        if callable(size):
            note_path_mapping(str(path), int(size()))
        return mapped

    return memory_map
