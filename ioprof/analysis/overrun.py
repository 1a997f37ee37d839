"""Steps of an emulated accelerator that took longer than asked for: time that counts as busy, and was not."""

from __future__ import annotations

from ioprof.analysis.measured import RankSteps
from ioprof.analysis.wording import percent
from ioprof.trace.run_record import RunRecord
from ioprof.units import format_duration

TELLING_DIFFERENCE = 0.01
"""From this difference of utilisation on, that the steps took too long is told."""


def overrun(run: RunRecord, ranks: list[RankSteps]) -> str | None:
    """Return that the emulated accelerator was busy for longer than asked, which flatters; None: it kept to it.

    Its step is a sleep, which ends when its thread gets a CPU again: where other programs or the workers hold all of
    them, that is late. Nothing is said where each batch's time was drawn, as what was drawn is not recorded.

    Args:
        run: the record.
        ranks: the measured steps.
    """
    asked_ns = run.accelerator.busy_ns_per_batch
    steps = sum(rank.measured for rank in ranks)
    if (
        run.accelerator.is_measured
        or not asked_ns
        or not steps
        or run.spec.get("accelerator", {}).get("compute_spread") is not None
    ):
        return None
    busy_ns, idle_ns = sum(int(rank.busy_ns.sum()) for rank in ranks), sum(int(rank.idle_ns.sum()) for rank in ranks)
    if busy_ns <= steps * asked_ns:
        return None
    counted = busy_ns / (busy_ns + idle_ns)
    as_asked = steps * asked_ns / (steps * asked_ns + idle_ns)
    if counted - as_asked < TELLING_DIFFERENCE:
        return None
    return (
        f"The emulated accelerator's steps took {format_duration(busy_ns / steps)} on average where "
        f"{format_duration(asked_ns)} were asked for: it got no CPU in time. That counts as busy; with steps as asked "
        f"and the same idle time, utilisation is {percent(as_asked)}, not {percent(counted)}."
    )
