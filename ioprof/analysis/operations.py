"""What the store was asked and what it gave: counts, rates and latencies per operation kind."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ioprof.analysis.summary import LatencyNs, OperationStats
from ioprof.trace.histogram import BUCKETS, percentile_ns
from ioprof.trace.kinds import READ_KINDS, STORAGE_KINDS, WRITE_KINDS, Kind, Phase

COUNTERS = ("count", "bytes", "errors", "total_ns")


@dataclass(frozen=True, slots=True, kw_only=True)
class KindTotals:
    """One kind's counters and histogram, merged over ranks and workers."""

    kind: Kind
    count: int
    bytes: int
    errors: int
    total_ns: int
    min_ns: int
    max_ns: int
    buckets: NDArray[np.int64]


def totals_by_kind(operations: pa.Table, phases: tuple[Phase, ...]) -> list[KindTotals]:
    """Return the totals of every kind that occurred in ``phases``, in the order of `Kind`."""
    of_phases = operations.filter(pc.is_in(operations["phase"], pa.array(phases, pa.uint8())))
    of_phases = of_phases.filter(pc.greater(of_phases["count"], 0))
    present = set(of_phases["kind"].to_pylist())
    return [
        _totals(kind, of_phases.filter(pc.equal(of_phases["kind"], int(kind)))) for kind in Kind if int(kind) in present
    ]


def _totals(kind: Kind, rows: pa.Table) -> KindTotals:
    counters = {name: int(pc.sum(rows[name]).as_py()) for name in COUNTERS}
    extremes = {"min_ns": int(pc.min(rows["min_ns"]).as_py()), "max_ns": int(pc.max(rows["max_ns"]).as_py())}
    return KindTotals(kind=kind, buckets=_merged(rows["buckets"]), **counters, **extremes)


def _merged(histograms: pa.ChunkedArray) -> NDArray[np.int64]:
    merged = np.zeros(BUCKETS, dtype=np.int64)
    for row in histograms:
        counts = row.values.to_numpy()[:BUCKETS]
        merged[: len(counts)] += counts
    return merged


def stats_of(totals: KindTotals, window_s: float | None, delivered: KindTotals | None = None) -> OperationStats:
    """Return the public figures of one kind; rates are None where the window has no length.

    Args:
        totals: all operations of the kind.
        window_s: what their number is divided by.
        delivered: those that rates count; None: all.
    """
    rated = totals if delivered is None else delivered
    has_rate = window_s is not None and window_s > 0
    return OperationStats(
        count=totals.count,
        per_s=rated.count / window_s if window_s and has_rate else None,
        bytes=totals.bytes,
        bytes_per_s=rated.bytes / window_s if window_s and has_rate else None,
        errors=totals.errors,
        latency_ns=_latency(totals),
    )


def _latency(totals: KindTotals) -> LatencyNs | None:
    if totals.buckets.sum() == 0:
        return None
    p50, p90, p99, p999 = (
        percentile_ns(totals.buckets, q, totals.min_ns, totals.max_ns) for q in (0.5, 0.9, 0.99, 0.999)
    )
    mean = totals.total_ns / totals.count
    return LatencyNs(min=totals.min_ns, mean=mean, p50=p50, p90=p90, p99=p99, p999=p999, max=totals.max_ns)


def storage_operations(totals: list[KindTotals]) -> int:
    """Return the number of storage operations of every kind; decoding is none."""
    return sum(kind.count for kind in totals if kind.kind in STORAGE_KINDS)


def bytes_read(totals: list[KindTotals]) -> int:
    """Return the bytes that came from the store."""
    return sum(kind.bytes for kind in totals if kind.kind in READ_KINDS)


def bytes_written(totals: list[KindTotals]) -> int:
    """Return the bytes that went to the store."""
    return sum(kind.bytes for kind in totals if kind.kind in WRITE_KINDS)
