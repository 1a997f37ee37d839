"""One pass over the spans: how many of each kind, which errors. Memory does not grow with them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ioprof.analysis.operations import KindTotals
from ioprof.analysis.summary import OperationErrors
from ioprof.trace.kinds import CHECKPOINT_BATCH, Kind, error_name

NOT_RECORDED = "not-recorded"
_KIND_CODES = 256


@dataclass(slots=True)
class SpanCounts:
    """Spans per kind number, and failed ones per (kind number, error code); a checkpoint's failures are told apart."""

    by_kind: Counter[int] = field(default_factory=Counter)
    failed: Counter[tuple[int, int]] = field(default_factory=Counter)


def count_spans(spans: Iterable[pa.RecordBatch]) -> SpanCounts:
    """Count the spans of a stream."""
    counts, by_kind = SpanCounts(), np.zeros(_KIND_CODES, np.int64)
    for batch in spans:
        by_kind += np.bincount(batch.column("kind").to_numpy(zero_copy_only=False), minlength=_KIND_CODES)
        of_samples = pc.not_equal(batch.column("batch"), CHECKPOINT_BATCH)
        failing = pc.and_(pc.not_equal(batch.column("error"), 0), of_samples)
        failed = batch.select(["kind", "error"]).filter(failing)
        counts.failed.update(zip(failed.column(0).to_pylist(), failed.column(1).to_pylist(), strict=True))
    counts.by_kind.update({kind: int(by_kind[kind]) for kind in np.flatnonzero(by_kind).tolist()})
    return counts


def errors_by_kind(totals: list[KindTotals], spans: SpanCounts) -> dict[str, OperationErrors]:
    """Return the failed operations of each kind: the exact count, and names as far as spans were kept."""
    return {kind.kind.label: _errors(kind, spans) for kind in totals if kind.errors > 0}


def _errors(kind: KindTotals, spans: SpanCounts) -> OperationErrors:
    by_name: Counter[str] = Counter()
    for (number, code), count in sorted(spans.failed.items()):
        if number == kind.kind:
            by_name[error_name(code)] += count
    if (missing := kind.errors - by_name.total()) > 0:
        by_name[NOT_RECORDED] = missing
    return OperationErrors(count=kind.errors, by_name=dict(by_name))


def disagreement(totals: list[KindTotals], spans: SpanCounts) -> str | None:
    """Return a sentence if the spans of a run that kept them all do not match its counters."""
    counted = {int(kind.kind): kind.count for kind in totals}
    for number in sorted(counted.keys() | spans.by_kind.keys()):
        if counted.get(number, 0) != spans.by_kind[number]:
            label = Kind(number).label if number in set(Kind) else f"kind {number}"
            return (
                f"The counters hold {counted.get(number, 0):,} {label} operations "
                f"but the spans {spans.by_kind[number]:,}: the trace is not complete."
            )
    return None
