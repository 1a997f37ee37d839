"""Throughput, operations and bandwidth over time, and the host beneath them on the same axis."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from ioprof.analysis.host import CPU_BUSY_METRIC
from ioprof.analysis.measured import RankSteps, measured_ranks
from ioprof.analysis.series import HostSeries, Rates, host_cores, host_rate, rates_over_time, thinned, window_opened_ns
from ioprof.analysis.summary import Summary
from ioprof.report.html.palette import BLUE, GREEN, GREY, ORANGE, PINK, RED, SKY
from ioprof.report.html.section import Block, Chart, Json, Section, Table, Text
from ioprof.report.html.words import rate_text
from ioprof.trace.trace import Trace
from ioprof.units import format_duration, format_rate_bytes

BINS = 240
"""Intervals of the whole window."""
FEWEST_STEPS_PER_BIN = 2
MOST_SPANS_READ = 6_000_000
"""With more, operations over time are left out: reading them all would take longer than the page may."""
MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """One of the pictures above each other."""

    name: str
    unit: str
    lines: tuple[tuple[str, list[float], list[float], str], ...]
    """Name, seconds, values, colour of each line."""


def over_time(trace: Trace, summary: Summary) -> Section:
    """Return what came per second, and what host, disk and pressure did meanwhile."""
    title = "Over time"
    ranks = measured_ranks(trace.steps, trace.run, trace.checkpoints)
    measured = [rank for rank in ranks if rank.measured]
    if not measured:
        return Section(id="over-time", title=title, blocks=(Text(text="No step was measured."),))
    rates, left_out = _rates(trace, measured)
    rows = [row for row in (*_rate_rows(rates), *_host_rows(trace.host, measured)) if row is not None]
    blocks: list[Block] = [_chart(rows, rates)]
    blocks += [Text(text=one, tone="faint") for one in (*left_out, *_not_sampled(summary))]
    return Section(id="over-time", title=title, blocks=tuple(blocks))


def _rates(trace: Trace, measured: list[RankSteps]) -> tuple[Rates, list[str]]:
    steps = max(rank.measured for rank in measured)
    bins = max(1, min(BINS, steps // FEWEST_STEPS_PER_BIN))
    operations = sum(trace.operations["count"].to_pylist()) // max(1, trace.run.sample_every)
    told = []
    spans = None
    if not trace.has_spans:
        told.append("Operations over time are not known: this run's spans were not kept.")
    elif operations > MOST_SPANS_READ:
        told.append(f"Operations over time are left out: {operations:,} spans are more than a page should wait for.")
    else:
        spans = trace.spans()
        if trace.run.sample_every > 1:
            told.append(f"Operations and bytes over time are estimates from one batch in {trace.run.sample_every}.")
    found = rates_over_time(measured, spans, bins=bins, spans_every=trace.run.sample_every)
    if found is None:
        raise ValueError("there are measured steps, so there are rates")
    return found, told


def _rate_rows(rates: Rates) -> list[_Row | None]:
    at = _short(rates.centre_s)
    rows: list[_Row | None] = [
        _Row(name="samples/s", unit="samples/s", lines=(("samples/s", at, _short(rates.samples_per_s), GREEN),))
    ]
    if rates.operations_per_s is not None and rates.operations_per_s.any():
        rows.append(
            _Row(name="operations/s", unit="per s", lines=(("operations/s", at, _short(rates.operations_per_s), BLUE),))
        )
    if rates.read_bytes_per_s is not None and rates.read_bytes_per_s.any():
        values = _short(rates.read_bytes_per_s / MIB)
        rows.append(_Row(name="read by the loader", unit="MiB/s", lines=(("read by the loader", at, values, SKY),)))
    return rows


def _host_rows(host: pa.Table | None, measured: list[RankSteps]) -> list[_Row | None]:
    if host is None or host.num_rows == 0:
        return []
    opened = min(window_opened_ns(rank) for rank in measured)
    closed = max(int(rank.busy_end_ns[-1]) for rank in measured)
    cores = max(1, host_cores(host))

    def line(name: str, metric: str, factor: float, colour: str) -> tuple[str, HostSeries, str] | None:
        found = host_rate(host, metric, opened, closed)
        if found is None:
            return None
        return name, HostSeries(at_s=found.at_s, value=found.value * factor), colour

    return [
        _row("host CPUs", "% of all", line("CPUs busy", CPU_BUSY_METRIC, 100 / cores, ORANGE)),
        _row(
            "disks", "MiB/s",
            line("disks read", "disk_read_bytes_total", 1 / MIB, BLUE),
            line("disks written", "disk_written_bytes_total", 1 / MIB, GREY),
        ),
        _row(
            "pressure (PSI)", "% of the time",
            line("some task waits for I/O", "psi_io_some_s_total", 100, RED),
            line("some task waits for a CPU", "psi_cpu_some_s_total", 100, PINK),
        ),
    ]  # fmt: skip


def _row(name: str, unit: str, *lines: tuple[str, HostSeries, str] | None) -> _Row | None:
    known = [one for one in lines if one is not None]
    if not known:
        return None
    thin = [(told, thinned(series, BINS), colour) for told, series, colour in known]
    return _Row(
        name=name,
        unit=unit,
        lines=tuple((told, _short(series.at_s), _short(series.value), colour) for told, series, colour in thin),
    )


def _chart(rows: list[_Row], rates: Rates) -> Chart:
    gap, traces = 0.035, list[dict[str, Json]]()
    height = (1 - gap * (len(rows) - 1)) / len(rows)
    layout: dict[str, Json] = {"legend": {"orientation": "h", "y": 1.08}, "hovermode": "x"}
    for number, row in enumerate(rows):
        suffix = "" if number == 0 else str(number + 1)
        top = 1 - number * (height + gap)
        layout[f"yaxis{suffix}"] = {
            "domain": [max(0.0, top - height), top], "rangemode": "tozero",
            "title": {"text": row.unit, "font": {"size": 11}},
        }  # fmt: skip
        for name, at, values, colour in row.lines:
            traces.append({
                "type": "scatter", "mode": "lines", "name": name, "x": at, "y": values,
                "xaxis": "x", "yaxis": f"y{suffix}", "line": {"width": 1.4, "color": colour},
                "hovertemplate": f"{name}: %{{y:.4g}} {row.unit}<extra></extra>",
            })  # fmt: skip
    last = "y" if len(rows) == 1 else f"y{len(rows)}"
    layout["xaxis"] = {"title": {"text": "seconds since the measured window opened"}, "anchor": last}
    lowest, highest = float(rates.samples_per_s.min()), float(rates.samples_per_s.max())
    width = format_duration(2e9 * float(rates.centre_s[0]))
    return Chart(
        id="series",
        title="What came per second, and the host meanwhile",
        traces=tuple(traces),
        layout=layout,
        summary=f"In intervals of {width} between {rate_text(lowest)} and {rate_text(highest)} samples/s came.",
        table=_table(rows),
        height=110 + 120 * len(rows),
    )


def _table(rows: list[_Row]) -> Table:
    cells = []
    for row in rows:
        for name, _, values, _ in row.lines:
            told = [_value(value, row.unit) for value in (min(values), sum(values) / len(values), max(values))]
            cells.append((name, *told))
    return Table(
        header=("series", "least", "mean", "most"), rows=tuple(cells), caption="The series in three numbers each"
    )


def _value(value: float, unit: str) -> str:
    if unit == "MiB/s":
        return format_rate_bytes(value * MIB)
    return f"{value:.1f} %" if unit.startswith("%") else rate_text(value)


def _not_sampled(summary: Summary) -> list[str]:
    return [f"{name}: {why}" for name, why in summary.host_missing.items()]


def _short(values: object) -> list[float]:
    return [float(f"{value:.5g}") for value in values.tolist()]  # type: ignore[attr-defined]
