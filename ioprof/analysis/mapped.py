"""Reads through memory mappings: how many, and what their page faults say."""

from __future__ import annotations

from ioprof.analysis.fetch_counters import miscounted_reason
from ioprof.analysis.operations import KindTotals
from ioprof.analysis.summary import MappedReads
from ioprof.trace.kinds import Kind, Phase
from ioprof.trace.run_record import RunRecord

NOT_MAPPED = "nothing was read through a memory mapping"


def mapped_reads(run: RunRecord, totals: list[KindTotals], phase: str) -> MappedReads | None:
    """Return the reads through mappings; None where there were none.

    Args:
        run: the record, with each worker's page faults.
        totals: operations of the measured phase.
        phase: ``steady``, or ``all`` where the totals are those of the warm-up.
    """
    touched = next((kind for kind in totals if kind.kind == Kind.TOUCH), None)
    if touched is None:
        return None
    counted = Phase.STEADY if phase == "steady" else Phase.WARMUP
    faults = [one for one in run.page_faults if one.phase == counted.label]
    return MappedReads(
        touches=touched.count,
        bytes=touched.bytes,
        major_faults=sum(one.major for one in faults),
        minor_faults=sum(one.minor for one in faults),
        waiting_touches=sum(one.waiting_touches for one in faults),
        fetched_ratio=_fetched_ratio(run),
    )


def _fetched_ratio(run: RunRecord) -> float | None:
    workers = (run.kernel_io or []) if miscounted_reason(run) is None else []
    tapped = sum(worker.tapped_bytes for worker in workers)
    return sum(worker.read_bytes for worker in workers) / tapped if tapped else None
