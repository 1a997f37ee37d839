"""The end of the page, folded: what exactly was run, on what, and what the figures cost and leave out."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from ioprof.analysis.summary import Summary
from ioprof.report.html.section import Block, Cell, Command, Folded, Section, Table, Text
from ioprof.report.html.words import UNKNOWN, share
from ioprof.trace.trace import Trace
from ioprof.units import format_bytes, format_duration


def facts(trace: Trace, summary: Summary) -> Section:
    """Return the spec, the store, the host, the versions, and what the measurement saw and cost."""
    run = trace.run
    spec = {f"{section}.{key}": value for section, values in run.spec.items() for key, value in values.items()}
    blocks: list[Block] = [
        Command(line=shlex.join(run.command), told="the command that made this run"),
        _worth(summary),
        Folded(title="Spec as resolved", blocks=(_pairs("Spec (sizes in bytes, times in ns)", spec),)),
        Folded(title="Store", blocks=(_pairs("Store", run.store),)),
        Folded(title="Host", blocks=(_pairs("Host", run.host),)),
        Folded(title="Versions and clock", blocks=(_pairs("Versions", run.versions), _pairs("Clock", run.clock))),
    ]
    if summary.reasons:
        blocks.append(
            Folded(title="What is unknown, and why", blocks=(_pairs("Keys of summary.json", summary.reasons),))
        )
    return Section(id="facts", title="The run in full", blocks=tuple(blocks))


def _worth(summary: Summary) -> Table:
    seen, cost = summary.coverage, summary.overhead
    kernel = "" if seen.kernel_bytes is None else f"of {format_bytes(seen.kernel_bytes)} that the kernel counted"
    spans = (
        ""
        if cost.span_ns is None
        else f"at least; {cost.spans or 0:,} operations at {format_duration(cost.span_ns)} each"
    )
    rows: tuple[tuple[Cell, ...], ...] = (
        (
            "coverage: bytes that passed the taps",
            share("coverage.ratio", seen.ratio),
            kernel or _why(summary, "coverage.ratio"),
        ),
        ("tracing, of the workers' time", share("overhead.share_of_worker_time", cost.share_of_worker_time), spans),
        ("host CPUs busy", share("cpu.utilization", summary.cpu.utilization), _why(summary, "cpu.utilization")),
        ("page cache evidence", summary.cache.method or UNKNOWN, summary.cache.evidence),
        ("spans kept", f"1 in {summary.sample_every} batches", "counts and histograms are exact regardless"),
    )
    return Table(header=("", "value", ""), rows=rows, caption="What the figures are worth", worded=frozenset({2}))


def _why(summary: Summary, key: str) -> str:
    return summary.reasons.get(key, "")


def _pairs(caption: str, values: Mapping[str, object]) -> Table | Text:
    if not values:
        return Text(text=f"{caption}: nothing was recorded.", tone="faint")
    rows = tuple((key, _plain(value)) for key, value in values.items())
    return Table(header=("key", "value"), rows=rows, caption=caption, worded=frozenset({1}))


def _plain(value: object) -> str:
    return "not set" if value is None else str(value)
