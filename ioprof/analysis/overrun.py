"""Steps of an emulated accelerator that took longer than asked for: the host was late, the accelerator was not busy."""

from __future__ import annotations

from ioprof.analysis.measured import RankSteps, asked_busy_ns
from ioprof.analysis.wording import percent
from ioprof.trace.run_record import RunRecord
from ioprof.units import format_duration

TELLING_DIFFERENCE = 0.01
"""From this difference of utilisation on, that the steps took too long is told."""


def overrun(run: RunRecord, ranks: list[RankSteps]) -> str | None:
    """Return that emulated steps ended late, and what utilisation would be if that counted as busy; None: hardly any.

    A step is a sleep, which ends when its thread gets a CPU again: where other programs or the workers hold all of
    them, that is late. Nothing is said where each batch's time was drawn, as what was drawn is not recorded.

    Args:
        run: the record.
        ranks: the measured steps.
    """
    asked_ns = asked_busy_ns(run)
    steps = sum(rank.measured for rank in ranks)
    if asked_ns is None or not steps:
        return None
    busy_ns, idle_ns = sum(int(rank.busy_ns.sum()) for rank in ranks), sum(int(rank.idle_ns.sum()) for rank in ranks)
    if busy_ns + idle_ns <= 0:
        return None
    took_ns = busy_ns + sum(int(rank.late_ns.sum()) for rank in ranks)
    late_ns = sum(int(rank.late_before_ns.sum()) for rank in ranks)
    true, as_slept = busy_ns / (busy_ns + idle_ns), (busy_ns + late_ns) / (busy_ns + idle_ns)
    if as_slept - true < TELLING_DIFFERENCE:
        return None
    return (
        f"The emulated accelerator's steps ended after {format_duration(took_ns / steps)} on average where "
        f"{format_duration(asked_ns)} were asked for: the host got no CPU in time. A real one would have been idle by "
        f"then, so that is idle time (host late); counted as busy, utilisation would be {percent(as_slept)}, not "
        f"{percent(true)}."
    )
