"""How long the operations of object reads took, counted into a histogram for each of the three kinds."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ioprof.store.compiled import is_compiled
from ioprof.trace.histogram import into_buckets

Words = NDArray[np.int64]
Seconds = NDArray[np.float64]
Facts = tuple[int, int, int]
"""Of open, read and close, in nanoseconds."""
CountDurations = Callable[[Seconds, Words, int], tuple[Facts, Facts, Facts]]
"""Given stamps, shape (reads, 4), in seconds; a zeroed histogram of all three kinds, one behind the other; and how many
bits of the mantissa a bucket has. Returns the totals, the shortest and the longest."""


def durations_ns(stamps: Seconds) -> Seconds:
    """Return how long open, read and close took, in whole nanoseconds, shape (3, n).

    Of rows, because numpy reduces these five times as fast as columns; as floats, and in place, because conversions and
    fresh memory took half the time of a flush.
    """
    columns = np.ascontiguousarray(stamps.T)
    durations: Seconds = columns[1:] - columns[:-1]
    durations *= 1e9
    return np.rint(durations, out=durations)


def count_durations_plainly(stamps: Seconds, counted: Words, sub_bits: int) -> tuple[Facts, Facts, Facts]:
    """Count the durations; ``sub_bits`` is always the histogram's own here.

    Raises:
        ValueError: there are no stamps.
    """
    durations = durations_ns(stamps)
    sums = tuple(_facts(reduced) for reduced in (durations.sum(axis=1), durations.min(axis=1), durations.max(axis=1)))
    buckets = into_buckets(durations)
    buckets += np.arange(len(durations))[:, None] * (len(counted) // len(durations))
    counted += np.bincount(buckets.ravel(), minlength=len(counted))
    return sums[0], sums[1], sums[2]


def _facts(reduced: Seconds) -> Facts:
    open_ns, read_ns, close_ns = reduced.astype(np.int64).tolist()
    return open_ns, read_ns, close_ns


def count_durations() -> CountDurations:
    """Return what does it here, compiled or not.

    Raises:
        UsageError: as `is_compiled`.
    """
    if not is_compiled():
        return count_durations_plainly
    from ioprof.store import _counts

    return _counts.count_durations
