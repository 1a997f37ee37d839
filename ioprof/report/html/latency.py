"""How long operations took, each kind by itself, from the histograms that hold every one of them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ioprof.analysis.operations import KindTotals, totals_by_kind
from ioprof.analysis.summary import LatencyNs, Summary
from ioprof.report.html.palette import CYCLE
from ioprof.report.html.section import Block, Cell, Chart, Json, Section, Table, Text
from ioprof.report.html.words import UNKNOWN, count, nanoseconds
from ioprof.trace.histogram import BUCKETS, bucket_low_ns, bucket_of
from ioprof.trace.kinds import READ_KINDS, STORAGE_KINDS, Phase
from ioprof.trace.trace import Trace
from ioprof.units import format_duration

FINE_TO_COARSE = 8
"""So many buckets of a histogram make up one of the picture: an eighth of an octave, 9 % wide."""


def latency(trace: Trace, summary: Summary) -> Section:
    """Return the distribution of each kind, and of reads that the page cache served apart, where that was asked."""
    title = "Latency of storage operations"
    phases = (Phase.STEADY,) if summary.operations_phase == "steady" else tuple(Phase)
    totals = [one for one in totals_by_kind(trace.operations, phases) if one.kind in STORAGE_KINDS]
    shown = [one for one in totals if one.buckets.sum() and summary.operations.get(one.kind.label) is not None]
    if not shown or all(summary.operations[one.kind.label].latency_ns is None for one in shown):
        why = next(
            (text for key, text in summary.reasons.items() if key.startswith("operations.")),
            "no storage operation was traced",
        )
        return Section(id="latency", title=title, blocks=(Text(text=f"Not available: {why}."),))
    blocks: list[Block] = [_chart(shown, summary)]
    blocks += _hits_and_misses(trace)
    return Section(id="latency", title=title, blocks=tuple(blocks))


def coarse(buckets: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the middle of each coarse bucket that holds something, in ns, and how many are in it."""
    padded = np.zeros(BUCKETS, np.int64)
    padded[: len(buckets)] = buckets
    summed = padded.reshape(-1, FINE_TO_COARSE).sum(axis=1)
    first, last = np.flatnonzero(summed)[[0, -1]]
    number = np.arange(max(0, first - 1), min(len(summed), last + 2))
    low = bucket_low_ns(number * FINE_TO_COARSE)
    high = bucket_low_ns(np.minimum((number + 1) * FINE_TO_COARSE, BUCKETS - 1))
    return np.sqrt(np.maximum(low, 1.0) * np.maximum(high, 1.0)), summed[number].astype(float)


def _chart(shown: list[KindTotals], summary: Summary) -> Chart:
    traces: list[dict[str, Json]] = []
    shapes: list[dict[str, Json]] = []
    for number, one in enumerate(shown):
        colour = CYCLE[number % len(CYCLE)]
        traces.append(histogram_line(one.kind.label, one.buckets, colour))
        found = summary.operations[one.kind.label].latency_ns
        if found is not None:
            shapes += _marks(found, colour)
    slowest = max(shown, key=lambda one: one.total_ns).kind.label
    return Chart(
        id="latency-by-kind",
        title="Share of operations by how long they took (lines at p50, p99, p99.9)",
        traces=tuple(traces),
        layout=latency_layout(shapes),
        summary=_told(slowest, summary.operations[slowest].latency_ns),
        table=_table(summary),
        height=380,
    )


def histogram_line(name: str, buckets: NDArray[np.int64], colour: str) -> dict[str, Json]:
    """Return the line of one histogram: milliseconds against percent of its operations."""
    middle, counts = coarse(buckets)
    shares = 100 * counts / counts.sum()
    return {
        "type": "scatter", "mode": "lines", "name": name, "x": [float(f"{value / 1e6:.5g}") for value in middle],
        "y": [float(f"{value:.5g}") for value in shares], "customdata": [int(value) for value in counts],
        "line": {"color": colour, "shape": "hvh", "width": 1.5}, "fill": "tozeroy",
        "hovertemplate": f"{name}: %{{customdata:,}} around %{{x:.4g}} ms (%{{y:.3g}} %)<extra></extra>",
    }  # fmt: skip


