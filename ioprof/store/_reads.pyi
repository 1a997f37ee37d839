"""The compiled loop over whole files; `ioprof.store.compiled` says whether it is there."""

import mmap
from collections.abc import Sequence

INTERFACE: int
"""What Python may expect of this module; a number that changes with it."""

def read_files(
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
    """Open, read and close whole files.

    Args:
        paths: whole paths.
        sizes_bytes: how long each file should be.
        place: the file to begin with.
        contents: what is read is appended, file by file.
        stamps: where `READ_STAMPS` of each file are packed; None reads no clock at all.
        at: offset of the first file's stamps, in bytes.
        found: where the cached pages of each file that was opened are appended, asked by cachestat(2) before it is
            read, -1 for unknown; None does not ask.
        took: where the seconds that asking took are appended. They are no part of what is stamped or returned: an
            opening begins so much later.

    Returns:
        The seconds that the files took, and None; or, where one cannot be read whole at once, when it began, its
        descriptor (-1: it was not opened), when it was open, what came of its content, and the error of the call that
        failed, if one did. The files behind it are left alone, and its descriptor is the caller's to close.

    Raises:
        OSError: a file could not be closed.
        ValueError: paths and sizes differ in number, or there is no room for so many stamps.
    """
