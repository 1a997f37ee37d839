"""Reading an object to its end, and what that comes to in pages."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from ioprof.trace.kinds import SHORT_READ, error_code

PAGE_MASK = os.sysconf("SC_PAGE_SIZE") - 1
_MARKER = 16


class PartialReadError(OSError):
    """A file gave fewer bytes than it should have."""

    def __init__(self, got_bytes: int, code: int) -> None:
        super().__init__()
        self.got_bytes = got_bytes
        self.code = code


def read_on(descriptor: int, content: bytes, size_bytes: int, read: Callable[[int, int], bytes]) -> bytes:
    """Go on after a partial read: the kernel caps one read at 2 GiB; the end of the file means truncation.

    Raises:
        PartialReadError: the rest could not be read or is not there.
    """
    parts, left = [content], size_bytes - len(content)
    try:
        while left and parts[-1]:
            parts.append(read(descriptor, left))
            left -= len(parts[-1])
    except OSError as error:
        raise PartialReadError(size_bytes - left, error_code(error)) from error
    if left:
        raise PartialReadError(size_bytes - left, SHORT_READ)
    return b"".join(parts)


def pages_of_range(offset: int, size_bytes: int) -> int:
    """Return the bytes of the pages that belong to a range of an object.

    A page belongs to the range that holds its byte number `_MARKER`. So ranges that follow each other share no page,
    and neither do windows that overlap by a token; of ranges that tile an object each page counts once.
    """
    shift = PAGE_MASK - _MARKER
    return ((offset + size_bytes + shift) & ~PAGE_MASK) - ((offset + shift) & ~PAGE_MASK)


def touched_pages(offset: int, size_bytes: int, before_end: int) -> int:
    """Return the bytes of the pages that a range of an object reaches into, if only with a byte.

    A page that the range before also reached into counts once where one goes on at ``before_end``, the other's end.
    """
    if not size_bytes:
        return 0
    first = offset + PAGE_MASK if offset == before_end else offset
    return ((offset + size_bytes + PAGE_MASK) & ~PAGE_MASK) - (first & ~PAGE_MASK)


def whole_pages(sizes_bytes: Sequence[int]) -> int:
    """Return the bytes of objects, each rounded up to whole pages; quick where all are equally large."""
    if sizes_bytes and sizes_bytes.count(sizes_bytes[0]) == len(sizes_bytes):
        return len(sizes_bytes) * ((sizes_bytes[0] + PAGE_MASK) & ~PAGE_MASK)
    return sum((size + PAGE_MASK) & ~PAGE_MASK for size in sizes_bytes)
