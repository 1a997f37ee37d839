"""A replay beside the run that it repeats, for people."""

from __future__ import annotations

from rich.text import Text

from ioprof.analysis.replay_figures import KindFigures, Replayed
from ioprof.analysis.summary import Summary
from ioprof.analysis.wording import percent
from ioprof.report.layout import columns, fact
from ioprof.units import format_count, format_duration, format_rate_bytes

_PACES = {
    "closed": "closed loop: each worker's pauses between operations as recorded",
    "open": "open loop: each request at its recorded time",
    "fastest": "as fast as the store goes: no pauses",
}


def replay_lines(summary: Summary, width: int) -> list[Text]:
    """Return both runs, side by side; nothing for runs that repeat no other one."""
    found = summary.replay
    if found is None:
        return []
    lines = fact("repeats", found.source or "a run whose names are hidden", width)
    lines += fact("pace", f"{_PACES[found.pace]}; {_who(found)}", width)
    if found.iops is not None and found.recorded_iops is not None and found.iops_ratio is not None:
        told = f"{_rate(found.iops)} operations/s, recorded {_rate(found.recorded_iops)}: {percent(found.iops_ratio)}"
        lines += fact("rate", told, width)
    if found.replayed_s is not None:
        took = f"{format_duration(found.replayed_s * 1e9)}, recorded {format_duration(found.recorded_s * 1e9)}"
        lines += fact("took", took, width)
    lines += _issue_lines(found, width)
    for why, count in found.left_out.items():
        lines += fact("left out", f"{count:,} operations that {_why(why)}", width)
    return [*lines, Text(""), *_table(found, width)]


def _who(found: Replayed) -> str:
    """Return who repeated what; a lane is a worker, or a part of one that did several things at once."""
    processes = f"{found.processes} {'process' if found.processes == 1 else 'processes'}"
    return processes if found.processes == found.lanes else f"{processes} for {found.lanes} workers, taking turns"


def _issue_lines(found: Replayed, width: int) -> list[Text]:
    late = found.issue_times
    if late is None:
        return []
    told = (
        f"{format_duration(late.p50_ns)} after the recorded time in the middle, p99 {format_duration(late.p99_ns)}, "
        f"worst {format_duration(late.max_ns)}; {percent(late.over_1ms_ratio)} of {late.requests:,} requests more than "
        "1 ms late"
    )
    return fact("issued", told, width)


def _why(why: str) -> str:
    return f"were {why}" if why.startswith("of ") else why


def _table(found: Replayed, width: int) -> list[Text]:
    rows = [["operation", "", "count", "per s", "bytes/s", "p50", "p99"]]
    for label, both in found.operations.items():
        rows.append([label, "recorded", *_cells(both.recorded)])
        rows.append(["", "replayed", *_cells(both.replayed)])
    return columns(rows, indent=4 if width >= 80 else 2)


def _cells(figures: KindFigures | None) -> list[str]:
    if figures is None:
        return ["-"] * 5
    return [
        f"{figures.count:,}",
        "n/a" if figures.per_s is None else _rate(figures.per_s),
        format_rate_bytes(figures.bytes_per_s) if figures.bytes and figures.bytes_per_s else "-",
        format_duration(figures.p50_ns),
        format_duration(figures.p99_ns),
    ]


def _rate(per_s: float) -> str:
    return format_count(round(per_s) if per_s >= 10 else per_s)
