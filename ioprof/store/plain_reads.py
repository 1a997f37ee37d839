"""The loop over whole files in Python: open, read and close, with nothing in between but a clock.

`ioprof.store._reads` is the same in C, for where a compiler was there. Both are called alike but for the last two
arguments: this one asks the page cache, and takes its time, by the functions that it is given.

Start stamps are shared with the end of the operation before, so an object read costs three clock reads: after open,
after read, and after close, which is where the next object begins.
"""

from __future__ import annotations

import mmap
import os
import time
from collections.abc import Callable, Sequence
from itertools import islice
from typing import NamedTuple

from ioprof.store.calls import Calls
from ioprof.trace.recorder import READ_STAMPS

FLAGS = os.O_RDONLY | os.O_CLOEXEC
_now_s = time.perf_counter
_pack, _STAMPS_BYTES = READ_STAMPS.pack_into, READ_STAMPS.size


class Stopped(NamedTuple):
    """A file that could not be read whole at once, as far as it came."""

    start_s: float
    descriptor: int
    """-1: it could not be opened."""
    opened_s: float
    """When it was open; means nothing where it was not."""
    content: bytes
    """What the first read gave."""
    error: OSError | None
    """Of the call that failed; None: the read gave less than the whole."""


def read_files(
    paths: Sequence[str],
    sizes_bytes: Sequence[int],
    place: int,
    contents: list[bytes],
    stamps: mmap.mmap | bytearray,
    at: int,
    open_: Callable[[str, int], int],
    calls: Calls,
) -> tuple[float, Stopped | None]:
    """Open, read and close whole files, from ``place`` on.

    Args:
        paths: whole paths.
        sizes_bytes: how long each file should be.
        place: the file to begin with.
        contents: what is read is appended, file by file.
        stamps: where `READ_STAMPS` of each file are packed.
        at: offset of the first file's stamps, in bytes.
        open_: opens a file.
        calls: what it is read and closed with.

    Returns:
        The seconds that the files took; and the first that cannot be read whole at once, where there is one: those
        behind it are left alone, and its descriptor is the caller's to close.

    Raises:
        OSError: a file could not be closed.
        ValueError: paths and sizes differ in number.
    """
    # Locals only, and nothing that can wait until the end: at 4 KiB per file all of this shows in the result.
    now, read_, close_, pack, keep = _now_s, calls.read, calls.close, _pack, contents.append
    opened, content = 0.0, b""
    begun = start = now()
    for path, size_bytes in islice(zip(paths, sizes_bytes, strict=True), place, None):
        descriptor = -1
        try:
            descriptor = open_(path, FLAGS)
            opened = now()
            content = read_(descriptor, size_bytes)
        except OSError as error:
            # Without its traceback, which would hold the callers' frames, and these what is returned here.
            return start - begun, Stopped(start, descriptor, opened, b"", error.with_traceback(None))
        except BaseException:  # a signal's handler raised it
            if descriptor >= 0:
                close_(descriptor)
            raise
        if len(content) != size_bytes:
            return start - begun, Stopped(start, descriptor, opened, content, None)
        read = now()
        close_(descriptor)
        end = now()
        pack(stamps, at, start, opened, read, end)
        at += _STAMPS_BYTES
        keep(content)
        start = end
    return start - begun, None


def read_files_unstamped(paths: Sequence[str], sizes_bytes: Sequence[int]) -> list[bytes]:
    """Do what `read_files` does, less all that it notes.

    Raises:
        OSError: a file cannot be read whole at once.
    """
    open_, read_, close_, contents = os.open, os.read, os.close, list[bytes]()
    keep = contents.append
    for path, size_bytes in zip(paths, sizes_bytes, strict=True):
        descriptor = open_(path, FLAGS)
        content = read_(descriptor, size_bytes)
        close_(descriptor)
        if len(content) != size_bytes:
            raise OSError(f"{path}: {len(content)} bytes instead of {size_bytes}")
        keep(content)
    return contents
