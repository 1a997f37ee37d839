"""Doing something the moment a module has been imported, whoever imports it and whenever."""

from __future__ import annotations

import importlib.util
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

Action = Callable[[ModuleType], None]


def after_import(actions: Mapping[str, Action]) -> None:
    """Call each action once its module has been executed: now for those that are imported, later for the others.

    Args:
        actions: by the module's full name. What an action raises, the import raises.
    """
    waiting = dict(actions)
    for name in [name for name in waiting if name in sys.modules]:
        waiting.pop(name)(sys.modules[name])
    if waiting:
        sys.meta_path.insert(0, _Finder(waiting))


class _Finder(MetaPathFinder):
    """Finds a module as it would be found without this finder, and has the action follow its execution."""

    def __init__(self, actions: dict[str, Action]) -> None:
        self._actions = actions
        self._asking = threading.local()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the module's own spec, its loader followed by the action; None for all other modules."""
        if fullname not in self._actions or getattr(self._asking, "now", False):
            return None
        self._asking.now = True
        try:
            spec = importlib.util.find_spec(fullname)
        finally:
            self._asking.now = False
        if spec is not None and spec.loader is not None:
            _follow(spec.loader, self._actions[fullname])
        return spec


def _follow(loader: Loader, action: Action) -> None:
    """Have the action follow the execution of the one module that a loader was made for."""
    execute = loader.exec_module

    def executed(module: ModuleType) -> None:
        execute(module)
        action(module)

    # Of this object only, not of its class: everything else about it stays as it is.
    vars(loader)["exec_module"] = executed
