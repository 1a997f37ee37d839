"""The host's CPUs during a run: how many there are, who else used them, and what the run took beside its workers."""

from __future__ import annotations

import numpy as np
import pyarrow.compute as pc

from ioprof.analysis.measured import RankSteps, measured_ranks
from ioprof.host.spin import METRIC
from ioprof.trace.run_record import RunRecord
from ioprof.trace.trace import Trace

_FEWEST_TIMED = 5
"""Of fewer timings nothing is said of a run's CPUs."""


def cores_of(run: RunRecord) -> float:
    """Return the CPUs that the run may use: by affinity, or a control group's quota if that is less; at least 0.1."""
    known = [run.host.get(name) for name in ("affinity_cores", "cgroup_cpu_cores")]
    cores = [float(value) for value in known if isinstance(value, int | float) and value > 0]
    return max(0.1, min(cores, default=float(run.host.get("logical_cores") or 1)))


def other_load_of(trace: Trace, rank: RankSteps) -> float:
    """Return the CPUs that other programs kept busy during the measured steps; 0 where that is not known."""
    busy, ours = (_used_cores(trace, rank, name) for name in ("cpu_busy_s_total", "tree_cpu_s_total"))
    return max(0.0, busy - ours) if busy is not None and ours is not None else 0.0


def cpu_beside_making_ns(trace: Trace, rank: RankSteps, making_ns: float) -> float | None:
    """Return the CPU time per batch of the run's processes beyond what workers took to make it; None: not known."""
    ours = _used_cores(trace, rank, "tree_cpu_s_total")
    if ours is None or not rank.measured:
        return None
    per_batch_ns = ours * rank.window_ns / rank.measured / max(1, trace.run.accelerator.count)
    return max(0.0, per_batch_ns - making_ns)


def _used_cores(trace: Trace, rank: RankSteps, metric: str) -> float | None:
    """Return the growth of a counter of seconds over the measured steps, per second."""
    if trace.host is None or not rank.measured:
        return None
    rows = trace.host.filter(pc.equal(pc.cast(trace.host["metric"], "string"), metric))
    times, values = rows["time_ns"].to_numpy(), rows["value"].to_numpy()
    inside = (times >= rank.opened_ns[rank.first]) & (times <= rank.busy_end_ns[-1])
    if inside.sum() < 2:
        return None
    times, values = times[inside], values[inside]
    lasted = float(np.ptp(times))
    return float(values[-1] - values[0]) / lasted * 1e9 if lasted > 0 else None


def cpu_work_ns(trace: Trace) -> float | None:
    """Return what a fixed piece of work took of a CPU during the measured steps; None: it was not timed.

    Half of the time at half the speed is three quarters of the work: of speeds the mean is taken, not of times.
    """
    if trace.host is None:
        return None
    rows = trace.host.filter(pc.equal(pc.cast(trace.host["metric"], "string"), METRIC))
    times, values = rows["time_ns"].to_numpy(), rows["value"].to_numpy()
    ranks = [rank for rank in measured_ranks(trace.steps, trace.run, trace.checkpoints) if rank.measured]
    if not ranks:
        return None
    rank = ranks[0]
    inside = (times >= rank.opened_ns[rank.first]) & (times <= rank.busy_end_ns[-1]) & (values > 0)
    return float(1.0 / np.mean(1.0 / values[inside])) if inside.sum() >= _FEWEST_TIMED else None
