"""Which loop reads whole objects: the compiled one, or the same in Python.

The compiled one is built when ioprof is installed, if a C compiler and Python's headers are there. Between two calls of
the kernel it does nothing but read the clock, where the interpreter's own work takes as long as a call. It raises no
audit events. ``IOPROF_READS=python`` in the environment chooses the other one, for comparison.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Sequence
from typing import Literal, Protocol

from ioprof.errors import UsageError
from ioprof.store.plain_reads import read_files_unstamped

VARIABLE = "IOPROF_READS"
Reads = Literal["compiled", "python"]
_INTERFACE = 1
"""Of the compiled module; one of another number was left over by another version."""


class CompiledReadFiles(Protocol):
    """`ioprof.store._reads.read_files`."""

    def __call__(
        self,
        paths: Sequence[str],
        sizes_bytes: Sequence[int],
        place: int,
        contents: list[bytes],
        stamps: mmap.mmap | bytearray | None,
        at: int,
        found: list[int] | None,
        took: list[float] | None,
        /,
    ) -> tuple[float, tuple[float, int, float, bytes, OSError | None] | None]:
        """Open, read and close whole files."""
        ...


def _built() -> CompiledReadFiles | None:
    try:
        from ioprof.store import _reads
    except ImportError:
        return None
    return _reads.read_files if _reads.INTERFACE == _INTERFACE else None


_BUILT = _built()


def compiled() -> CompiledReadFiles | None:
    """Return the compiled loop; None where it was not built, or the environment says not to use it.

    Raises:
        UsageError: the environment asks for what there is not.
    """
    wanted = os.environ.get(VARIABLE, "")
    if wanted not in ("", "compiled", "python"):
        raise UsageError(f"{VARIABLE}={wanted}: must be compiled or python, or not be set")
    if wanted == "compiled" and _BUILT is None:
        raise UsageError(
            f"{VARIABLE}=compiled: the compiled reader was not built; install a C compiler and Python's headers "
            "(Debian: gcc python3-dev), then ioprof again; or do not set the variable"
        )
    return None if wanted == "python" else _BUILT


def reads_in_use() -> Reads:
    """Return which loop reads whole objects here.

    Raises:
        UsageError: as `compiled`.
    """
    return "python" if compiled() is None else "compiled"


def is_built() -> bool:
    """Tell whether there is a compiled loop."""
    return _BUILT is not None


def unstamped_reads() -> Callable[[Sequence[str], Sequence[int]], list[bytes]]:
    """Return what opens, reads and closes whole files as the loop in use does, and notes nothing: no clock is read.

    It raises `OSError` where a file cannot be read whole at once.
    """
    read_files = compiled()
    if read_files is None:
        return read_files_unstamped

    def read_unstamped(paths: Sequence[str], sizes_bytes: Sequence[int]) -> list[bytes]:
        contents = list[bytes]()
        _, stopped = read_files(paths, sizes_bytes, 0, contents, None, 0, None, None)
        if stopped is not None:
            raise _trouble(stopped, paths[len(contents)], sizes_bytes[len(contents)])
        return contents

    return read_unstamped


def _trouble(stopped: tuple[float, int, float, bytes, OSError | None], path: str, size_bytes: int) -> OSError:
    _, descriptor, _, content, error = stopped
    if descriptor >= 0:
        os.close(descriptor)
    return error or OSError(f"{path}: {len(content)} bytes instead of {size_bytes}")
