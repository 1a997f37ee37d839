"""How fast the CPUs run while a run goes on: a fixed piece of work now and then, on one CPU after the other.

For the sampler's process; imports the standard library only.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from ioprof.host.proc_values import Values

METRIC = "core_work_ns"
EVERY_NS = 40_000_000
"""Time between two pieces of work: others on the other half of a core come and go within tenths of a second."""
_ADDITIONS = 1_500


def _worked_ns() -> int:
    """Return the CPU time of the work: what somebody else's turn on this CPU takes is not in it."""
    start_ns, total = time.thread_time_ns(), 0
    for number in range(_ADDITIONS):
        total += number
    return time.thread_time_ns() - start_ns


class Spinner:
    """Times the same work (about 40 µs) again and again, each time on the next of this process's CPUs.

    What shares a core with it may be another machine's, which no counter of this host shows: it makes all that
    computes here slower by up to a factor of two.
    """

    def __init__(self, worked_ns: Callable[[], int] = _worked_ns) -> None:
        self._worked_ns = worked_ns
        self._cpus = sorted(os.sched_getaffinity(0))
        self._turns = self._since = 0
        self._speeds = 0.0

    def turn(self) -> None:
        """Do the work once.

        Raises:
            OSError: the CPU whose turn it is is no longer this process's.
        """
        os.sched_setaffinity(0, {self._cpus[self._turns % len(self._cpus)]})
        self._turns += 1
        try:
            taken_ns = self._worked_ns()
        finally:
            os.sched_setaffinity(0, self._cpus)
        if taken_ns > 0:
            self._since, self._speeds = self._since + 1, self._speeds + 1 / taken_ns

    def read(self) -> Values:
        """Return what the work took at the mean speed of all turns since the last reading; one turn at least.

        Raises:
            OSError: as `turn`.
        """
        if not self._since:
            self.turn()
        if not self._since:
            return {}
        mean_ns = self._since / self._speeds
        self._since, self._speeds = 0, 0.0
        return {(METRIC, ""): mean_ns}
