"""What the taps of a process and of its forked children add up: in memory that they share."""

from __future__ import annotations

import mmap

import numpy as np

from ioprof.capture.taps import Total

_SLOTS = 512
_WORDS = 8
_WORD_BYTES = 8
_NEWEST = _WORDS - 1
"""In slot 0: how many slots have been given away."""


class Totals:
    """A slot of words for this process, and one for each that it forks, and that those fork.

    There are 511 for children, given out in turn: where there were more, two that run at the same time may share one
    and lose a count now and then.
    """

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, _SLOTS * _WORDS * _WORD_BYTES)
        self._words = np.frombuffer(self._memory, dtype=np.int64).reshape(_SLOTS, _WORDS)

    def slot(self, number: int) -> memoryview:
        """Return the words of one process."""
        return memoryview(self._memory)[number * _WORDS * _WORD_BYTES : (number + 1) * _WORDS * _WORD_BYTES]

    @property
    def newest(self) -> int:
        """Number of the slot given away last."""
        return int(self._words[0, _NEWEST] - 1) % (_SLOTS - 1) + 1

    def next_slot(self) -> None:
        """Give away a slot, to the child that is about to be forked."""
        self._words[0, _NEWEST] += 1

    def sum(self, total: Total) -> int:
        """Return one total over this process and its children."""
        return int(self._words[:, total].sum())
