"""The store's curve: what ever more processes got from it, measured and fitted."""

from __future__ import annotations

from ioprof.analysis.summary import Summary
from ioprof.analysis.wording import percent
from ioprof.report.html.palette import BLUE, GREEN, ORANGE
from ioprof.report.html.section import Block, Chart, Json, Section, Table, Text
from ioprof.report.html.words import UNKNOWN, rate_text
from ioprof.report.probe import ceiling_words
from ioprof.trace.probe_record import LevelRecord, ProbeRecord, ScalabilityRecord
from ioprof.trace.trace import Trace
from ioprof.units import format_duration, format_rate_bytes

CURVE_POINTS = 60


def store_curve(trace: Trace, summary: Summary) -> Section:
    """Return what the probe found beside the run; a sentence where there was none."""
    probe = trace.probe
    why = trace.probe_defect or summary.reasons.get("ceiling_samples_per_s", "the store was not probed")
    return Section(
        id="store", title="The store without a loader", blocks=probe_blocks(probe, summary.samples_per_s, why)
    )


def probe_blocks(probe: ProbeRecord | None, delivered_per_s: float | None, why: str) -> tuple[Block, ...]:
    """Return the curve of a probe, and what it says of the ceiling.

    Args:
        probe: what was found; None: there was none.
        delivered_per_s: what the run beside it delivered.
        why: there is nothing to show, if so.
    """
    levels = [] if probe is None else [level for level in probe.levels if level.samples_per_s > 0]
    if probe is None or not levels:
        return (Text(text=f"Not known: {why}."),)
    told = "The ceiling is not known." if probe.ceiling is None else f"{ceiling_words(probe.ceiling)}."
    blocks: list[Block] = [Text(text=f"{told} Page cache: {probe.cache}."), _chart(probe, levels, delivered_per_s)]
    if probe.ceiling is not None:
        blocks.append(Text(text=probe.ceiling.evidence, tone="faint"))
    return (*blocks, *(Text(text=one, tone="warning") for one in probe.caveats))


def _chart(probe: ProbeRecord, levels: list[LevelRecord], delivered_per_s: float | None) -> Chart:
    ordered = sorted(levels, key=lambda level: level.processes)
    traces = [_measured(ordered)]
    if probe.scalability is not None:
        traces.append(_fit(probe.scalability, ordered[-1].processes))
    if delivered_per_s is not None:
        traces.append({
            "type": "scatter", "mode": "lines", "name": "delivered by the run",
            "x": [ordered[0].processes, ordered[-1].processes],
            "y": [delivered_per_s, delivered_per_s], "line": {"dash": "dot", "color": GREEN, "width": 1.5},
            "hovertemplate": "the run delivered %{y:,.4g} samples/s<extra></extra>",
        })  # fmt: skip
    best = max(ordered, key=lambda level: level.samples_per_s)
    return Chart(
        id="store-curve",
        title=f"Samples per second by processes reading at once ({probe.cache})",
        traces=tuple(traces),
        layout={
            "xaxis": {
                "title": {"text": "processes"}, "type": "log", "tickvals": [level.processes for level in ordered],
                "ticktext": [str(level.processes) for level in ordered],
            },
            "yaxis": {"title": {"text": "samples/s"}, "rangemode": "tozero"},
            "legend": {"orientation": "h", "y": 1.12},
        },
        summary=f"Most, {rate_text(best.samples_per_s)} samples/s, with {best.processes} processes.",
        table=_table(ordered),
    )  # fmt: skip


def _measured(ordered: list[LevelRecord]) -> dict[str, Json]:
    ends = [level.samples_per_s_ci95 or (level.samples_per_s, level.samples_per_s) for level in ordered]
    return {
        "type": "scatter", "mode": "markers", "name": "measured (95 % interval)",
        "x": [level.processes for level in ordered],
        "y": [level.samples_per_s for level in ordered], "marker": {"size": 9, "color": BLUE},
        "error_y": {
            "type": "data", "symmetric": False,
            "array": [high - level.samples_per_s for level, (_, high) in zip(ordered, ends, strict=True)],
            "arrayminus": [level.samples_per_s - low for level, (low, _) in zip(ordered, ends, strict=True)],
        },
        "hovertemplate": "%{x} processes: %{y:,.4g} samples/s<extra></extra>",
    }  # fmt: skip


def _fit(law: ScalabilityRecord, most: int) -> dict[str, Json]:
    counts = [most ** (place / (CURVE_POINTS - 1)) for place in range(CURVE_POINTS)]
    rates = [
        law.samples_per_s_of_one * n / (1 + law.contention * (n - 1) + law.coherency * n * (n - 1)) for n in counts
    ]
    return {
        "type": "scatter", "mode": "lines", "name": f"scaling law, off by {percent(law.error_ratio)}",
        "x": counts, "y": rates,
        "line": {"color": ORANGE, "width": 1.5}, "hoverinfo": "skip",
    }  # fmt: skip


def _table(ordered: list[LevelRecord]) -> Table:
    rows = []
    for level in ordered:
        between = level.samples_per_s_ci95
        times = (
            ["-"] * 2
            if level.latency is None
            else [format_duration(ns) for ns in (level.latency.p50_ns, level.latency.p99_ns)]
        )
        blocked = UNKNOWN if level.blocked_ratio is None else percent(level.blocked_ratio)
        rows.append((
            str(level.processes), rate_text(level.samples_per_s),
            UNKNOWN if between is None else f"{rate_text(between[0])} - {rate_text(between[1])}",
            format_rate_bytes(level.bytes_per_s), *times, percent(level.on_cpu_ratio), blocked,
        ))  # fmt: skip
    return Table(
        header=("processes", "samples/s", "95 % interval", "bytes/s", "p50", "p99", "CPUs busy", "blocked"),
        rows=tuple(rows),
        caption="Levels of the probe; p50 and p99 of reading a whole sample",
    )
