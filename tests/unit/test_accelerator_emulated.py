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

    def become(self, overshoots_ns: Iterable[int]) -> None:
        """Change how late sleeps are from now on."""
        self._overshoots_ns = itertools.cycle(overshoots_ns)


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
