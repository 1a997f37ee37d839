"""How fast the processes of a level went on, counted in samples and parts of samples.

Counting what ended between two moments is wrong where samples are slow: with 0.9 s a sample, one second holds one end
or two. Between two notes of a process its progress is taken as even; after its last note it goes on as it did on
average, but by no more than what it has always noted at once: a process that hangs makes no progress.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ioprof.probe.board import Word, Words

FEWEST_SAMPLES = 2
"""Each process must have ended so many: how long one of them takes is not known from less."""
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What all processes did between two moments at which each of them was under way."""

    seconds: float
    done: Floats
    """What each word grew by over all processes, columns as in `Word`."""
    window_rates: list[float]
    """Samples/s of windows of equal length."""

    @property
    def samples_per_s(self) -> float:
        """Samples/s of all processes."""
        return float(self.done[Word.SAMPLES]) / self.seconds


def progress(snapshots: Sequence[Words], at_ns: int, window_ns: int) -> Progress | None:
    """Return how the processes went on; None where one of them ended fewer than `FEWEST_SAMPLES`.

    Args:
        snapshots: of the board, in order, each of shape (processes, words); two or more.
        at_ns: when the last one was taken.
        window_ns: length of a window; they are longer where a sample takes longer.
    """
    rows = np.stack(snapshots).astype(np.float64)
    done = rows[-1] - rows[0]
    if (done[:, Word.SAMPLES] < FEWEST_SAMPLES).any():
        return None
    # Each row begins at its own note; all of them are under way from the latest of these on.
    from_ns = float(rows[0, :, Word.NOTED_NS].max())
    rows = np.concatenate([rows, _carried_on(rows[-1], done, at_ns)[None]])
    slowest_ns = float((done[:, Word.NOTED_NS] / done[:, Word.NOTES]).max())
    windows = max(1, round((at_ns - from_ns) / max(window_ns, slowest_ns)))
    borders = np.linspace(0.0, at_ns - from_ns, windows + 1)
    sums = np.sum([_at(rows[:, worker], from_ns, borders) for worker in range(rows.shape[1])], axis=0)
    rates = np.diff(sums[:, Word.SAMPLES]) / (np.diff(borders) / 1e9)
    return Progress(seconds=(at_ns - from_ns) / 1e9, done=sums[-1] - sums[0], window_rates=rates.tolist())


def _carried_on(last: Floats, done: Floats, at_ns: int) -> Floats:
    """Return the rows as they are likely to be at a moment after their last notes, shape (processes, words)."""
    of_one_note = done / done[:, [Word.NOTES]]
    since_ns = np.maximum(0.0, at_ns - last[:, Word.NOTED_NS])
    carried: Floats = last + of_one_note * np.minimum(1.0, since_ns / of_one_note[:, Word.NOTED_NS])[:, None]
    carried[:, Word.NOTED_NS] = last[:, Word.NOTED_NS] + since_ns
    return carried


def _at(rows: Floats, from_ns: float, borders: Floats) -> Floats:
    """Return a process's words at each border, in ns since ``from_ns``: shape (borders, words)."""
    noted_ns, first = np.unique(rows[:, Word.NOTED_NS] - from_ns, return_index=True)
    return np.stack([np.interp(borders, noted_ns, rows[first, word]) for word in range(rows.shape[1])], axis=1)
