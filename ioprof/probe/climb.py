"""The climb: twice as many processes each time, until more of them no longer bring more samples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

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
    still_grew: bool
    """It ended for another reason than that the rate no longer grew."""


def climb(measure: Measure, *, first: int, most: int) -> Climbed:
    """Measure ``first`` processes, then twice as many each time; then fewer, down to one.

    It turns when one level is with 95 % confidence no better than the best before it, or when two in a row look so
    (`WORTHWHILE_RATIO`). Fewer than ``first`` are measured at the end, while there is time.

    Args:
        measure: asked for one level after another; None ends the way up, or the way down.
        first: where the climb begins.
        most: processes that must not be exceeded.
    """
    levels: list[LevelRecord] = []
    processes, stayed, still_grew = first, 0, True
    while processes <= most:
        level = measure(processes)
        if level is None:
            break
        best = max(levels, key=lambda one: one.samples_per_s, default=None)
        levels.append(level)
        if best is not None:
            most_ratio = ratio_ci95(level.window_samples_per_s, best.window_samples_per_s)[1]
            stayed = 0 if level.samples_per_s > WORTHWHILE_RATIO * best.samples_per_s else stayed + 1
            if most_ratio < WORTHWHILE_RATIO or stayed == _STAYED_ENOUGH:
                still_grew = False
                break
        processes *= 2
    processes = first // 2
    while levels and processes >= 1 and (level := measure(processes)) is not None:
        levels.append(level)
        processes //= 2
    return Climbed(levels=levels, still_grew=still_grew)


def ceiling_of(climbed: Climbed) -> CeilingRecord | None:
    """Return the most that was reached and what kept it there; None without a level that read anything."""
    levels = [level for level in climbed.levels if level.samples_per_s > 0]
    if not levels:
        return None
    best = max(levels, key=lambda level: level.samples_per_s)
    needed = min(level.processes for level in levels if level.samples_per_s >= NEEDED_SHARE * best.samples_per_s)
    limited_by, evidence = _limit(best, climbed.still_grew)
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


def _limit(best: LevelRecord, still_grew: bool) -> tuple[LimitedBy, str]:
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
    if still_grew:
        return "unknown", f"the rate still grew at {at}, where the probe ended: the store may give more"
    return "store", f"more processes brought no more; {told}"


def _percent(ratio: float) -> str:
    return f"{ratio:.0%}".replace("%", " %")
