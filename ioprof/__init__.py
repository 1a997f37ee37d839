"""ioprof: how long the accelerator starves, which part of the data path starves it, and what would feed it.

Importing this package loads neither torch nor pyarrow; the names below are loaded when they are first asked for.
"""

from __future__ import annotations

from importlib.metadata import version as _version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ioprof.api import Run, load, run

__version__ = _version("ioprof")
__all__ = ["Run", "__version__", "load", "run"]


def __getattr__(name: str) -> object:
    if name in ("Run", "load", "run"):
        from ioprof import api

        return getattr(api, name)
    raise AttributeError(f"module 'ioprof' has no attribute {name!r}")
