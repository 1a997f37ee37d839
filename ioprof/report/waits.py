"""How late batches were and which steps waited extremely long, as lines of the report."""

from __future__ import annotations

from rich.text import Text

from ioprof.analysis.outliers import BETWEEN, FETCH, PREP, Outlier, Outliers
from ioprof.analysis.summary import Summary
from ioprof.report.layout import fact
from ioprof.units import format_duration

_SHOWN = 3


def waiting_lines(summary: Summary, width: int) -> list[Text]:
    """Return the lines on lateness and on extreme waits; none of what there is not."""
    late, extreme = summary.lateness, summary.outliers
    lines = [] if late is None else fact("lateness", _late_words(summary), width)
    if extreme is not None and extreme.longest:
        lines += fact("outliers", _outlier_words(extreme, summary.steps), width)
    return lines


def _late_words(summary: Summary) -> str:
    late = summary.lateness
    if late is None or late.half_from_steps is None:
        return "no batch came after it was due"
    return (
        f"batches came up to {format_duration(late.max_ns)} after they were due ({format_duration(late.p50_ns)} at the "
        f"median); half of that arose in {late.half_from_steps:,} of {summary.steps:,} steps"
    )


def _outlier_words(extreme: Outliers, steps: int) -> str:
    told = f"{extreme.steps:,} of {steps:,} steps waited over {format_duration(extreme.over_ns or 0)}"
    openers = [one for one in extreme.longest if one.opens_epoch]
    if openers:
        told += (
            f", {extreme.opening_epochs:,} of them the first of an epoch (up to {format_duration(openers[0].wait_ns)})"
        )
    others = [one for one in extreme.longest if not one.opens_epoch][:_SHOWN]
    return "; ".join([told, *map(_named, others)])


def _named(one: Outlier) -> str:
    told = f"step {one.step:,} waited {format_duration(one.wait_ns)} for batch {one.batch:,}"
    if one.worker >= 0:
        told += f" of worker {one.worker}"
    if one.worker_did is None or one.worker_did_ns is None:
        return told
    spent = format_duration(one.worker_did_ns)
    if one.worker_did in (FETCH, PREP):
        return f"{told}, which had {spent} of {one.worker_did}"
    return f"{told}, {spent} of it {'' if one.worker_did == BETWEEN else 'in '}{one.worker_did}"
