"""What the page cache held of a read, kept in the highest bits of the read's size: records grow by nothing."""

from __future__ import annotations

UNKNOWN, SOME_MISSING, ALL_CACHED = 0, 1, 2
"""Nobody asked, or there was no answer; at least a page was missing; all of it was in the page cache."""
HIT_SHIFT = 60
BYTES_MASK = (1 << HIT_SHIFT) - 1


def with_hit(size_bytes: int, hit: int) -> int:
    """Return the word of a read of so many bytes; ``hit`` is one of the three above."""
    return size_bytes | hit << HIT_SHIFT
