"""Busy times that differ from batch to batch: what is asked for is what is drawn, and the accelerator takes it."""

from __future__ import annotations

import numpy as np
import pytest

from ioprof.accelerator.resolve import resolve
from ioprof.accelerator.step_times import Drawn, parse_step_times
from ioprof.errors import SpecError


class SleepLog:
    """A clock on which only sleeping takes time."""

    def __init__(self) -> None:
        self.now = 0
        self.slept_ns: list[int] = []

    def now_ns(self) -> int:
        """Return the time slept so far."""
        return self.now

    def sleep_ns(self, duration_ns: int) -> None:
        """Take exactly so long."""
        self.slept_ns.append(duration_ns)
        self.now += duration_ns


@pytest.mark.parametrize(
    ("text", "mean_ns", "stdev_ns"),
    [
        ("normal:20ms:2ms", 20e6, 2e6),
        ("uniform:10ms:30ms", 20e6, 20e6 / 12**0.5),
        ("gamma:4:5ms", 20e6, 2 * 5e6),
        ("exponential:20ms", 20e6, 20e6),
        ("poisson:4s", 4e9, 2e9),
    ],
)
def test_draws_have_the_mean_and_the_spread_that_were_asked_for(text: str, mean_ns: float, stdev_ns: float) -> None:
    """Over 20,000 draws, to five standard errors."""
    times = parse_step_times(text)
    drawn = Drawn(times, 1)
    values = np.array([drawn() for _ in range(20_000)])
    assert times.mean_ns == pytest.approx(mean_ns)
    assert abs(values.mean() - mean_ns) < 5 * stdev_ns / 20_000**0.5
    assert values.std() == pytest.approx(stdev_ns, rel=0.05)
    assert values.min() >= 0


def test_a_seed_gives_the_same_times_again() -> None:
    """And another seed gives others."""
    times = parse_step_times("normal:20ms:2ms")
    first, again, other = Drawn(times, 1), Drawn(times, 1), Drawn(times, 2)
    drawn = [first() for _ in range(3000)]
    assert drawn == [again() for _ in range(3000)]
    assert drawn != [other() for _ in range(3000)]


def test_the_accelerator_takes_each_batch_as_long_as_was_drawn() -> None:
    """The record names the mean; the sleeps are the draws, in order."""
    clock = SleepLog()
    times = parse_step_times("uniform:10ms:30ms")
    resolved = resolve("h100", None, None, 8, clock=clock, spread=times, seed=3, copies=False)
    for _ in range(5):
        resolved.accelerator.compute()
    expected = Drawn(times, 3)
    correction_ns = 10_000  # the accelerator nudges its sleeps by less than this
    for slept_ns in clock.slept_ns:
        assert slept_ns == pytest.approx(expected(), abs=correction_ns)
    assert (resolved.record.busy_ns_per_batch, resolved.record.h2d_bytes_per_s) == (20_000_000, None)
    resolved.accelerator.transfer(10**9)
    assert clock.slept_ns[5:] in ([], [0])


@pytest.mark.parametrize(
    "text", ["20ms", "normal:20ms", "cauchy:1ms:1ms", "uniform:30ms:10ms", "gamma:x:5ms", "normal:20:2", "gamma:-1:5ms"]
)
def test_what_is_no_distribution_is_refused_with_the_forms(text: str) -> None:
    """One line that holds the value or the forms."""
    with pytest.raises(ValueError, match=r"busy times are normal:|0 or more"):
        parse_step_times(text)


def test_no_accelerator_has_no_busy_times_to_draw() -> None:
    """As with a busy time of one length."""
    with pytest.raises(SpecError, match="accelerator is none"):
        resolve("none", None, None, 8, spread=parse_step_times("exponential:1ms"))
