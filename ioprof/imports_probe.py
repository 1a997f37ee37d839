"""Whether modules import, tried in a process of its own: an import may abort, exit, hang, or raise anything.

What imported once is remembered beside the user's other caches, by the module's file and its age, so that a list of
loaders is quick. What failed is tried again each time: mended, it must be there at once.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

LIMIT_S = 90.0
"""How long an import may take; the largest take ten seconds on a busy machine."""
_SCRIPT = """
import importlib, os, sys
name = ""
try:
    for name in sys.argv[1:]:
        importlib.import_module(name)
except BaseException as error:
    print(f"import {name}: {type(error).__name__}: {' '.join(str(error).split())}"[:500], file=sys.__stderr__)
    os._exit(17)
os._exit(16)
"""
_IMPORTED, _RAISED = 16, 17
"""Exit codes of the script; it leaves without what the modules want done at exit. Any other is the modules' doing."""


class ImportProbe:
    """Imports modules in a child process; several probes may be under way at once."""

    def __init__(self, modules: Sequence[str]) -> None:
        """Start the child, unless these modules are known to import."""
        self._modules = tuple(modules)
        self._started_s = time.monotonic()
        self._child: subprocess.Popen[str] | None = None
        if not _is_remembered(self._modules):
            # Its own session: what the import starts ends with it. Nothing is inherited that a library could read.
            self._child = subprocess.Popen(
                [sys.executable, "-P", "-c", _SCRIPT, *self._modules],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                start_new_session=True,
            )

    def failure(self) -> str | None:
        """Wait for the child and return what went wrong; None: they import."""
        if self._child is None:
            return None
        child, self._child = self._child, None
        try:
            _, said = child.communicate(timeout=max(0.0, self._started_s + LIMIT_S - time.monotonic()))
        except subprocess.TimeoutExpired:
            return f"{_named(self._modules)} took longer than {LIMIT_S:.0f} s"
        finally:
            _end(child)
        if child.returncode == _IMPORTED:
            _remember(self._modules)
            return None
        if child.returncode == _RAISED:
            return said.strip().splitlines()[-1]
        return f"{_named(self._modules)} {_ended(child.returncode)}"


def _named(modules: Sequence[str]) -> str:
    return f"importing {', '.join(modules)}"


def _ended(code: int) -> str:
    if code < 0:
        try:
            return f"ends Python with {signal.Signals(-code).name}"
        except ValueError:
            return f"ends Python with signal {-code}"
    return f"ends Python with exit code {code}"


def _end(child: subprocess.Popen[str]) -> None:
    """End the child and what it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.communicate()


def _store() -> Path:
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "ioprof" / "imports.json"


def _key(modules: Sequence[str]) -> str | None:
    """Return what these modules are known by: this Python, and each one's file and age; None: one is not there."""
    parts = [sys.executable, sys.version]
    for module in modules:
        origin = _origin(module)
        if origin is None:
            return None
        parts.append(f"{module} {origin}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def _origin(module: str) -> str | None:
    """Return a module's file and when it was written; of a sub-module its package's: finding its own would import."""
    try:
        spec = importlib.util.find_spec(module.partition(".")[0])
        if spec is None or spec.origin is None:
            return None
        return f"{spec.origin} {Path(spec.origin).stat().st_mtime_ns}"
    except (ImportError, ValueError, OSError):
        return None


def _remembered() -> list[str]:
    try:
        known = json.loads(_store().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return [str(key) for key in known] if isinstance(known, list) else []


def _is_remembered(modules: Sequence[str]) -> bool:
    key = _key(modules)
    return key is not None and key in _remembered()


def _remember(modules: Sequence[str]) -> None:
    """Note that these import; a home that cannot be written costs the next list its speed, and nothing else."""
    key = _key(modules)
    if key is None:
        return
    store = _store()
    fresh = store.with_name(f"{store.name}.{os.getpid()}")
    with contextlib.suppress(OSError):
        store.parent.mkdir(parents=True, exist_ok=True)
        fresh.write_text(json.dumps([*(one for one in _remembered() if one != key), key][-200:]), encoding="utf-8")
        fresh.replace(store)
