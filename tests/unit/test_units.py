"""Quantities are read as people write them and printed without loss of meaning."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ioprof.units import (
    exact_bytes,
    exact_count,
    exact_duration,
    format_bytes,
    format_count,
    format_duration,
    format_rate_bytes,
    parse_bytes,
    parse_count,
    parse_duration_ns,
)

BINARY = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40, "PiB": 2**50}
SECONDS = {"ns": 1, "µs": 10**3, "ms": 10**6, "s": 10**9}
SHOWN = re.compile(r"^-?(\d{1,3}(?:\.\d{1,2})?) (\S+)$")


@given(st.integers(0, 2**62))
def test_an_exact_size_reads_back_as_itself(size_bytes: int) -> None:
    """A spec file written by ioprof says the same bytes when it is read again."""
    assert parse_bytes(exact_bytes(size_bytes)) == size_bytes


@given(st.integers(0, 10**6), st.sampled_from([1, 10**3, 10**6, 10**9]))
def test_an_exact_count_reads_back_as_itself(count: int, unit: int) -> None:
    """A limit in the help may be typed as it stands there."""
    assert parse_count(exact_count(count * unit)) == count * unit


@given(st.integers(0, 2**50))
def test_an_exact_duration_reads_back_as_itself(duration_ns: int) -> None:
    """A spec file written by ioprof says the same nanoseconds when it is read again."""
    assert parse_duration_ns(exact_duration(duration_ns)) == duration_ns


@given(st.integers(1, 999 * 2**50))
def test_a_size_is_shown_with_three_digits_and_within_half_a_percent(size_bytes: int) -> None:
    """The prefix belongs to the power it was divided by, and no fourth digit before the unit is ever needed."""
    _check_shown(format_bytes(size_bytes), size_bytes, BINARY)


@given(st.integers(1, 99 * 10**9))
def test_a_duration_is_shown_with_three_digits_and_within_half_a_percent(duration_ns: int) -> None:
    """As for sizes, with decimal prefixes."""
    _check_shown(format_duration(duration_ns), duration_ns, SECONDS)


def _check_shown(text: str, value: int, units: dict[str, int]) -> None:
    match = SHOWN.match(text)
    assert match is not None, text
    digits, unit = match.groups()
    assert float(digits) * units[unit] == pytest.approx(value, rel=0.0051)


@given(st.integers(100, 10**7))
def test_long_durations_are_minutes_and_seconds(seconds: int) -> None:
    """From 100 s on, minutes and two-digit seconds that add up to what was given."""
    minutes, rest = re.fullmatch(r"(\d+) min (\d\d) s", format_duration(seconds * 10**9)).groups()  # type: ignore[union-attr]
    assert int(minutes) * 60 + int(rest) == seconds
    assert int(rest) < 60


def test_binary_and_decimal_units_are_told_apart() -> None:
    """1 KiB is 1024 bytes and 1 kB or 1 KB is 1000; a rate says per second."""
    assert (parse_bytes("1KiB"), parse_bytes("1 kB"), parse_bytes("1KB")) == (1024, 1000, 1000)
    assert (parse_bytes("1.5MB"), parse_bytes("1.5MiB")) == (1_500_000, 1_572_864)
    assert format_rate_bytes(2**20) == "1 MiB/s"


@given(st.integers(0, 10**12))
def test_counts_are_shown_with_separators_and_read_back(count: int) -> None:
    """``5,210`` out, ``5,210`` in."""
    assert parse_count(format_count(count)) == count


def test_counts_and_durations_know_their_suffixes() -> None:
    """k, M and G are decimal in counts; of durations only 0 needs no unit."""
    assert [parse_count(text) for text in ("20k", "1M", "1_000_000", 7)] == [20_000, 10**6, 10**6, 7]
    assert [parse_duration_ns(text) for text in ("2ms", "3min", "1.5 s", "0", 0, 0.0)] == [
        2_000_000,
        180 * 10**9,
        1_500_000_000,
        0,
        0,
        0,
    ]


@pytest.mark.parametrize(
    ("parse", "text", "why"),
    [
        (parse_bytes, "4 apples", "unknown unit 'apples'"),
        (parse_bytes, "four", "not a size"),
        (parse_bytes, "", "not a size"),
        (parse_bytes, "-", "not a size"),
        (parse_bytes, "1.0001KiB", "not a whole number of bytes"),
        (parse_bytes, "1e999", "not a finite size"),
        (parse_bytes, True, "not a size"),
        (parse_bytes, float("nan"), "not a finite size"),
        (parse_count, "1.5", "not a whole number"),
        (parse_count, "3KiB", "unknown unit 'kib'"),
        (parse_duration_ns, "20", "has no unit; write 20ms or 20s"),
        (parse_duration_ns, 1.5, "has no unit; write 1.5ms or 1.5s"),
        (parse_duration_ns, 2, "has no unit; write 2ms or 2s"),
        (parse_duration_ns, "2 weeks", "unknown unit 'weeks'"),
        (parse_duration_ns, "1,00ms", "not a duration"),
    ],
)
def test_nonsense_is_refused_with_the_value_and_the_reason(
    parse: Callable[[str | float], int], text: str | float, why: str
) -> None:
    """The message holds what was written, so that it can be found, and what is wrong with it."""
    with pytest.raises(ValueError, match=re.escape(why)) as caught:
        parse(text)
    assert repr(text) in str(caught.value)


@given(st.one_of(st.text(max_size=12), st.floats()))
def test_no_text_or_number_makes_a_parser_fail_other_than_by_value_error(text: str | float) -> None:
    """Whatever a user types ends in a whole number or in a ValueError."""
    for parse in (parse_bytes, parse_count, parse_duration_ns):
        try:
            assert isinstance(parse(text), int)
        except ValueError as error:
            assert str(error)
