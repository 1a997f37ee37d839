"""Runs that work on names alone: nothing is read and nothing written, so bytes say nothing of them."""

from __future__ import annotations

from dataclasses import replace

from ioprof.analysis.operations import KindTotals, storage_operations
from ioprof.analysis.summary import Coverage
from ioprof.analysis.wording import whole_percent
from ioprof.trace.kinds import READ_KINDS, STORAGE_KINDS
from ioprof.units import format_count, format_duration

MOST_OWN_BYTES = 1024
"""The tracing itself reads a few bytes of /proc per batch; a loader that reads behind the taps reads far more."""
NO_READS = "no operation that reads was traced"


def coverage_of_reads(seen: Coverage, no_coverage: str | None, totals: list[KindTotals]) -> tuple[Coverage, str | None]:
    """Return the coverage without its ratio where the run reads nothing, and why there is none.

    Args:
        seen: bytes seen by the taps and by the kernel.
        no_coverage: why there is no ratio already.
        totals: the operations of the measured phase.
    """
    operations = storage_operations(totals)
    reads = any(kind.kind in READ_KINDS for kind in totals)
    if reads or not operations or seen.ratio is None or (seen.kernel_bytes or 0) > operations * MOST_OWN_BYTES:
        return seen, no_coverage
    return replace(seen, ratio=None), NO_READS


def names_sentence(totals: list[KindTotals], per_s: float | None) -> str | None:
    """Return what a run that works on names alone found, in a sentence; None for other runs, or without a rate."""
    kinds = [kind for kind in totals if kind.kind in STORAGE_KINDS]
    if per_s is None or not kinds or any(kind.bytes or kind.kind in READ_KINDS for kind in kinds):
        return None
    most = max(kinds, key=lambda kind: kind.total_ns)
    share = most.total_ns / max(1, sum(kind.total_ns for kind in kinds))
    return (
        f"Names only: the store did {format_count(round(per_s))} operations/s, and {whole_percent(share)} of their "
        f"time was {most.kind.label} ({format_duration(most.total_ns / most.count)} each, {most.count:,} of them)."
    )
