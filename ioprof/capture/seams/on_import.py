"""Seams are applied to the libraries that are there, and to the others at the end of their import."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

from ioprof.capture.names import Undo

Seam = Callable[[ModuleType], list[Undo]]


def follow_imports(seams: Mapping[str, Seam], undo: list[Undo]) -> None:
    """Apply each seam as soon as its module is imported.

    Args:
        seams: by the full name of the module.
        undo: what takes away again what is put in place now and later is added here.
    """
    missing = {name: seam for name, seam in seams.items() if name not in sys.modules}
    for name in seams.keys() - missing.keys():
        _apply(seams[name], sys.modules[name], undo)
    if missing:
        finder = _Finder(missing, undo)
        sys.meta_path.insert(0, finder)
        undo.append(finder.remove)


def _apply(seam: Seam, module: ModuleType, undo: list[Undo]) -> None:
    try:
        undo += seam(module)
    except (AttributeError, TypeError):
        # Another version than those known; the user's import goes on.
        return


class _Finder(MetaPathFinder):
    """Finds what others find, with a loader that applies the seam afterwards."""

    def __init__(self, seams: dict[str, Seam], undo: list[Undo]) -> None:
        self._seams = seams
        self._undo = undo
        self._is_removed = False

    def remove(self) -> None:
        """Follow no further import."""
        self._is_removed = True
        if self in sys.meta_path:
            sys.meta_path.remove(self)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the specification of a module that has a seam; None for all others."""
        if fullname not in self._seams:
            return None
        for finder in sys.meta_path:
            find = getattr(finder, "find_spec", None)
            spec: ModuleSpec | None = None if finder is self or find is None else find(fullname, path, target)
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = _SeamLoader(spec.loader, self)
                return spec
        return None

    def imported(self, module: ModuleType) -> None:
        """Apply the seam of a module."""
        if not self._is_removed:
            _apply(self._seams[module.__name__], module, self._undo)


class _SeamLoader(Loader):
    """Stands in for a module's loader until the module is there; then that is in its place again."""

    def __init__(self, loader: Loader, finder: _Finder) -> None:
        self._loader = loader
        self._finder = finder

    def __getattr__(self, name: str) -> object:
        """Whoever only looks for the module finds what its own loader can do besides."""
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Leave it to the loader."""
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """Import, and then apply the seam."""
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        self._finder.imported(module)
