"""Integers put into a mapping as words of eight bytes."""

from __future__ import annotations

import functools
import mmap
import struct
from collections.abc import Callable, Sequence

from ioprof.store.compiled import is_compiled

PutWords = Callable[[mmap.mmap | bytearray, int, Sequence[int], int, Sequence[int]], None]
"""Given a mapping, and twice an offset in bytes with the integers that go there."""


def put_words_plainly(
    mapping: mmap.mmap | bytearray, at: int, numbers: Sequence[int], then_at: int, others: Sequence[int]
) -> None:
    """Write integers from offset ``at`` on, and others from offset ``then_at`` on."""
    _words(len(numbers)).pack_into(mapping, at, *numbers)
    _words(len(others)).pack_into(mapping, then_at, *others)


def put_words() -> PutWords:
    """Return what does it here, compiled or not.

    Raises:
        UsageError: as `is_compiled`.
    """
    if not is_compiled():
        return put_words_plainly
    from ioprof.store import _counts

    return _counts.put_words


@functools.lru_cache(maxsize=64)
def _words(count: int) -> struct.Struct:
    """Return what packs so many words: three times as fast as an array made of a list."""
    return struct.Struct(f"<{count}q")
