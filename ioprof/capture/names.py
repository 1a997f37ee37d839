"""References that modules hold to a call, replaced and restored."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, MutableMapping
from types import ModuleType

_UNTOUCHED = (
    "ioprof",
    "posix",
    "_io",
    "importlib",
    "_frozen_importlib",
    "_frozen_importlib_external",
    "_pyio",
    "zipimport",
)
"""Modules whose own references stay: ioprof's, and those by which Python imports."""

StandIns = Mapping[int, tuple[object, object]]
"""By the identity of an original: the original, and what stands in for it."""
Undo = Callable[[], None]


def replace_everywhere(stand_ins: StandIns, *, within: str = "") -> list[Undo]:
    """Replace originals among the globals of all modules that are imported, and return what restores them.

    Args:
        stand_ins: what is replaced by what.
        within: only in this package and in the program itself, which costs less; "": in all.
    """
    undo: list[Undo] = []
    for name, module in list(sys.modules.items()):
        is_asked = not within or name.partition(".")[0] in (within, "__main__")
        if is_asked and isinstance(module, ModuleType) and not _is_untouched(module.__name__):
            undo += replace_in(vars(module), stand_ins)
    return undo


def replace_in(names: MutableMapping[str, object], stand_ins: StandIns) -> list[Undo]:
    """Replace originals among some names."""
    undo: list[Undo] = []
    for name, held in list(names.items()):
        found = stand_ins.get(id(held))
        if found is not None and found[0] is held:
            names[name] = found[1]
            undo.append(restoring(names, name, found))
    return undo


def restoring(names: MutableMapping[str, object], name: str, pair: tuple[object, object]) -> Undo:
    """Return what puts an original back under its name."""

    def restore() -> None:
        # Who put something else there meanwhile keeps it.
        if names.get(name) is pair[1]:
            names[name] = pair[0]

    return restore


def _is_untouched(name: str) -> bool:
    return name.partition(".")[0] in _UNTOUCHED or name.startswith("importlib.")