def _marks(found: LatencyNs, colour: str) -> list[dict[str, Json]]:
    styles = ((found.p50, "solid"), (found.p99, "dash"), (found.p999, "dot"))
    return [
        {
            "type": "line", "xref": "x", "yref": "paper", "x0": ns / 1e6, "x1": ns / 1e6, "y0": 0, "y1": 1,
            "line": {"color": colour, "width": 1, "dash": dash},
        }
        for ns, dash in styles
    ]  # fmt: skip


def latency_layout(shapes: list[dict[str, Json]]) -> dict[str, Json]:
    """Return the layout of such lines."""
    return {
        "xaxis": {"title": {"text": "duration, ms (log)"}, "type": "log"},
        "yaxis": {"title": {"text": "% of the operations"}, "rangemode": "tozero"},
        "legend": {"orientation": "h", "y": 1.12},
        "shapes": shapes,
    }


def _told(kind: str, found: LatencyNs | None) -> str:
    if found is None:
        return f"Most time went into {kind}."
    words = [format_duration(ns) for ns in (found.p50, found.p99, found.p999)]
    return (
        f"Most time went into {kind}: half took less than {words[0]}, one in a hundred more than {words[1]}, "
        f"one in a thousand more than {words[2]}."
    )


_PERCENTILES = ("min", "mean", "p50", "p90", "p99", "p999", "max")


def _table(summary: Summary) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for kind, stats in summary.operations.items():
        key, found = f"operations.{kind}", stats.latency_ns
        cells: tuple[Cell, ...] = (UNKNOWN,) * len(_PERCENTILES)
        if found is not None:
            cells = tuple(nanoseconds(f"{key}.latency_ns.{name}", getattr(found, name)) for name in _PERCENTILES)
        rows.append((kind, count(f"{key}.count", stats.count), count(f"{key}.per_s", stats.per_s), *cells))
    return Table(
        header=("operation", "count", "per s", "min", "mean", "p50", "p90", "p99", "p99.9", "max"),
        rows=tuple(rows),
        caption="Every operation of the measured window; percentiles within 0.8 %",
    )


def _hits_and_misses(trace: Trace) -> list[Block]:
    if not trace.has_spans:
        return [
            Text(
                text="Reads that the page cache served are not told apart: this run's spans were not kept.",
                tone="faint",
            )
        ]
    hit, miss = _asked(trace.spans())
    if not hit.sum() and not miss.sum():
        return []
    every = trace.run.sample_every
    parts = [(name, counts) for name, counts in (("in the page cache", hit), ("not, or not all", miss)) if counts.sum()]
    rows = tuple((name, f"{int(counts.sum()):,}", format_duration(_median_ns(counts))) for name, counts in parts)
    kept = "" if every == 1 else f" Spans of one batch in {every} were kept."
    told = f"{int(miss.sum()):,} of {int(hit.sum() + miss.sum()):,} reads that were asked about were not "
    told += f"in this host's page cache.{kept}"
    return [
        Chart(
            id="latency-by-hit",
            title="Reads of which the kernel was asked: in this host's page cache before, or not",
            traces=tuple(histogram_line(name, counts, CYCLE[number]) for number, (name, counts) in enumerate(parts)),
            layout=latency_layout([]),
            summary=told,
            table=Table(header=("reads", "count", "p50"), rows=rows, caption="Client hits and misses"),
        )
    ]


_IS_READ = np.zeros(256, bool)
_IS_READ[[int(kind) for kind in READ_KINDS]] = True


def _asked(spans: Iterable[pa.RecordBatch]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    hits, misses = np.zeros(BUCKETS, np.int64), np.zeros(BUCKETS, np.int64)
    for batch in spans:
        hit = batch.column("client_hit")
        asked = hit.is_valid().to_numpy(zero_copy_only=False)
        asked &= _IS_READ[batch.column("kind").to_numpy(zero_copy_only=False)]
        if not asked.any():
            continue
        served = hit.fill_null(False).to_numpy(zero_copy_only=False)[asked]
        places = bucket_of(batch.column("duration_ns").to_numpy(zero_copy_only=False)[asked])
        hits += np.bincount(places[served], minlength=BUCKETS)
        misses += np.bincount(places[~served], minlength=BUCKETS)
    return hits, misses


def _median_ns(counts: NDArray[np.int64]) -> float:
    place = int(np.searchsorted(np.cumsum(counts), (counts.sum() + 1) // 2))
    low, high = bucket_low_ns(np.array([place, min(place + 1, BUCKETS - 1)]))
    return float(low + high) / 2
