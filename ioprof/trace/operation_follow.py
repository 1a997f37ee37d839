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
        self._scratch = _Scratch()

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
            own, rows = self._scratch.of(process)
            rank = process.header(Header.RANK)
            if rank not in ranks:
                ranks[rank] = np.zeros((len(KINDS), SLOT_WORDS), np.int64)
            for row in rows:
                phase, kind = divmod(row, len(KINDS))
                if phase in _LIVE:
                    ranks[rank][kind] += own[row]
        for total in ranks.values():
            total[:, 4:COUNTERS] = 0
        return ranks


class _Scratch:
    """The statistics of one process at a time, always in the same memory: to take it anew costs more than to read."""

    def __init__(self) -> None:
        self._counts = np.zeros((SLOTS, SLOT_WORDS), np.int64)
        self._rows: list[int] = []
        """Those that are not 0."""

    def of(self, process: RawProcess) -> tuple[Words, list[int]]:
        """Return a process's statistics, its fresh operations among them, and which rows count anything.

        Valid until the next call. While they are read the process may fold the fresh operations into the statistics:
        then they are read again.
        """
        for _ in range(_TRIES):
            self._counts[self._rows] = 0
            generation = process.header(Header.GENERATION)
            words = process.words.view(np.ndarray)
            kept = opsfile.counts_of(words, generation & 1)
            found = np.flatnonzero(kept[:, 0])
            self._counts[found] = kept[found]
            fresh = opsfile.add_to_counts(self._counts, opsfile.fresh_block(words, generation & 1))
            self._rows = sorted({*found.tolist(), *fresh})
            if process.header(Header.GENERATION) == generation:
                break
        return self._counts, self._rows
