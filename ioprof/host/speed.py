"""How fast this host's CPU runs just now, by a fixed piece of work."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

from ioprof.clock import now_ns

_LOOPS = 5
_ROUNDS = 10
_ADDITIONS = 10_000
_REST_S = 0.015
"""Between two loops: what keeps the CPU busy for a moment only must not be there at all of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """A fixed piece of arithmetic, timed in short loops that rest between them."""

    best_ns: int
    """The fastest round of all: what interrupts a round says nothing of the CPU's speed."""
    typical_ns: int
    """Median of the loops' fastest rounds."""
    waited_ratio: float
    """Share of the loops' time in which this thread was not on a CPU: others were, or nobody (0.0 to 1.0)."""


def measured_speed(
    clock_ns: Callable[[], int] = now_ns,
    cpu_ns: Callable[[], int] = time.thread_time_ns,
    rest: Callable[[float], None] = time.sleep,
) -> Speed:
    """Time the work (about 80 ms in all).

    On one host two values differ where its clock rate changed, or where somebody else keeps the other half of its core
    busy: that half the other machines of a hypervisor may have, and then it makes up to a factor of 1.7 all by itself.

    Args:
        clock_ns: source of time.
        cpu_ns: CPU time of this thread.
        rest: waits, in seconds.
    """
    fastest_ns, wall_ns, on_cpu_ns = list[int](), 0, 0
    for loop in range(_LOOPS):
        if loop:
            rest(_REST_S)
        start_ns, start_cpu_ns = clock_ns(), cpu_ns()
        fastest_ns.append(min(_round_ns(clock_ns) for _ in range(_ROUNDS)))
        wall_ns, on_cpu_ns = wall_ns + clock_ns() - start_ns, on_cpu_ns + cpu_ns() - start_cpu_ns
    return Speed(
        best_ns=min(fastest_ns),
        typical_ns=round(statistics.median(fastest_ns)),
        waited_ratio=min(1.0, max(0.0, 1 - on_cpu_ns / wall_ns)) if wall_ns > 0 else 0.0,
    )


def _round_ns(clock_ns: Callable[[], int]) -> int:
    start_ns, total = clock_ns(), 0
    for number in range(_ADDITIONS):
        total += number
    return clock_ns() - start_ns
