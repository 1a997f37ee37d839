"""Latency histograms: exact counts, percentiles within the stated error, merging by addition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ioprof.trace.histogram import BUCKETS, RELATIVE_ERROR, bucket_low_ns, bucket_of, percentile_ns

DURATIONS = st.lists(st.integers(1, 2**43 - 1), min_size=1, max_size=200)
QUANTILES = st.sampled_from([0.0, 0.01, 0.5, 0.9, 0.99, 0.999, 1.0])


def _histogram(durations: list[int]) -> np.ndarray:
    return np.bincount(bucket_of(np.array(durations, dtype=np.int64)), minlength=BUCKETS)


@given(durations=DURATIONS, q=QUANTILES)
def test_every_percentile_is_within_the_stated_error_of_the_exact_one(durations: list[int], q: float) -> None:
    """The exact value is that of the nearest rank, as numpy's inverted CDF has it; 0.8 % is the promise."""
    exact = float(np.quantile(np.array(durations), q, method="inverted_cdf"))
    found = percentile_ns(_histogram(durations), q, min(durations), max(durations))
    assert found == pytest.approx(exact, rel=RELATIVE_ERROR)
    assert RELATIVE_ERROR <= 0.008


@given(DURATIONS, DURATIONS)
def test_adding_two_histograms_is_the_histogram_of_both(first: list[int], second: list[int]) -> None:
    """Processes can be merged without loss."""
    assert np.array_equal(_histogram(first) + _histogram(second), _histogram(first + second))


@given(st.integers(1, 2**43 - 1))
def test_a_duration_lies_between_the_edges_of_its_bucket(duration_ns: int) -> None:
    """Low edge included, high edge not."""
    bucket = int(bucket_of(np.array([duration_ns]))[0])
    low, high = bucket_low_ns([bucket, bucket + 1])
    assert low <= duration_ns < high


def test_what_lies_outside_is_counted_at_the_ends() -> None:
    """No operation is lost: below 1 ns counts as 1 ns, beyond 2.4 hours in the last bucket."""
    assert bucket_of(np.array([-5, 0, 1, 2**43, 2**62])).tolist() == [0, 0, 0, BUCKETS - 1, BUCKETS - 1]


@given(durations=DURATIONS)
def test_percentiles_never_leave_the_range_of_what_was_seen(durations: list[int]) -> None:
    """The ends are exact, and a higher quantile is never a smaller value."""
    shortest, longest = min(durations), max(durations)
    found = [percentile_ns(_histogram(durations), q, shortest, longest) for q in (0.0, 0.5, 0.9, 0.99, 1.0)]
    assert found == sorted(found)
    assert shortest <= found[0]
    assert found[-1] <= longest


def test_an_empty_histogram_and_a_quantile_out_of_range_are_refused() -> None:
    """There is no percentile of nothing."""
    with pytest.raises(ValueError, match="without operations"):
        percentile_ns(np.zeros(BUCKETS, dtype=np.int64), 0.5, 0, 1)
    with pytest.raises(ValueError, match=r"1\.5"):
        percentile_ns(_histogram([1]), 1.5, 0, 1)
