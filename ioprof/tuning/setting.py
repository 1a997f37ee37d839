"""A setting of a loader: how many workers, and how far each may be ahead; ordered from small to large."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

ALL_UP_TO = 8
"""Worker counts up to here are all candidates; above, four to an octave: the curve bends less the further it goes."""
PREFETCHES = (1, 2, 4, 8)
USUAL_PREFETCH = 2
"""What torch takes where nobody says."""


@dataclass(frozen=True, slots=True, order=True)
class Setting:
    """Smaller is what takes fewer workers, and of as many workers, fewer batches ahead."""

    workers: int
    prefetch: int | None
    """Batches each worker may be ahead; None where it plays no part: without workers, or without such a knob."""

    @property
    def told(self) -> str:
        """As a sentence has it: ``4 workers, prefetch 2``."""
        workers = "no workers" if self.workers == 0 else "1 worker" if self.workers == 1 else f"{self.workers} workers"
        return workers if self.prefetch is None else f"{workers}, prefetch {self.prefetch}"

    @property
    def label(self) -> str:
        """As a directory's name has it: ``w4-p2``."""
        return f"w{self.workers}" if self.prefetch is None else f"w{self.workers}-p{self.prefetch}"

    @property
    def in_flight(self) -> int:
        """Batches that lie between workers and consumer at most."""
        return self.workers * (self.prefetch or 1)


def worker_counts(least: int, most: int) -> list[int]:
    """Return the worker counts that are worth telling apart, both ends included, ascending."""
    ladder = list(range(min(ALL_UP_TO, most) + 1))
    step, count = ALL_UP_TO // 4, ALL_UP_TO
    while count < most:
        count = min(most, count + step)
        ladder.append(count)
        if count == 8 * step:
            step *= 2
    return [count for count in ladder if count >= least]


def settings(counts: Sequence[int], prefetches: Sequence[int] | None) -> list[Setting]:
    """Return every setting of these worker counts, ascending; ``prefetches`` None: the loader has no such knob."""
    found = []
    for workers in counts:
        aheads: Sequence[int | None] = [None] if workers == 0 or prefetches is None else prefetches
        found += [Setting(workers, ahead) for ahead in aheads]
    return found
