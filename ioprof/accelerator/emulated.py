"""An accelerator that only takes time: it sleeps the copy and the step of a real one."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from ioprof.clock import Clock
from ioprof.host.precise_wait import set_timer_slack

_PROBES = 50
_LONGEST_PROBE_NS = 2_000_000
_SMALLEST_NUDGE_NS = 500.0
_LOWEST_CEILING_NS = 1_000_000
"""A correction may always grow to this: a quiet host calibrates to far less than waking up takes once it is loaded."""


class CorrectedSleep:
    """Sleeps of which as many are too long as are too short, whatever waking up costs.

    Attributes:
        correction_ns: by how much less the next sleep asks for; between 0 and what `start` allows.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._nudge_ns = 0.0
        self._most_ns = 0.0
        self.correction_ns = 0.0

    def start(self, overshoot_ns: int, overshoot_p99_ns: int) -> None:
        """Begin with the calibrated median; the correction stays below the larger of its p99 and 1 ms."""
        self.correction_ns = float(overshoot_ns)
        self._nudge_ns = max(_SMALLEST_NUDGE_NS, overshoot_ns / 50)
        self._most_ns = float(max(overshoot_p99_ns, _LOWEST_CEILING_NS))

    def sleep(self, duration_ns: int) -> None:
        """Sleep so long, and learn from how long it took; what is too short to be slept returns at once."""
        asked_ns = round(duration_ns - self.correction_ns)
        if asked_ns <= 0:
            # It tells nothing of waking up: learning from it raised the correction with every time of 0.
            self._clock.sleep_ns(0)
            return
        start_ns = self._clock.now_ns()
        self._clock.sleep_ns(asked_ns)
        # As many above the asked time as below it: that is the median, and one slow step moves it no further than
        # any other.
        late = self._clock.now_ns() - start_ns > duration_ns
        moved_ns = self.correction_ns + (self._nudge_ns if late else -self._nudge_ns)
        self.correction_ns = min(max(0.0, moved_ns), self._most_ns)


class EmulatedAccelerator:
    """Sleeps, so that the median real time per step is the asked one; never spins (workers need the CPU).

    A sleep lasts longer than asked by the cost of waking up. `calibrate` measures that, later sleeps ask for
    less by its median, and every step then moves the correction a little towards the run's own median: waking
    up takes longer while workers keep the CPUs busy than it did before they started. Copies are corrected by
    themselves. A time shorter than the overshoot cannot be slept: such a step returns at once.
    """

    def __init__(
        self,
        busy_ns_per_batch: int,
        h2d_bytes_per_s: float | None,
        clock: Clock,
        drawn_ns: Callable[[], int] | None = None,
    ) -> None:
        """Model an accelerator.

        Args:
            busy_ns_per_batch: time one batch keeps it busy, in ns; 0 or more; the mean where times differ.
            h2d_bytes_per_s: bandwidth from host to device; None: no copy is modelled.
            clock: source of time, also for the sleeps.
            drawn_ns: gives the busy time of each batch in turn; None: all take the same time.

        Raises:
            ValueError: a negative time, or a bandwidth that is not positive.
        """
        if busy_ns_per_batch < 0:
            raise ValueError(f"busy_ns_per_batch is {busy_ns_per_batch}; it must be 0 or more")
        if h2d_bytes_per_s is not None and not h2d_bytes_per_s > 0:
            raise ValueError(f"h2d_bytes_per_s is {h2d_bytes_per_s}; it must be positive")
        self._busy_ns = busy_ns_per_batch
        self._h2d_bytes_per_s = h2d_bytes_per_s
        self._clock = clock
        self._drawn_ns = drawn_ns
        self._busy = CorrectedSleep(clock)
        self._copy = CorrectedSleep(clock)
        self.overshoot_ns = 0
        """Median time a sleep lasted longer than asked; 0 before `calibrate`."""
        self.overshoot_p99_ns = 0
        """99th percentile of the same: how far single steps may stray."""

    @property
    def correction_ns(self) -> float:
        """By how much less the next step's sleep asks for."""
        return self._busy.correction_ns

    @property
    def busy_ns_per_batch(self) -> int:
        """Busy time asked for each batch in ns."""
        return self._busy_ns

    def calibrate(self) -> None:
        """Ask for precise timers in this thread and measure how far its sleeps overshoot (about 0.1 s)."""
        set_timer_slack(1)
        probe_ns = min(max(self._busy_ns, 100_000), _LONGEST_PROBE_NS)
        overshoots = sorted(self._probe(probe_ns) for _ in range(_PROBES))
        self.overshoot_ns = max(0, _quantile(overshoots, 0.5))
        self.overshoot_p99_ns = max(0, _quantile(overshoots, 0.99))
        for sleeps in (self._busy, self._copy):
            sleeps.start(self.overshoot_ns, self.overshoot_p99_ns)

    def transfer(self, size_bytes: int) -> None:
        """Sleep as long as the copy of ``size_bytes`` over the host link takes."""
        if self._h2d_bytes_per_s is not None:
            self._copy.sleep(round(size_bytes / self._h2d_bytes_per_s * 1e9))

    def compute(self) -> None:
        """Sleep as long as one batch keeps the accelerator busy."""
        self._busy.sleep(self._busy_ns if self._drawn_ns is None else self._drawn_ns())

    def _probe(self, duration_ns: int) -> int:
        start_ns = self._clock.now_ns()
        self._clock.sleep_ns(duration_ns)
        return self._clock.now_ns() - start_ns - duration_ns


def _quantile(ordered: Sequence[int], share: float) -> int:
    """Smallest value with at least ``share`` of the values at or below it (nearest rank)."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
