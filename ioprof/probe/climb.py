"""The climb: twice as many processes each time, until more of them no longer bring more samples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from ioprof.probe.rates import ratio_ci95
from ioprof.trace.probe_record import CeilingRecord, LevelRecord, LimitedBy

WORTHWHILE_RATIO = 1.05
"""Twice the processes for less than this is no growth."""
NEEDED_SHARE = 0.95
"""The fewest processes that reach this share of the ceiling are those that it needs."""
_STAYED_ENOUGH = 2
"""So many levels in a row that look no better end a climb, however wide their intervals."""

Measure = Callable[[int], LevelRecord | None]
"""Measures a level with so many processes; None: there was too little to read, or no time left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Climbed:
    """The levels of a climb."""

    levels: list[LevelRecord]
    """In the order in which they were measured."""
    ended: Literal["stayed", "most", "stopped"]
    """Why no more processes were tried: they brought no more; no more are allowed; time, memory or samples ended."""

    @property
    def still_grew(self) -> bool:
        """Whether the level with the most processes had the highest rate of several, and the climb ended there."""
        top = max(self.levels, key=lambda level: level.processes)
        others = [level.samples_per_s for level in self.levels if level is not top]
        return self.ended != "stayed" and bool(others) and top.samples_per_s > WORTHWHILE_RATIO * max(others)


def climb(measure: Measure, *, first: int, most: int) -> Climbed:
    """Measure ``first`` processes, then twice as many each time; then fewer, down to one.

    It turns when one level is with 95 % confidence no better than the best before it, or when two in a row look so
    (`WORTHWHILE_RATIO`). ``most`` itself is the last level, also where it is less than twice the one before: such a
    step is too short to show that the rate no longer grows. Fewer than ``first`` are measured at the end, while there
    is time.

    Args:
        measure: asked for one level after another; None ends the way up, or the way down.
        first: where the climb begins.
        most: processes that must not be exceeded.
    """
    levels: list[LevelRecord] = []
    ended: Literal["stayed", "most", "stopped"] = "most"
    processes, stayed = first, 0
    while True:
        level = measure(processes)
        if level is None:
            ended = "stopped"
            break
        best = max(levels, key=lambda one: one.samples_per_s, default=None)
        levels.append(level)
        if best is not None and processes >= 2 * levels[-2].processes:
            most_ratio = ratio_ci95(level.window_samples_per_s, best.window_samples_per_s)[1]
            stayed = 0 if level.samples_per_s > WORTHWHILE_RATIO * best.samples_per_s else stayed + 1
            if most_ratio < WORTHWHILE_RATIO or stayed == _STAYED_ENOUGH:
                ended = "stayed"
                break
        if processes >= most:
            break
        processes = min(2 * processes, most)
    processes = first // 2
    while levels and processes >= 1 and (level := measure(processes)) is not None:
        levels.append(level)
        processes //= 2
    return Climbed(levels=levels, ended=ended)


def ceiling_of(climbed: Climbed) -> CeilingRecord | None:
    """Return the most that was reached and what kept it there; None without a level that read anything."""
    levels = [level for level in climbed.levels if level.samples_per_s > 0]
    if not levels:
        return None
    best = max(levels, key=lambda level: level.samples_per_s)
    needed = min(level.processes for level in levels if level.samples_per_s >= NEEDED_SHARE * best.samples_per_s)
    limited_by, evidence = _limit(best, climbed)
    return CeilingRecord(
        samples_per_s=best.samples_per_s,
        samples_per_s_ci95=best.samples_per_s_ci95,
        bytes_per_s=best.bytes_per_s,
        operations_per_s=best.operations_per_s,
        at_processes=best.processes,
        processes_needed=needed,
        limited_by=limited_by,
        is_lower_bound=limited_by != "store",
        evidence=evidence,
    )


def _limit(best: LevelRecord, climbed: Climbed) -> tuple[LimitedBy, str]:
    at = f"{best.processes} process{'' if best.processes == 1 else 'es'}"
    told = f"the probe used {_percent(best.on_cpu_ratio)} of its CPUs, all of the host's were "
    told += f"{_percent(best.host_cpu_ratio)} in use"
    if best.run_queue_ratio is not None and best.blocked_ratio is not None:
        told += f"; {at} waited for a CPU {_percent(best.run_queue_ratio)} of the time and for the store "
        told += _percent(best.blocked_ratio)
    if best.is_client_limited:
        return "client", f"{told}: the store may give more than this host can take"
    if best.is_crowded:
        return "unknown", f"{told}: with CPUs free, the store may give more"
    if climbed.ended != "stayed":
        return "unknown", f"{_cut_short(climbed, at)}: the store may give more"
    return "store", f"more processes brought no more; {told}"


def _cut_short(climbed: Climbed, at: str) -> str:
    why = "the most that it was allowed" if climbed.ended == "most" else "where the probe had to end"
    if climbed.still_grew:
        return f"the rate still grew at {at}, {why}"
    top = max(level.processes for level in climbed.levels)
    if len(climbed.levels) == 1:
        return f"only {at} could be tried, {why}"
    return f"no more than {top} processes were tried, {why}, which does not show that more bring no more"


def _percent(ratio: float) -> str:
    return f"{ratio:.0%}".replace("%", " %")
