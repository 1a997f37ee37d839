"""webdataset's pipes: shards that a program fetches (``pipe:curl ...``, and its http, gs and other addresses)."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import ModuleType

from ioprof.capture.names import Undo
from ioprof.capture.objects import note_get
from ioprof.clock import now_ns
from ioprof.trace.kinds import error_code


def seam(module: ModuleType) -> list[Undo]:
    """Tap the reading of them; local shards are opened by Python's own ``open``."""
    pipe, original = module.Pipe, vars(module.Pipe)["read"]
    made = _tapped(original)
    pipe.read = made

    def restore() -> None:
        if vars(pipe).get("read") is made:
            pipe.read = original

    return [restore]


def _tapped(original: Callable[..., object]) -> Callable[..., object]:
    @functools.wraps(original)
    def read(*arguments: object, **named: object) -> object:
        start_ns = now_ns()
        try:
            found = original(*arguments, **named)
        except OSError as error:
            note_get(start_ns, now_ns(), 0, error_code(error))
            raise
        note_get(start_ns, now_ns(), len(found) if isinstance(found, bytes) else 0, 0)
        return found

    return read
