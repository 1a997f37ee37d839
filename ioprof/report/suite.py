"""A suite for people: one table, then each run's answer."""

from __future__ import annotations

from rich.text import Text

from ioprof.compound.suite_record import SuiteEntryRecord, SuiteRecord
from ioprof.report.compound_tables import FIGURE_HEADS, NONE, figure_cells
from ioprof.report.layout import columns, paragraph
from ioprof.units import format_duration

_NOT_RUN = ("skipped", "waiting")


def render_suite(record: SuiteRecord, width: int) -> list[Text]:
    """Return the report as lines of at most ``width`` columns, the table apart."""
    ran = [one for one in record.entries if one.outcome not in _NOT_RUN]
    left_out = [one for one in record.entries if one.outcome in _NOT_RUN]
    blocks = [
        paragraph(_head(record, len(ran)), width, first="", style="bold"),
        _table(ran, width),
        [line for one in ran for line in _answer(one, width)],
        [line for one in left_out for line in _left_out(one, width)],
        _ending(record, width),
    ]
    return [line for block in blocks if block for line in [*block, Text("")]][:-1]


def _head(record: SuiteRecord, ran: int) -> str:
    seconds = sum(one.seconds or 0.0 for one in record.entries)
    return (
        f"suite {record.suite} · {record.store} · {ran} of {len(record.entries)} workloads run in "
        f"{format_duration(seconds * 1e9)}"
    )


def _table(ran: list[SuiteEntryRecord], width: int) -> list[Text]:
    if not ran:
        return []
    rows = [["workload", *FIGURE_HEADS, "took", "outcome"]]
    for one in ran:
        rows.append([one.name, *figure_cells(one.figures), _took(one), one.outcome])
        rows += [[f"  {name}, together", *figure_cells(found), "", ""] for name, found in one.together.items()]
    return [
        *columns(rows, indent=2),
        *paragraph("p99: of the operation that took most time", width, style="dim"),
    ]


def _took(one: SuiteEntryRecord) -> str:
    return NONE if one.seconds is None else format_duration(one.seconds * 1e9)


def _answer(one: SuiteEntryRecord, width: int) -> list[Text]:
    told = one.reason if one.outcome != "complete" else one.verdict
    style = "" if one.outcome == "complete" else "yellow"
    return paragraph(f"{one.name}: {told or 'no verdict'}", width, rest="    ", style=style)


def _left_out(one: SuiteEntryRecord, width: int) -> list[Text]:
    why = one.reason or "not begun"
    return paragraph(f"{one.name}: {one.outcome}, {why}", width, rest="    ", style="dim")


def _ending(record: SuiteRecord, width: int) -> list[Text]:
    if record.outcome == "running":
        return paragraph("It goes on, or was killed: what stands here is complete up to now.", width)
    if record.outcome != "complete":
        return paragraph(f"{record.outcome}: {record.reason}", width, style="yellow")
    return []
