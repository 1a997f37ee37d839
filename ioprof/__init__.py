"""ioprof: how long the accelerator starves, which part of the data path starves it, and what would feed it.

Importing this package loads neither torch nor pyarrow; the names below are loaded when they are first asked for.
"""

from __future__ import annotations

from importlib.metadata import version as _version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ioprof.api import Run, load, run
    from ioprof.own_tune import tune
    from ioprof.watcher.watching import watch

__version__ = _version("ioprof")
__all__ = ["Run", "__version__", "load", "run", "tune", "watch"]


def __getattr__(name: str) -> object:
    if name in ("Run", "load", "run"):
        from ioprof import api

        return getattr(api, name)
    if name == "tune":
        from ioprof.own_tune import tune

        return tune
    if name == "watch":
        from ioprof.watcher.watching import watch

        return watch
    raise AttributeError(f"module 'ioprof' has no attribute {name!r}")
