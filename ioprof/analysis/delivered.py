"""Operations by the batches they were for: rates count those of the measured steps, and no batch made for nobody.

Workers are ahead of the steps. What they had begun when a run ended no step got, and in a short run that is much.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
import pyarrow as pa

from ioprof.analysis.measured import RankSteps
from ioprof.analysis.operations import KindTotals
from ioprof.trace.trace import Trace

_KIND_CODES = 256


class UnusedOperations:
    """Finds the operations of the measured phase whose batches no measured step got, in one pass over the spans.

    Where not all spans were kept, the batches that were made and never recorded stand for them, each as one like the
    others: runs that long have few of them.
    """

    def __init__(self, trace: Trace, ranks: list[RankSteps]) -> None:
        """Look at the steps.

        Args:
            trace: the run.
            ranks: the steps whose operations are counted as measured.
        """
        run = trace.run
        self._from = run.warmup_steps
        self._used = {rank.rank: np.unique(rank.batch[rank.first :]) for rank in ranks}
        self._is_exact = trace.has_spans and run.sample_every == 1 and run.dropped_spans == 0
        self._counts, self._bytes = np.zeros(_KIND_CODES, np.int64), np.zeros(_KIND_CODES, np.int64)
        made = 0 if run.overhead is None else run.overhead.batches
        unused, used = max(0, made - trace.batches.num_rows), sum(map(len, self._used.values()))
        self._share = unused / (unused + used) if used else 0.0

    def watching(self, spans: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Pass the spans on, with an eye on those of batches that nobody got."""
        for batch in spans:
            if self._is_exact and self._used:
                self._look(batch)
            yield batch

    def _look(self, spans: pa.RecordBatch) -> None:
        rank, number, kind, size_bytes = (
            spans.column(name).to_numpy(zero_copy_only=False) for name in ("rank", "batch", "kind", "bytes")
        )
        unused = number >= self._from
        for one, batches in self._used.items():
            unused &= (rank != one) | ~np.isin(number, batches)
        self._counts += np.bincount(kind[unused], minlength=_KIND_CODES)
        # Sums of a bincount are doubles: exact to 9 PB.
        self._bytes += np.bincount(kind[unused], weights=size_bytes[unused], minlength=_KIND_CODES).astype(np.int64)

    def left_out(self, totals: list[KindTotals]) -> list[KindTotals]:
        """Return counts and bytes of the measured phase without those operations, after the spans have passed."""
        return [self._delivered(one) for one in totals]

    def _delivered(self, totals: KindTotals) -> KindTotals:
        if not self._is_exact:
            kept = 1 - self._share
            return replace(totals, count=round(totals.count * kept), bytes=round(totals.bytes * kept))
        kind = int(totals.kind)
        return replace(
            totals,
            count=max(0, totals.count - int(self._counts[kind])),
            bytes=max(0, totals.bytes - int(self._bytes[kind])),
        )
