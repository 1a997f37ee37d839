"""What predictions missed reruns by, and what was different there."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, fields

from tests.validation.measure import DISTURBED_CORES, WIDE, Measured, PerBatch

MEDIAN_BAR, P95_BAR = 0.02, 0.06
MOVED = 0.05
"""A control that misses its prediction by more shows that the host changed between calibration and reruns."""
_STEADY = 0.05
"""A mean that differs by less between two runs of one setting is told to be the same."""
_FASTER = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Predicted:
    """What the model said."""

    samples_per_s: float
    ci95: tuple[float, float] | None
    accelerator_utilization: float | None
    assumptions: tuple[str, ...]
    outside: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rerun:
    """One real rerun beside what was predicted for it."""

    scenario: str
    change: str
    """What differs from the calibration run; empty: nothing, it is a control."""
    calibrated: Measured
    measured: Measured
    predicted: Predicted | None
    """From the one calibration run, for CPUs of the rerun's speed where that is known; None: the model refused."""
    untold: Predicted | None = None
    """The same without knowing how fast the CPUs were in the rerun."""
    speed_factor: float | None = None
    """Speed of the CPUs in the rerun over that in the calibration, timed beside both; None: not timed."""
    refused: str = ""

    @property
    def is_control(self) -> bool:
        """Whether it repeats the calibration's own setting."""
        return not self.change

    @property
    def error_ratio(self) -> float:
        """By how much the prediction is too high (below 0: too low), relative to the rerun; infinite: none."""
        return self._error_of(self.predicted)

    @property
    def untold_error_ratio(self) -> float:
        """The same of the prediction that does not know how fast the CPUs were."""
        return self._error_of(self.untold)

    def _error_of(self, predicted: Predicted | None) -> float:
        return math.inf if predicted is None else predicted.samples_per_s / self.measured.samples_per_s - 1

    @property
    def is_in_interval(self) -> bool:
        """Whether the measured rate lies in the interval that was predicted."""
        if self.predicted is None or self.predicted.ci95 is None:
            return False
        low, high = self.predicted.ci95
        return low <= self.measured.samples_per_s <= high


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Of many errors, without their signs."""

    count: int
    median: float
    p95: float
    worst: float

    @property
    def holds(self) -> bool:
        """Whether both are within what is asked of them."""
        return self.median <= MEDIAN_BAR and self.p95 <= P95_BAR


def figures(errors: Sequence[float]) -> Figures:
    """Return median, 95th percentile (nearest rank) and the worst of one error or more."""
    ranked = sorted(map(abs, errors))
    return Figures(
        count=len(ranked),
        median=statistics.median(ranked),
        p95=ranked[math.ceil(0.95 * len(ranked)) - 1],
        worst=ranked[-1],
    )


def reason(rerun: Rerun, control: Rerun | None) -> str:
    """Say what is known of why a prediction missed: what the rerun's own trace shows, and how steady the host was.

    Args:
        rerun: the one that missed.
        control: its scenario's; None: there was none.
    """
    told = [rerun.refused] if rerun.refused else []
    told += _differences(rerun.calibrated.per_batch, rerun.measured.per_batch)
    told += _speeds(rerun)
    if rerun.measured.others_cores > DISTURBED_CORES:
        told.append(f"others used {rerun.measured.others_cores:.2f} CPUs meanwhile")
    if rerun.measured.interval_ratio > WIDE:
        told.append(f"its own rate is known to {rerun.measured.interval_ratio:.1%} only")
    if control is not None:
        moved = control.measured.samples_per_s / rerun.calibrated.samples_per_s - 1
        told.append(f"the calibration's own setting, run again, gave {moved:+.1%}")
    return "; ".join(told)


def _speeds(rerun: Rerun) -> list[str]:
    if rerun.speed_factor is not None:
        return [f"the CPUs were x{rerun.speed_factor:.2f} as fast"] if abs(rerun.speed_factor - 1) > _FASTER else []
    before_ns = rerun.calibrated.cpu_speed_ns
    slower = rerun.measured.cpu_speed_ns / before_ns - 1 if before_ns else 0.0
    return [f"a fixed piece of arithmetic took {slower:+.0%}"] if abs(slower) > _FASTER else []


def unsteady(reruns: Sequence[Rerun]) -> dict[str, float]:
    """Return the scenarios whose host was another one at their end, by how far their control missed its prediction.

    A control is the calibration's own setting, run again: nothing is to be predicted in it. What it gave otherwise,
    with the speed of the CPUs taken into account, the reruns between the two were off by as well.
    """
    missed = {one.scenario: one.error_ratio for one in reruns if one.is_control}
    return {scenario: error for scenario, error in missed.items() if abs(error) > MOVED}


def _differences(before: PerBatch, after: PerBatch) -> list[str]:
    """Say which means per batch are others than in the calibration run."""
    told = []
    for field in fields(PerBatch):
        one, now = getattr(before, field.name), getattr(after, field.name)
        if one is not None and now is not None and max(one, now) > 0.01 and abs(now - one) > _STEADY * max(one, now):
            told.append(f"{field.name.removesuffix('_ms').replace('_', ' ')} {one:.2f} -> {now:.2f} ms a batch")
    return told
