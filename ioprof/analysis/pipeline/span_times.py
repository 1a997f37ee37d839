"""How long each batch was in operations of each kind: one pass over the spans, of which nothing is kept but sums."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa

from ioprof.analysis.measured import RankSteps
from ioprof.analysis.pipeline.pieces import STAGE_OF_KIND, Stage
from ioprof.analysis.pipeline.work import Floats, Ints
from ioprof.trace.kinds import Kind

TIMED_STAGES = Stage.DECODE + 1
"""Spans tell of the stages up to `Stage.DECODE`."""
_STAGE_OF_NUMBER = np.full(256, -1)
_STAGE_OF_NUMBER[[int(kind) for kind in Kind]] = [int(STAGE_OF_KIND[kind]) for kind in Kind]


class SpanTimes:
    """Sums over the spans of each delivered batch; watches them pass, so that one pass serves others as well."""

    def __init__(self, ranks: list[RankSteps]) -> None:
        """Make room for every step.

        Args:
            ranks: the steps of all ranks.
        """
        self._of_rank = {rank.rank: _RankTimes(rank.batch) for rank in ranks}

    def watching(self, spans: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Pass the spans on and add them up."""
        for batch in spans:
            columns = [batch.column(name).to_numpy(zero_copy_only=False) for name in _COLUMNS]
            for number, times in self._of_rank.items():
                here = columns[0] == number
                times.add(*(columns[1:] if here.all() else [column[here] for column in columns[1:]]))
            yield batch

    def stage_ns(self, rank: int) -> Floats:
        """Return the sums of a rank, shape (steps, `TIMED_STAGES`); 0 where no span was kept."""
        return self._of_rank[rank].stage_ns()


_COLUMNS = ("rank", "batch", "kind", "duration_ns")


class _RankTimes:
    """The sums of one rank."""

    def __init__(self, numbers: Ints) -> None:
        self._numbers, self._place = np.unique(numbers, return_inverse=True)
        self._sums = np.zeros(len(self._numbers) * TIMED_STAGES)

    def add(self, batch: Ints, kind: Ints, duration_ns: Ints) -> None:
        """Add spans up; those of batches that no step used are passed over."""
        if not len(self._numbers) or not len(batch):
            return
        row = np.minimum(np.searchsorted(self._numbers, batch), len(self._numbers) - 1)
        stage = _STAGE_OF_NUMBER[kind]
        counted = (self._numbers[row] == batch) & (stage >= 0)
        key = row[counted] * TIMED_STAGES + stage[counted]
        if not len(key):
            return
        # Spans come worker by worker: those of one chunk lie in a stretch of batches.
        low = int(key.min())
        sums = np.bincount(key - low, weights=duration_ns[counted].astype(np.float64))
        self._sums[low : low + len(sums)] += sums

    def stage_ns(self) -> Floats:
        """Return the sums in the order of the steps."""
        return self._sums.reshape(len(self._numbers), TIMED_STAGES)[self._place]
