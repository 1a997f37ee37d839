"""Whether the machine was the same throughout a run: its CPU's speed, and CPU time that others took from it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ioprof.analysis.host import CORE_BUSY_METRIC
from ioprof.analysis.wording import percent, whole_percent
from ioprof.trace.run_record import CalibrationRecord, RunRecord
from ioprof.trace.trace import Trace
from ioprof.units import format_duration

SPEED_CHANGE = 1.2
"""A CPU that became faster or slower by more than this factor is told: the loop's own scatter is half of that."""
MATTERS = 0.05
"""What can have moved the run by no more than this share is not told: a change of speed, CPU time that others took."""
_TREE_CPU_METRIC = "tree_cpu_s_total"
_STEAL_METRIC = "cpu_steal_s_total"


def speed_ratio(run: RunRecord) -> float | None:
    """Return the speed of a CPU after the run over that before it; None: not timed at both ends."""
    timed = run.calibration
    return timed.before_ns / timed.after_ns if timed is not None and timed.after_ns else None


def machine_changes(trace: Trace) -> Iterator[str]:
    """Yield what a reader must know of the machine under a run, one sentence or two for each."""
    timed = trace.run.calibration
    if timed is not None and timed.after_ns:
        yield from _speed_change(trace, timed, timed.after_ns)
        yield from _throttled(trace, timed)
    yield from _stolen(trace)


def _speed_change(trace: Trace, timed: CalibrationRecord, after_ns: int) -> Iterator[str]:
    """Tell of a change only where it is more than what comes and goes at one end."""
    slower_after = after_ns > timed.before_ns
    slower_ns, faster_ns = (after_ns, timed.before_ns) if slower_after else (timed.before_ns, after_ns)
    typical_ns = timed.before_typical_ns if slower_after else timed.after_typical_ns
    if slower_ns <= SPEED_CHANGE * (typical_ns or faster_ns):
        return
    factor, used = slower_ns / faster_ns, _cores_used(trace)
    # What the CPU does is at most so much of the run's time, whichever process it is in.
    moved = (1 - 1 / factor) * min(1.0, used) if used is not None else None
    if moved is not None and moved <= MATTERS:
        return
    told = (
        f"This machine changed: one CPU was {factor:.1f} times {'slower' if slower_after else 'faster'} after the run"
    )
    told += f" than before it{_others(timed)}, so its clock rate changed or other work came or went. "
    if moved is not None:
        told += f"The run kept {used:.2g} CPUs busy: its rates may be off by up to {whole_percent(moved)}. "
    yield told + "Run again, with nothing else at work."


def _others(timed: CalibrationRecord) -> str:
    before, after = timed.before_waited_ratio, timed.after_waited_ratio
    if before is None or after is None:
        return ""
    return f" (it was taken away for {whole_percent(before)} of the time before, {whole_percent(after)} after)"


def _throttled(trace: Trace, timed: CalibrationRecord) -> Iterator[str]:
    wall_s = _wall_s(trace)
    if timed.throttled_ns and wall_s and timed.throttled_ns / 1e9 > MATTERS * wall_s:
        stood, took = format_duration(timed.throttled_ns), format_duration(wall_s * 1e9)
        yield (
            f"The CPU quota of this control group stood the run's processes still for {stood} in a run of {took}: that "
            "looks like slow storage. Raise the quota (docker --cpus, Kubernetes limits.cpu), or use fewer workers."
        )


def _stolen(trace: Trace) -> Iterator[str]:
    stolen_s, wall_s, cores = _grown(trace, _STEAL_METRIC), _wall_s(trace), _cores(trace.host)
    if stolen_s is not None and wall_s and cores and stolen_s > MATTERS * wall_s * cores:
        share = percent(stolen_s / (wall_s * cores))
        yield (
            f"The hypervisor gave {share} of this machine's CPU time to others during the run: timings swing with "
            "that. Repeat it, compare interleaved (A B A B), or use a dedicated host."
        )


def _cores_used(trace: Trace) -> float | None:
    """Return how many CPUs the run's own processes kept busy on average, over all its steps."""
    used_s, wall_s = _grown(trace, _TREE_CPU_METRIC), _wall_s(trace)
    return used_s / wall_s if used_s is not None and wall_s else None


def _wall_s(trace: Trace) -> float | None:
    if trace.steps.num_rows == 0:
        return None
    return float((pc.max(trace.steps["busy_end_ns"]).as_py() - pc.min(trace.steps["wait_start_ns"]).as_py()) / 1e9)


def _grown(trace: Trace, metric: str) -> float | None:
    """Return by how much a counter of the host grew while the steps were done, in its unit; None: not known."""
    host, steps = trace.host, trace.steps
    if host is None or steps.num_rows == 0:
        return None
    rows = host.filter(pc.equal(host["metric"].cast(pa.string()), metric)).sort_by("time_ns")
    if rows.num_rows < 2:
        return None
    ends = [pc.min(steps["wait_start_ns"]).as_py(), pc.max(steps["busy_end_ns"]).as_py()]
    first, last = np.interp(ends, rows["time_ns"].to_numpy(), rows["value"].to_numpy())
    return float(last - first)


def _cores(host: pa.Table | None) -> int:
    if host is None:
        return 0
    return len(pc.unique(host["device"].filter(pc.equal(host["metric"].cast(pa.string()), CORE_BUSY_METRIC))))
