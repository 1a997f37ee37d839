"""How much one pipeline slows another: its rate beside the other over its rate alone, and whether they met at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ioprof.analysis.bootstrap import StepTimes, rate_ratio_ci95
from ioprof.analysis.measured import measured_ranks, step_times
from ioprof.trace.trace import Trace


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredSteps:
    """The measured part of one run."""

    start_ns: int
    """When its window opened, on the host's clock."""
    end_ns: int
    """When its last step ended."""
    steps: StepTimes

    @property
    def paused_ns(self) -> int:
        """The part of the window that was no step's: ioprof itself evicted caches between two epochs."""
        return max(0, self.end_ns - self.start_ns - int(self.steps.step_ns.sum()))


@dataclass(frozen=True, slots=True, kw_only=True)
class RateRatio:
    """Samples/s of one run over those of another."""

    ratio: float
    ci95: tuple[float, float] | None
    """None: too few steps for one."""


def measured_steps(trace: Trace) -> MeasuredSteps | None:
    """Return the measured part of a run of one rank; None where no step was measured."""
    ranks = [rank for rank in measured_ranks(trace.steps, trace.run) if rank.measured]
    if not ranks:
        return None
    rank = ranks[0]
    return MeasuredSteps(
        start_ns=int(rank.opened_ns[rank.first]),
        end_ns=int(rank.busy_end_ns[-1]),
        steps=step_times([rank]),
    )


def rate_ratio(beside: MeasuredSteps, alone: MeasuredSteps) -> RateRatio | None:
    """Return samples/s of a pipeline beside others over its samples/s alone; None where one had no samples."""
    rates = [_samples_per_s(run.steps) for run in (beside, alone)]
    if rates[0] is None or not rates[1]:
        return None
    return RateRatio(ratio=rates[0] / rates[1], ci95=rate_ratio_ci95(beside.steps, alone.steps))


def overlap_ratio(own: MeasuredSteps, others: Sequence[MeasuredSteps]) -> float:
    """Return the share of a run's window in which the windows of all others were open too, 0.0 to 1.0."""
    start_ns = max(run.start_ns for run in [own, *others])
    end_ns = min(run.end_ns for run in [own, *others])
    length_ns = own.end_ns - own.start_ns
    return max(0, end_ns - start_ns) / length_ns if length_ns > 0 else 0.0


def _samples_per_s(steps: StepTimes) -> float | None:
    total_ns = int(np.sum(steps.step_ns))
    return int(np.sum(steps.samples)) / (total_ns / 1e9) if total_ns > 0 else None
