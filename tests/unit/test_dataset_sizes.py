"""Sizes of objects: the same however they are asked for, inside their limits, and wrong input named."""

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ioprof.dataset.sizes import (
    BLOCK_OBJECTS,
    Fixed,
    Histogram,
    Lognormal,
    SizeDistribution,
    Uniform,
    range_sizes,
)
from ioprof.errors import SpecError

DISTRIBUTIONS: list[SizeDistribution] = [
    Fixed(4096),
    Uniform(10, 5000),
    Lognormal(100_000, 0.7),
    Histogram((100, 4096, 70_000), (1.0, 0.0, 2.5)),
]
COUNT = 2 * BLOCK_OBJECTS + 100


@settings(deadline=None, max_examples=50)
@given(
    distribution=st.sampled_from(DISTRIBUTIONS),
    seed=st.integers(0, 2),
    cuts=st.lists(st.integers(0, COUNT), max_size=6),
)
def test_sizes_do_not_depend_on_the_ranges_asked_for(
    distribution: SizeDistribution, seed: int, cuts: list[int]
) -> None:
    """Any way of cutting the index range into pieces gives the sizes of one pass."""
    edges = [0, *sorted(cuts), COUNT]
    parts = [range_sizes(distribution, seed, a, b) for a, b in itertools.pairwise(edges)]
    assert np.array_equal(np.concatenate(parts), range_sizes(distribution, seed, 0, COUNT))


@settings(deadline=None, max_examples=50)
@given(low=st.integers(1, 10**9), extra=st.integers(0, 10**9), seed=st.integers(0, 2**40))
def test_uniform_sizes_stay_between_both_ends(low: int, extra: int, seed: int) -> None:
    """No draw leaves [low, high], whatever the ends."""
    sizes = range_sizes(Uniform(low, low + extra), seed, 0, 1000)
    assert low <= sizes.min()
    assert sizes.max() <= low + extra


@settings(deadline=None, max_examples=50)
@given(mean=st.integers(1, 10**8), cv=st.floats(0.01, 10), cap=st.floats(1, 100))
def test_lognormal_sizes_stay_above_zero_and_below_the_cap(mean: int, cv: float, cap: float) -> None:
    """The tail is cut at the cap and no object is empty."""
    sizes = range_sizes(Lognormal(mean, cv, cap), 5, 0, 1000)
    assert sizes.min() >= 1
    assert sizes.max() <= cap * mean


def test_lognormal_sizes_have_the_mean_and_spread_asked_for() -> None:
    """Mean and coefficient of variation are within sampling error of what was asked, the cut far away."""
    sizes = range_sizes(Lognormal(100_000, 0.5, 100.0), 11, 0, 4 * BLOCK_OBJECTS)
    error = 0.5 / math.sqrt(len(sizes))
    assert sizes.mean() == pytest.approx(100_000, rel=5 * error)
    assert sizes.std() / sizes.mean() == pytest.approx(0.5, rel=0.03)


def test_histogram_sizes_come_as_often_as_weighted() -> None:
    """Shares follow the weights, and a size of weight zero never comes."""
    sizes = range_sizes(Histogram((100, 4096, 70_000), (1.0, 0.0, 3.0)), 3, 0, 2 * BLOCK_OBJECTS)
    assert set(sizes.tolist()) == {100, 70_000}
    assert (sizes == 70_000).mean() == pytest.approx(0.75, abs=0.01)


def test_drawn_sizes_never_change_between_versions() -> None:
    """These were drawn when the format was fixed: other sizes mean another dataset for the same seed."""
    assert range_sizes(Uniform(1, 10**6), 7, 0, 4).tolist() == [625096, 897214, 775686, 225208]
    assert range_sizes(Lognormal(50_000, 0.7), 7, 0, 4).tolist() == [22510, 10651, 15001, 30855]


def test_a_histogram_file_is_read_with_its_heading_comments_and_units(tmp_path: Path) -> None:
    """People export such tables: a heading, blank lines, comments and units are all fine."""
    table = tmp_path / "sizes.csv"
    table.write_text("size_bytes,weight\n# from the filer\n\n4KiB, 10\n1000,2.5\n")
    assert Histogram.from_csv(table) == Histogram((4096, 1000), (10.0, 2.5))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("4096,1\n-5,1\n", "line 2: size -5 bytes: must be at least 1"),
        ("4096,1\n0,1\n", "line 2: size 0 bytes"),
        ("size,weight\n4096\n", "line 2: 1 columns where two belong"),
        ("4096,1\nlarge,2\n", "line 2: 'large' is not a size"),
        ("4096,many\n", "line 1: weight 'many' is not a number"),
        ("4096,-1\n", "line 1: weight -1 must be 0 or more"),
        ("4096,nan\n", "line 1: weight nan must be 0 or more"),
        ("17TiB,1\n", "line 1: size 17 TiB: more than 16 TiB"),
        ("4096,0\n", "no line with a size and a weight above 0"),
        ("", "no line with a size and a weight above 0"),
    ],
)
def test_a_wrong_histogram_line_is_named_by_its_number(tmp_path: Path, text: str, message: str) -> None:
    """One line of message: the file, the line, what is wrong."""
    table = tmp_path / "sizes.csv"
    table.write_text(text)
    with pytest.raises(SpecError) as raised:
        Histogram.from_csv(table)
    assert message in str(raised.value)
    assert str(table) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_missing_histogram_file_is_named(tmp_path: Path) -> None:
    """The path is in the message."""
    with pytest.raises(SpecError, match=r"nowhere\.csv: cannot be read"):
        Histogram.from_csv(tmp_path / "nowhere.csv")


@pytest.mark.parametrize(
    "make",
    [
        lambda: Fixed(0),
        lambda: Fixed(-1),
        lambda: Fixed(17 * 1024**4),
        lambda: Uniform(0, 5),
        lambda: Uniform(10, 5),
        lambda: Lognormal(0, 1),
        lambda: Lognormal(4096, 0),
        lambda: Lognormal(4096, -1),
        lambda: Lognormal(4096, math.nan),
        lambda: Lognormal(4096, 1, 0.5),
        lambda: Histogram((), ()),
        lambda: Histogram((1, 2), (1.0,)),
        lambda: Histogram((1,), (math.inf,)),
    ],
)
def test_sizes_that_make_no_sense_are_refused(make: type[Fixed]) -> None:
    """Zero, negative, absurd and contradictory sizes never reach a store."""
    with pytest.raises(SpecError):
        make()  # type: ignore[call-arg]
