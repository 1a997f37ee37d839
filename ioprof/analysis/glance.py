"""The two figures by which a run is recognised in a list, from its steps alone: the same as in its report."""

from __future__ import annotations

from dataclasses import dataclass

from ioprof.analysis.measured import measured_ranks
from ioprof.analysis.reasons import Reasons
from ioprof.analysis.utilization import nothing_measured, progress
from ioprof.trace.trace import Trace


@dataclass(frozen=True, slots=True, kw_only=True)
class Glance:
    """What a list shows of a run that has no summary."""

    accelerator_utilization: float | None
    """Busy / (busy + idle), measured steps only; None without an accelerator or a measured step."""
    samples_per_s: float | None
    problem: str | None
    """Why there is no rate; None: there is one."""


def glance(trace: Trace) -> Glance:
    """Return the figures; neither spans nor intervals are computed, so that many runs can be looked at."""
    ranks = measured_ranks(trace.steps, trace.run, trace.checkpoints)
    done = progress(trace.run, ranks, Reasons())
    busy_ns = sum(int(rank.busy_ns.sum()) for rank in ranks)
    window_ns = busy_ns + sum(int(rank.idle_ns.sum()) for rank in ranks)
    emulated = trace.run.accelerator.busy_ns_per_batch is not None
    return Glance(
        accelerator_utilization=busy_ns / window_ns if emulated and window_ns else None,
        samples_per_s=done.samples_per_s,
        problem=nothing_measured(ranks) if done.samples_per_s is None else None,
    )
