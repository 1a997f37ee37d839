"""The counts of a run's recording processes, read again and again while they grow."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ioprof.trace import opsfile
from ioprof.trace.kinds import Phase
from ioprof.trace.opsfile import COUNTERS, KINDS, SLOT_WORDS, SLOTS, Header, Words
from ioprof.trace.raw import RawProcess

_TRIES = 5
_LIVE = (Phase.WARMUP, Phase.STEADY)
"""Phases whose operations the steps waited for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerCounts:
    """What a worker's process says of itself."""

    rank: int
    worker: int
    pid: int
    batches: int
    busy_ns: int
    """Time spent on batches."""


class OperationFollower:
    """The operations files of a run; each is mapped once."""

    def __init__(self, raw: Path) -> None:
        """Follow a run's raw folder, which may not be there yet."""
        self._raw = raw
        self._found: dict[Path, RawProcess] = {}

    def look(self) -> None:
        """Find the processes that began since."""
        for path in sorted(self._raw.glob("ops-*.ops")):
            if path not in self._found:
                try:
                    self._found[path] = RawProcess(path=path, words=opsfile.open_words(path))
                except (OSError, ValueError):
                    continue  # being made: it is whole at the next look

    def workers(self) -> list[WorkerCounts]:
        """Return the processes that make batches, ranks and workers ascending."""
        found = [
            WorkerCounts(
                rank=process.header(Header.RANK),
                worker=process.header(Header.WORKER),
                pid=process.header(Header.PID),
                batches=process.header(Header.BATCHES),
                busy_ns=process.header(Header.WORKER_TIME_NS),
            )
            for process in self._found.values()
            if process.header(Header.WORKER) >= -1
        ]
        return sorted(found, key=lambda one: (one.rank, one.worker))

    def counts(self) -> dict[int, Words]:
        """Return the statistics of each rank, one row per kind; shortest and longest (columns 4 and 5) mean nothing."""
        ranks: dict[int, Words] = {}
        for process in self._found.values():
            own = _counts(process).reshape(len(Phase), len(KINDS), SLOT_WORDS)
            total = ranks.setdefault(process.header(Header.RANK), np.zeros((len(KINDS), SLOT_WORDS), np.int64))
            for phase in _LIVE:
                kinds = np.flatnonzero(own[phase, :, 0])
                total[kinds] += own[phase, kinds]
        for total in ranks.values():
            total[:, 4:COUNTERS] = 0
        return ranks


def _counts(process: RawProcess) -> Words:
    """Return a process's statistics, its fresh operations among them; only rows that count anything are touched.

    While they are read the process may fold the fresh ones into the statistics: then they are read again.
    """
    counts = np.zeros((SLOTS, SLOT_WORDS), np.int64)
    for _ in range(_TRIES):
        generation = process.header(Header.GENERATION)
        counts = np.zeros((SLOTS, SLOT_WORDS), np.int64)
        kept = opsfile.counts_of(process.words, generation & 1)
        rows = np.flatnonzero(kept[:, 0])
        counts[rows] = kept[rows]
        opsfile.add_to_counts(counts, opsfile.fresh_block(process.words, generation & 1))
        if process.header(Header.GENERATION) == generation:
            break
    return counts
