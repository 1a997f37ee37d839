"""What whole objects had of their pages in the page cache, added up over a batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from ioprof.store.compiled import is_compiled
from ioprof.trace.hits import ALL_CACHED, SOME_MISSING, UNKNOWN, with_hit


class PageCounts(NamedTuple):
    """The words to record as the objects' sizes, and sums over them."""

    words: list[int]
    """See `ioprof.trace.hits`."""
    counted: int
    """Objects that there was an answer for; the next three are theirs."""
    pages: int
    cached_pages: int
    hit_bytes: int
    """Of an object that is partly cached, its cached pages' share."""
    unanswered: int


CountPages = Callable[[Sequence[int], Sequence[int], int], tuple[list[int], int, int, int, int, int]]
"""Given the objects' sizes, the cached pages of each (-1: not known), and the bytes of a page; returns `PageCounts`."""


def count_pages_plainly(sizes_bytes: Sequence[int], found: Sequence[int], page_bytes: int) -> PageCounts:
    """Count the cached pages of whole objects.

    Raises:
        ValueError: sizes and answers differ in number.
    """
    words, counted, all_pages, all_cached, hit_bytes = list[int](), 0, 0, 0, 0
    for size_bytes, cached in zip(sizes_bytes, found, strict=True):
        pages, hit = -(-size_bytes // page_bytes), UNKNOWN
        if cached >= 0:
            hit = ALL_CACHED if cached >= pages else SOME_MISSING
            counted, all_pages, all_cached = counted + 1, all_pages + pages, all_cached + min(cached, pages)
            hit_bytes += size_bytes if cached >= pages else size_bytes * cached // pages
        words.append(with_hit(size_bytes, hit))
    return PageCounts(words, counted, all_pages, all_cached, hit_bytes, len(words) - counted)


def count_pages() -> CountPages:
    """Return what does it here, compiled or not.

    Raises:
        UsageError: as `is_compiled`.
    """
    if not is_compiled():
        return count_pages_plainly
    from ioprof.store import _counts

    return _counts.count_pages
