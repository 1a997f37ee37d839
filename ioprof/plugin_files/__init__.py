"""Workloads and loaders from single files (``--plugin FILE``), here and in every child process.

Such a file is imported as ``ioprof.plugin_files.NAME``. Pickles of its classes name that module, and whoever unpickles
one imports this package first, which knows how to find it: the files' paths stand in the environment, which all
children inherit. So workers of every start method and the pool that prepares datasets need nothing of their own.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import re
import sys
import traceback
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

from ioprof.errors import PluginError

VARIABLE = "IOPROF_PLUGINS"
"""Environment variable that holds the files' absolute paths, joined by `os.pathsep`."""


def files() -> list[Path]:
    """Return the plug-in files of this process, in the order in which they were named."""
    return [Path(text) for text in os.environ.get(VARIABLE, "").split(os.pathsep) if text]


def set_files(paths: Sequence[Path]) -> None:
    """Replace the plug-in files of this process and of those that it starts from now on."""
    os.environ[VARIABLE] = os.pathsep.join(map(str, paths))


def versions() -> dict[str, str]:
    """Return a digest of each file's content by its path: a run that it took part in must tell which text it was."""
    return {f"plugin {path}": "sha256 " + hashlib.sha256(path.read_bytes()).hexdigest()[:16] for path in files()}


def module_name(path: Path) -> str:
    """Return the name under which a file is imported, in all processes."""
    return f"{__name__}.{re.sub(r'[^0-9A-Za-z_]', '_', path.stem)}"


class _Finder(MetaPathFinder):
    """Finds the files by the names that `module_name` gives them."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of a plug-in file; None for every other module."""
        found = [file for file in files() if module_name(file) == fullname]
        return importlib.util.spec_from_file_location(fullname, found[0]) if found else None


if not any(type(finder).__qualname__ == _Finder.__qualname__ for finder in sys.meta_path):
    sys.meta_path.append(_Finder())


def add_file(path: Path) -> ModuleType:
    """Import a file and make it known to all processes started from now on; a second time changes nothing.

    Raises:
        PluginError: it cannot be read, does not import, or another file has its name.
    """
    resolved = _checked(path)
    if os.pathsep in str(resolved):
        raise PluginError(f"{path}: a plug-in's path must not hold '{os.pathsep}'; move the file elsewhere")
    known = files()
    if resolved not in known:
        if (other := next((one for one in known if module_name(one) == module_name(resolved)), None)) is not None:
            raise PluginError(f"{path}: the plug-in file {other} has the same name; rename one of them")
        set_files([*known, resolved])
    try:
        return import_file(resolved)
    except PluginError:
        set_files(known)
        raise


def _checked(path: Path) -> Path:
    """Return the absolute path of a Python file.

    Raises:
        PluginError: there is none.
    """
    try:
        what = None if path.is_file() else "not a .py file" if path.exists() else "no such plug-in file"
        resolved = path.resolve()
    except (OSError, RuntimeError) as error:
        # Links in a circle are a RuntimeError, a name that is too long an OSError.
        told = getattr(error, "strerror", None) or "links to itself"
        raise PluginError(f"{path}: cannot be a plug-in file: {told}") from error
    if what is not None or path.suffix != ".py":
        raise PluginError(
            f"{path}: {what or 'not a .py file'}; --plugin takes a Python file that defines workloads or loaders"
        )
    return resolved


def import_file(path: Path) -> ModuleType:
    """Return the module of one of `files`.

    Raises:
        PluginError: it does not import; the message tells the file's line.
    """
    try:
        return importlib.import_module(module_name(path))
    except SyntaxError as error:
        raise PluginError(f"{error.filename}:{error.lineno}: {type(error).__name__}: {error.msg}") from error
    except (Exception, SystemExit) as error:
        lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if Path(f.filename) == path]
        place = f"{path}:{lines[-1]}" if lines else str(path)
        told = " ".join(str(error).split())
        raise PluginError(f"{place}: {type(error).__name__}: {told}") from error
