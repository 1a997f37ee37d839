"""How fast a CPU runs while a run goes on: a fixed piece of work now and then, on one CPU after the other.

For the sampler's process; imports the standard library only.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from ioprof.host.proc_values import Values

METRIC = "core_work_ns"
_ADDITIONS = 4_000


def _worked_ns() -> int:
    """Return the CPU time of the work: what somebody else's turn on this CPU takes is not in it."""
    start_ns, total = time.thread_time_ns(), 0
    for number in range(_ADDITIONS):
        total += number
    return time.thread_time_ns() - start_ns


class Spinner:
    """Times the same work (about 0.1 ms) on the next of this process's CPUs with every reading.

    What shares a core with it may be another machine's, which no counter of this host shows: it makes all that
    computes here slower by up to a factor of 1.7, for seconds.
    """

    def __init__(self, worked_ns: Callable[[], int] = _worked_ns) -> None:
        self._worked_ns = worked_ns
        self._cpus = sorted(os.sched_getaffinity(0))
        self._turn = 0

    def read(self) -> Values:
        """Return what the work took on the CPU whose turn it is.

        Raises:
            OSError: the CPU is no longer this process's.
        """
        cpu = self._cpus[self._turn % len(self._cpus)]
        self._turn += 1
        os.sched_setaffinity(0, {cpu})
        try:
            taken_ns = self._worked_ns()
        finally:
            os.sched_setaffinity(0, self._cpus)
        return {(METRIC, f"cpu{cpu}"): float(taken_ns)}
