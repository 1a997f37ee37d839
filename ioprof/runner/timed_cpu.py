"""The CPU's speed at both ends of a run, and how long a control group held it back between them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from ioprof.host.cgroup import cpu_throttled_ns
from ioprof.host.speed import measured_speed
from ioprof.trace.run_record import CalibrationRecord


@contextlib.contextmanager
def timed_cpu(note: Callable[[CalibrationRecord], None]) -> Iterator[None]:
    """Time the CPU before and after the block; after it only where it ended well.

    Args:
        note: given what is known, twice.
    """
    before, stood_ns = measured_speed(), cpu_throttled_ns()
    timed = CalibrationRecord(
        before_ns=before.best_ns, before_typical_ns=before.typical_ns, before_waited_ratio=before.waited_ratio
    )
    note(timed)
    yield
    still_ns, after = cpu_throttled_ns(), measured_speed()
    found = {
        "after_ns": after.best_ns,
        "after_typical_ns": after.typical_ns,
        "after_waited_ratio": after.waited_ratio,
        "throttled_ns": None if stood_ns is None or still_ns is None else still_ns - stood_ns,
    }
    note(timed.model_copy(update=found))
