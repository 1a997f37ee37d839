"""How storage operations slow each other down: the probe's levels as a curve, and what a better store makes of it."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ioprof.trace.probe_record import LevelRecord, ProbeRecord

Floats = NDArray[np.float64]

_LEAST_BLOCKED = 0.02
"""Below this share of blocked time a level tells nothing about the store: the page cache or the CPUs served it."""

_WIDEST_LEVEL = 0.25
"""A level whose rate is not known to within this share was disturbed."""
_STANDS_STILL = 1.1
"""Where so many times the requests bring less than this more, the ceiling is reached."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreCurve:
    """Times that operations take with so many of them at the store, over what they take alone."""

    concurrency: tuple[float, ...] = (1.0,)
    """Requests at the store at once, ascending."""
    slowdowns: tuple[float, ...] = (1.0,)
    """1 or more, not descending."""
    lone_s: float | None = None
    """What a sample waited for the store where it was hardly shared; None: not measured."""
    lone_held_s: float | None = None
    """How long such a sample's storage operations lasted, what was computed in them included; None: not measured."""
    is_ceiling: bool = False
    """Beyond the last point the store gives no more: requests only wait for each other."""
    transfer_ratio: float = 0.0
    """Share of a lone operation's time in which its bytes take up the store's bandwidth."""
    latency_factor: float = 1.0
    capacity_factor: float = 1.0
    is_measured: bool = False

    @property
    def lone_factor(self) -> float:
        """What a lone operation takes, over what it took when the curve was measured."""
        return self.latency_factor * (1 - self.transfer_ratio) + self.transfer_ratio / self.capacity_factor

    def waited_alone(self, lone_s: float) -> StoreCurve:
        """Return the curve of the same store for operations that wait so long alone: its ceiling stays where it is.

        Args:
            lone_s: wait of a sample for a store that is hardly shared; positive.
        """
        if not self.lone_s:
            return self
        slowdowns = tuple(max(1.0, slowdown * self.lone_s / lone_s) for slowdown in self.slowdowns)
        return replace(self, slowdowns=slowdowns, lone_s=lone_s)

    def slowdown(self, requests: float) -> float:
        """Return what an operation takes over what it took alone when the curve was measured.

        A store whose operations are slower needs more of them at once to reach its ceiling, and one with a higher
        ceiling as well: the curve is stretched, X'(n) = capacity x X(n / (capacity x lone factor)).
        """
        stretch = self.capacity_factor * self.lone_factor
        return self.lone_factor * self._measured(requests / stretch)

    def _measured(self, requests: float) -> float:
        if requests <= self.concurrency[0]:
            return self.slowdowns[0]
        if requests >= self.concurrency[-1]:
            return self._beyond(requests)
        after = bisect_right(self.concurrency, requests)
        low, high = self.concurrency[after - 1], self.concurrency[after]
        share = (requests - low) / (high - low)
        return self.slowdowns[after - 1] * (1 - share) + self.slowdowns[after] * share

    def _beyond(self, requests: float) -> float:
        """Return the slowdown past the last point: at the ceiling in proportion, before it as steep as it was."""
        last = self.slowdowns[-1]
        if self.is_ceiling or len(self.concurrency) < 2:
            return last * requests / self.concurrency[-1] if self.is_ceiling else last
        steps = self.concurrency[-1] - self.concurrency[-2]
        slope = (last - self.slowdowns[-2]) / steps if steps > 0 else 0.0
        return last + slope * (requests - self.concurrency[-1])


def curve_of(probe: ProbeRecord | None) -> StoreCurve:
    """Return the curve of a probe's levels; a flat one where they tell nothing about the store.

    A level of N processes has as many requests at the store as its processes were blocked; what an operation takes
    is that number over the rate (Little's law). Waiting for a CPU is in neither.
    """
    levels = sorted(
        (
            ((level.processes * level.blocked_ratio, level.samples_per_s), _operations_s(level))
            for level in (probe.levels if probe is not None else [])
            if _tells(level) and level.blocked_ratio is not None
        ),
        key=lambda level: level[0],
    )
    if not levels:
        return StoreCurve()
    points, lone_held_s = [point for point, _ in levels], levels[0][1]
    requests, rates = (np.array(values, np.float64) for values in zip(*points, strict=True))
    waits = requests / rates
    slowdowns = np.maximum.accumulate(np.maximum(waits / waits[0], 1.0))
    ceiling = probe.ceiling if probe is not None else None
    told = ceiling is not None and not ceiling.is_lower_bound and ceiling.limited_by == "store"
    is_ceiling = told or _stands_still(requests, rates)
    if is_ceiling:
        requests, slowdowns = _with_knee(requests, slowdowns)
    return StoreCurve(
        concurrency=tuple(requests.tolist()),
        slowdowns=tuple(slowdowns.tolist()),
        is_ceiling=is_ceiling,
        lone_s=float(waits[0]),
        lone_held_s=lone_held_s,
        transfer_ratio=_transfer_ratio(probe, float(waits[0])),
        is_measured=True,
    )


def _operations_s(level: LevelRecord) -> float | None:
    """Return how long the storage operations of a sample lasted at a level; None: none was timed."""
    count = sum(one.count for one in level.operations.values())
    if not count:
        return None
    mean_s = sum(one.mean_ns * one.count for one in level.operations.values()) / count / 1e9
    return mean_s * level.operations_per_s / level.samples_per_s


def _stands_still(requests: Floats, rates: Floats) -> bool:
    """Tell whether twice the requests brought hardly more, with all time in which a CPU was lacking left out."""
    before = np.flatnonzero(requests * 2 <= requests[-1])
    return len(before) > 0 and bool(rates[-1] < rates[before].max() * _STANDS_STILL)


def _with_knee(requests: Floats, slowdowns: Floats) -> tuple[Floats, Floats]:
    """Return the points with one more where the ceiling is reached, which is seldom at a level.

    No operation is slowed down before there are as many as the ceiling serves in the time of a lone one: where that is
    so to the end, the curve has a corner there, which a straight line between two levels would cut off.
    """
    knee = float(requests[-1] / slowdowns[-1])
    if len(requests) < 2 or not requests[0] < knee < requests[-1]:
        return requests, slowdowns
    place = int(np.searchsorted(requests, knee))
    return np.insert(requests, place, knee), np.insert(slowdowns, place, slowdowns[place - 1])


def _tells(level: LevelRecord) -> bool:
    if level.samples_per_s <= 0 or level.blocked_ratio is None or level.blocked_ratio <= _LEAST_BLOCKED:
        return False
    interval = level.samples_per_s_ci95
    return interval is None or interval[1] - interval[0] < 2 * _WIDEST_LEVEL * level.samples_per_s


def _transfer_ratio(probe: ProbeRecord | None, lone_s: float) -> float:
    ceiling = probe.ceiling if probe is not None else None
    if ceiling is None or ceiling.is_lower_bound or ceiling.samples_per_s <= 0 or lone_s <= 0:
        return 0.0
    return min(1.0, 1 / ceiling.samples_per_s / lone_s)
