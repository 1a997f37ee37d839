"""Log-bucketed latency histograms: exact counts, mergeable, percentiles within 0.8 %.

A duration's bucket is the exponent and the top six mantissa bits of its float64 form, so buckets are 1/64 of
an octave wide: any value is within 1/128 of its bucket's middle. Histograms of any processes add up; percentiles
are read off the sum and never averaged.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

SUB_BITS = 6
_SHIFT = 52 - SUB_BITS
_BIAS = 1023 << SUB_BITS
OCTAVES = 43
BUCKETS = OCTAVES << SUB_BITS
"""Covers 1 ns to 2**43 ns (2.4 hours); anything longer is counted in the last bucket."""
RELATIVE_ERROR = 1 / (1 << (SUB_BITS + 1))
"""Largest relative distance between a value and the one reported for its bucket."""


def bucket_of(duration_ns: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the bucket of each duration, 0 to BUCKETS - 1; durations below 1 ns count as 1 ns."""
    return into_buckets(duration_ns.astype(np.float64))


def into_buckets(duration_ns: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the same of durations as floats, in the memory that held them."""
    buckets = np.maximum(duration_ns, 1.0, out=duration_ns).view(np.int64)
    buckets >>= _SHIFT
    buckets -= _BIAS
    return np.minimum(buckets, BUCKETS - 1, out=buckets)


def bucket_low_ns(bucket: NDArray[np.int64] | Sequence[int] | int) -> NDArray[np.float64]:
    """Return the smallest duration that falls into each bucket, in nanoseconds."""
    return ((np.asarray(bucket, dtype=np.int64) + _BIAS) << _SHIFT).view(np.float64)


def percentile_ns(buckets: NDArray[np.int64], q: float, min_ns: int, max_ns: int) -> float:
    """Return the ``q``-quantile of a histogram, clamped to the exact extremes.

    Args:
        buckets: counts per bucket, shape (BUCKETS,) or shorter.
        q: 0.0 to 1.0; the value below or at which this share of the operations lies (nearest rank).
        min_ns: exact smallest duration.
        max_ns: exact largest duration.
    Raises:
        ValueError: the histogram is empty, or q is out of range.
    """
    cumulative = np.cumsum(buckets)
    if len(cumulative) == 0 or cumulative[-1] == 0:
        raise ValueError("a histogram without operations has no percentiles")
    if not 0.0 <= q <= 1.0:
        raise ValueError(f"quantile {q} is not between 0 and 1")
    rank = max(1, int(np.ceil(q * cumulative[-1])))
    bucket = int(np.searchsorted(cumulative, rank))
    low, high = bucket_low_ns(np.array([bucket, bucket + 1]))
    return float(min(max((low + high) / 2, min_ns), max_ns))
