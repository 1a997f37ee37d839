"""Reads of a run that ended early for batches that no step ever used: they are no part of its rates."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from ioprof.analysis.measured import RankSteps, measured_batches
from ioprof.analysis.operations import KindTotals
from ioprof.analysis.wording import whole_percent
from ioprof.trace.kinds import Kind
from ioprof.trace.run_record import RunRecord

MAX_SHARE = 0.05
"""Beyond this share of undelivered reads, rates of operations would be those of other batches than the steps'."""
_ONE_PER_SAMPLE = (Kind.OPEN, Kind.GET)
"""Exactly one of these is counted for an object read whole, also where it fails."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Undelivered:
    """Objects read in the measured phase, and how many of them no measured step got."""

    reads: int
    lost: int

    @property
    def share(self) -> float:
        """Share of the reads that no step got, 0.0 to 1.0."""
        return self.lost / self.reads if self.reads else 0.0

    @property
    def no_rate(self) -> str | None:
        """Why operations have no rates, or None if they may have."""
        if self.share <= MAX_SHARE:
            return None
        return f"{whole_percent(self.share)} of the objects read were for batches that no step got before the end"


def undelivered(run: RunRecord, ranks: list[RankSteps], batches: pa.Table, steady: list[KindTotals]) -> Undelivered:
    """Return the reads of a run that ended early beside what its measured steps got.

    Known only where one object is one sample: the reads are counted, whole or failed, and from them the samples of
    the measured steps and those left out of their batches are taken away. Otherwise, and for a complete run, none.

    Args:
        run: the record.
        ranks: the steps of every rank.
        batches: the batches table: the samples left out.
        steady: totals of the steady phase.
    """
    objects = run.workload.objects
    if run.outcome == "complete" or objects is None or objects != run.workload.samples_per_epoch:
        return Undelivered(reads=0, lost=0)
    reads = sum(totals.count for totals in steady if totals.kind in _ONE_PER_SAMPLE)
    delivered = sum(int(rank.samples[rank.first :].sum()) for rank in ranks)
    left_out = int(measured_batches(ranks, batches)["errors"].to_numpy().sum())
    return Undelivered(reads=reads, lost=max(0, reads - delivered - left_out))
