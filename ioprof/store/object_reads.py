"""Which loop reads whole objects: the compiled one, or the same in Python.

Between two calls of the kernel the compiled one does nothing but read the clock, where the interpreter's own work takes
as long as a call. It raises no audit events.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Sequence
from typing import Literal, Protocol

from ioprof.store.compiled import is_compiled
from ioprof.store.plain_reads import read_files_unstamped

Reads = Literal["compiled", "python"]


Stop = tuple[float, int, float, bytes, OSError | None]
"""The file that made trouble: see `ioprof.store._reads.read_files`."""


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
    ) -> tuple[float, Stop | None]:
        """Open, read and close whole files."""
        ...


def compiled_read_files() -> CompiledReadFiles | None:
    """Return the compiled loop; None where it is not there or not to be used.

    Raises:
        UsageError: as `is_compiled`.
    """
    if not is_compiled():
        return None
    from ioprof.store._reads import read_files

    return read_files


def reads_in_use() -> Reads:
    """Return which loop reads whole objects here.

    Raises:
        UsageError: as `is_compiled`.
    """
    return "compiled" if is_compiled() else "python"


def unstamped_reads() -> Callable[[Sequence[str], Sequence[int]], list[bytes]]:
    """Return what opens, reads and closes whole files as the loop in use does, and notes nothing: no clock is read.

    It raises `OSError` where a file cannot be read whole at once.
    """
    read_files = compiled_read_files()
    if read_files is None:
        return read_files_unstamped

    def read_unstamped(paths: Sequence[str], sizes_bytes: Sequence[int]) -> list[bytes]:
        contents = list[bytes]()
        _, stopped = read_files(paths, sizes_bytes, 0, contents, None, 0, None, None)
        if stopped is not None:
            raise _trouble(stopped, paths[len(contents)], sizes_bytes[len(contents)])
        return contents

    return read_unstamped


def _trouble(stopped: Stop, path: str, size_bytes: int) -> OSError:
    _, descriptor, _, content, error = stopped
    if descriptor >= 0:
        os.close(descriptor)
    return error or OSError(f"{path}: {len(content)} bytes instead of {size_bytes}")
