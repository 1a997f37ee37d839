"""What is done with the operations of a batch, compiled; `ioprof.store.compiled` says whether it is there."""

import mmap
from collections.abc import Sequence

from ioprof.trace.durations import Facts, Seconds, Words

INTERFACE: int
"""What Python may expect of this module; a number that changes with it."""

def put_words(
    mapping: mmap.mmap | bytearray, at: int, numbers: Sequence[int], then_at: int, others: Sequence[int], /
) -> None:
    """Write integers as 64-bit words from offset ``at`` on, and others from offset ``then_at`` on.

    Raises:
        ValueError: there is no room for so many.
    """

def count_pages(
    sizes_bytes: Sequence[int], found: Sequence[int], page_bytes: int, /
) -> tuple[list[int], int, int, int, int, int]:
    """Return what `ioprof.store.page_counts.count_pages` does.

    Raises:
        ValueError: sizes and answers differ in number.
    """

def count_durations(stamps: Seconds, counted: Words, sub_bits: int, /) -> tuple[Facts, Facts, Facts]:
    """Return what `ioprof.trace.durations` does.

    Raises:
        ValueError: there are no stamps.
    """
