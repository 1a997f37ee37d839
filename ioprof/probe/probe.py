"""The store's ceiling for one workload: a climb over numbers of processes, and the curve through its levels."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from ioprof.clock import now_ns
from ioprof.host.cgroup import cpu_quota_cores
from ioprof.probe.climb import ceiling_of, climb
from ioprof.probe.level import FEWEST_WINDOWS, PRECISION_RATIO, WINDOW_NS, measure_level
from ioprof.probe.memory import LevelMemory
from ioprof.probe.pattern import Pattern
from ioprof.probe.rates import half_width_ratio
from ioprof.probe.scalability import scalability
from ioprof.probe.short_reads import short_reads
from ioprof.trace.probe_record import CeilingRecord, LevelRecord, ScalabilityRecord, ShortReadsRecord

LONGEST_LEVEL_NS = 3_000_000_000
_SHORTEST_LEVEL_NS = FEWEST_WINDOWS * WINDOW_NS
_LEVELS = 6
"""Levels that a budget should do for."""
MOST_PROCESSES = 128
"""Where no climb goes beyond unless it is asked to: each process takes some tens of megabytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """What a probe found."""

    levels: list[LevelRecord]
    ceiling: CeilingRecord | None
    scalability: ScalabilityRecord | None
    short_reads: ShortReadsRecord | None
    cores: float
    caveats: list[str]


def usable_cores() -> float:
    """Return the CPUs that this process and its children may use: affinity, or a control group's quota if less."""
    affinity = float(len(os.sched_getaffinity(0)))
    quota = cpu_quota_cores()
    return affinity if quota is None else min(affinity, quota)


def probe(
    pattern: Pattern,
    *,
    budget_ns: int,
    first: int,
    most: int,
    is_warm: bool,
    measured: Callable[[LevelRecord], None],
    tick: Callable[[int], None],
) -> Probed:
    """Climb until the rate no longer grows or the time is up; evicting and warming is not counted as time.

    Where the store is the limit, one level of short reads follows (`short_reads`), also beyond the time.

    Args:
        pattern: hands out what each level reads.
        budget_ns: time for all levels together.
        first: processes of the first level.
        most: processes that must not be exceeded.
        is_warm: the page cache has been made warm already, where that is wanted.
        measured: told each level.
        tick: told the time spent so far, in ns, several times a second.

    Raises:
        RunError: a process of the probe failed.
    """
    cores = usable_cores()
    pattern.prepare(is_warm=is_warm)
    start_ns = now_ns() - pattern.spent_ns
    begun, memory = list[int](), LevelMemory()
    longest_ns = max(_SHORTEST_LEVEL_NS, min(LONGEST_LEVEL_NS, budget_ns // _LEVELS))

    def spent_ns() -> int:
        return now_ns() - start_ns - pattern.spent_ns

    def look() -> None:
        memory.look()
        tick(spent_ns())

    def measure(processes: int) -> LevelRecord | None:
        # One level there must be, however short the budget.
        if begun and spent_ns() + _SHORTEST_LEVEL_NS > budget_ns:
            return None
        if begun and processes > begun[-1] and not memory.has_room():
            pattern.tell(f"the climb ended before {processes} processes: there is no memory for so many")
            return None
        begun.append(processes)
        reading = pattern.next()
        memory.begin()
        level, places = measure_level(
            reading,
            processes,
            longest_ns=longest_ns,
            cores=cores,
            tick=look,
            slowest_ns=max(LONGEST_LEVEL_NS, budget_ns // 2),
            missing=pattern.tell,
        )
        memory.end()
        pattern.took(places)
        if level is not None:
            measured(level)
        return level

    climbed = climb(measure, first=first, most=max(first, most))
    ceiling = ceiling_of(climbed)
    return Probed(
        levels=climbed.levels,
        ceiling=ceiling,
        scalability=scalability(climbed.levels),
        short_reads=short_reads(pattern, climbed, ceiling, cores=cores, tick=look),
        cores=cores,
        caveats=[*pattern.caveats, *_caveats(climbed.levels, pattern)],
    )


def _caveats(levels: list[LevelRecord], pattern: Pattern) -> list[str]:
    found = []
    short = [half_width_ratio(level.window_samples_per_s) for level in levels if level.ended == "read-through"]
    if pattern.is_cold and any(half > PRECISION_RATIO for half in short):
        found.append(
            f"the dataset ({pattern.job.samples:,} samples) is too small to be read cold for as long as a level should "
            "take: levels ended when each sample had been read once; use a larger dataset for narrower intervals"
        )
    failed = sum(level.failed_samples for level in levels)
    if failed:
        found.append(f"{failed:,} samples could not be read")
    return found
