"""Emulated accelerators take the time they model."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterable

import pytest

from ioprof.accelerator.emulated import EmulatedAccelerator
from ioprof.accelerator.none import NoAccelerator


class LateClock:
    """A clock whose sleeps last longer than asked, by amounts that the test chooses."""

    def __init__(self, overshoots_ns: Iterable[int]) -> None:
        self._now_ns = 0
        self._overshoots_ns = itertools.cycle(overshoots_ns)
        self.asked_ns: list[int] = []

    def now_ns(self) -> int:
        """Return the time that sleeps have advanced."""
        return self._now_ns

    def sleep_ns(self, duration_ns: int) -> None:
        """Advance by more than asked; zero and less return at once, as sleeping does."""
        self.asked_ns.append(duration_ns)
        if duration_ns > 0:
            self._now_ns += duration_ns + next(self._overshoots_ns)

    def advance(self, duration_ns: int) -> None:
        """Let time pass."""
        self._now_ns += duration_ns

    def become(self, overshoots_ns: Iterable[int]) -> None:
        """Change how late sleeps are from now on."""
        self._overshoots_ns = itertools.cycle(overshoots_ns)


class CostlyClock:
    """Reading this clock takes 1 µs, as real ones take time: even a sleep of nothing is seen to last."""

    def __init__(self, clock: LateClock) -> None:
        self._clock = clock

    def now_ns(self) -> int:
        """Return the time, after a microsecond more."""
        self._clock.advance(1000)
        return self._clock.now_ns()

    def sleep_ns(self, duration_ns: int) -> None:
        """Sleep as the clock below."""
        self._clock.sleep_ns(duration_ns)


def busy_ns(accelerator: EmulatedAccelerator, clock: LateClock, steps: int) -> list[int]:
    """Real busy times of so many steps."""
    times = []
    for _ in range(steps):
        start_ns = clock.now_ns()
        accelerator.compute()
        times.append(clock.now_ns() - start_ns)
    return times


def test_the_median_step_lasts_as_long_as_asked() -> None:
    """Waking up late is made good by asking for less; the tail does not shift the middle."""
    clock = LateClock([50_000, 60_000, 60_000, 70_000, 900_000])
    accelerator = EmulatedAccelerator(5_000_000, None, clock)
    accelerator.calibrate()
    assert accelerator.overshoot_ns == 60_000
    assert accelerator.overshoot_p99_ns == 900_000
    assert statistics.median(busy_ns(accelerator, clock, 201)) == pytest.approx(5_000_000, rel=0.002)


def test_a_host_that_grows_busier_is_followed() -> None:
    """Calibrated on a quiet host, steps keep their length once workers load it."""
    clock = LateClock([50_000])
    accelerator = EmulatedAccelerator(5_000_000, None, clock)
    accelerator.calibrate()
    clock.become([180_000, 200_000, 220_000])
    busy_ns(accelerator, clock, 200)
    assert statistics.median(busy_ns(accelerator, clock, 201)) == pytest.approx(5_000_000, rel=0.005)


def test_a_step_shorter_than_the_overshoot_asks_for_nothing_negative() -> None:
    """What cannot be slept is not slept, and never spun."""
    clock = LateClock([80_000])
    accelerator = EmulatedAccelerator(10_000, None, clock)
    accelerator.calibrate()
    busy_ns(accelerator, clock, 20)
    assert min(clock.asked_ns) >= 0


def test_a_copy_takes_bytes_over_bandwidth() -> None:
    """32 MB over a link of 32 GB/s are one millisecond."""
    clock = LateClock([0])
    EmulatedAccelerator(0, 32e9, clock).transfer(32_000_000)
    assert clock.now_ns() == 1_000_000


def test_drawn_times_too_short_to_be_slept_leave_the_correction_alone() -> None:
    """Waking up costs the same 60 µs throughout: zeros and 5 µs between the long steps do not make these shorter."""
    clock = LateClock([60_000])
    drawn = itertools.cycle([0, 0, 0, 5_000, 5_000_000])
    accelerator = EmulatedAccelerator(1_001_000, None, CostlyClock(clock), lambda: next(drawn))
    accelerator.calibrate()
    times = busy_ns(accelerator, clock, 5000)
    assert statistics.median(times[4::5]) == pytest.approx(5_000_000, rel=0.002)
    assert accelerator.correction_ns == pytest.approx(60_000, rel=0.1)


def test_the_correction_has_an_end() -> None:
    """On a host that wakes sleepers 10 ms late, steps are never cut by more than 1 ms."""
    clock = LateClock([50_000])
    accelerator = EmulatedAccelerator(5_000_000, None, clock)
    accelerator.calibrate()
    clock.become([10_000_000])
    busy_ns(accelerator, clock, 5000)
    assert accelerator.correction_ns == 1_000_000


def test_copies_are_corrected_by_what_copies_overshoot() -> None:
    """Where steps wake up late and copies do not, both still take as long as they should."""
    clock = LateClock([60_000])
    accelerator = EmulatedAccelerator(5_000_000, 32e9, clock)
    accelerator.calibrate()
    clock.become([200_000, 20_000])
    for _ in range(500):
        accelerator.compute()
        accelerator.transfer(32_000_000)
    start_ns = clock.now_ns()
    accelerator.compute()
    between_ns = clock.now_ns()
    accelerator.transfer(32_000_000)
    assert between_ns - start_ns == pytest.approx(5_000_000, abs=3000)
    assert clock.now_ns() - between_ns == pytest.approx(1_000_000, abs=3000)


def test_no_bandwidth_means_no_copy() -> None:
    """An unmodelled copy takes no time and makes no call."""
    clock = LateClock([0])
    EmulatedAccelerator(0, None, clock).transfer(1 << 40)
    assert clock.asked_ns == []


@pytest.mark.parametrize(("busy", "bandwidth"), [(-1, None), (1, 0.0), (1, -5.0), (1, float("nan"))])
def test_nonsense_is_refused(busy: int, bandwidth: float | None) -> None:
    """A model with negative time or without bandwidth is no model."""
    with pytest.raises(ValueError, match="must be"):
        EmulatedAccelerator(busy, bandwidth, LateClock([0]))


def test_no_accelerator_is_never_busy() -> None:
    """`none` has no busy time at all, which is not a busy time of zero."""
    accelerator = NoAccelerator()
    accelerator.calibrate()
    accelerator.transfer(1 << 40)
    accelerator.compute()
    assert accelerator.busy_ns_per_batch is None
