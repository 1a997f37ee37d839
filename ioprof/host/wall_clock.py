"""How the run's clock stands against the wall clock, so that other programs' traces can be laid beside a run.

The run's clock (`ioprof.clock`) begins at some instant of its own; torch's profiler and system logs write Unix time.
The distance between the two is read when a run begins and when it ends: in between the wall clock is slewed, or set.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from ioprof.clock import now_ns

OFFSET, ERROR = "wall_offset_ns", "wall_offset_error_ns"
END_OFFSET, END_ERROR = "wall_offset_end_ns", "wall_offset_end_error_ns"
_READINGS = 15


def wall_offset_ns(
    run_clock: Callable[[], int] = now_ns, wall_clock: Callable[[], int] = time.time_ns
) -> tuple[int, int]:
    """Return Unix time less the run's clock now, in ns, and by how much that may be wrong.

    The wall clock is read between two readings of the run's; of several tries the one whose readings lie closest
    together counts, and half their distance is what it may be off.

    Args:
        run_clock: the run's clock.
        wall_clock: nanoseconds since 1970.
    """
    best = (0, -1)
    for _ in range(_READINGS):
        before_ns, wall_ns, after_ns = run_clock(), wall_clock(), run_clock()
        error_ns = (after_ns - before_ns + 1) // 2
        if best[1] < 0 or error_ns < best[1]:
            best = (wall_ns - (before_ns + after_ns) // 2, error_ns)
    return best


def wall_clock_at_start() -> dict[str, int]:
    """Return what run.json says of the wall clock as a run begins."""
    offset_ns, error_ns = wall_offset_ns()
    return {OFFSET: offset_ns, ERROR: error_ns}


def wall_clock_at_end() -> dict[str, int]:
    """Return what run.json says of the wall clock as a run ends."""
    offset_ns, error_ns = wall_offset_ns()
    return {END_OFFSET: offset_ns, END_ERROR: error_ns}
