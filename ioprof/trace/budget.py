"""Keeps what tracing takes of a worker's time within its budget, by looking closely at fewer batches.

What a batch's hooks cost cannot be calibrated beforehand: they run once a batch, with CPU caches full of the batch's
data, five to ten times slower than in a loop of nothing else. So they are timed where they run, in some of the batches.
"""

from __future__ import annotations

from enum import IntEnum

MOST_SPARSE = 64
"""At least one batch in so many is accounted, whatever it costs."""
TIMED_ONE_IN = 32
"""One batch in so many of those that are not accounted tells what their hooks take."""
_ACCOUNTING_SHARE = 1 / 8
"""Of the budget: what cannot be thinned out needs the rest where batches are short, and is far below it elsewhere."""
_REMEMBERED = 32
"""Batches after which what was measured counts half."""


class Look(IntEnum):
    """How closely one batch is looked at."""

    COUNTED = 0
    """Its operations, as always, and its stamps."""
    TIMED = 1
    """And what the hooks take of it."""
    ACCOUNTED = 2
    """And the kernel's accounting of it."""


class Budget:
    """Which batches of one worker are accounted: one in `every`, a power of two.

    Attributes:
        every: 1 while the hooks of accounted batches take no more than an eighth of the budget.
        hooks_ratio: what the hooks take of the worker's time, accounted batches and others together.
    """

    def __init__(self, ratio: float) -> None:
        """Say what share of the worker's time tracing may take, 0.0 to 1.0."""
        self.every = 1
        self.hooks_ratio = 0.0
        self._ratio = ratio
        self._hooks_ns = [0.0, 0.0, 0.0]
        self._made_ns = [0.0, 0.0, 0.0]
        self._counted = [0, 0, 0]

    def look(self, place: int) -> Look:
        """Say how closely a worker's batch is looked at; ``place``: how many it began before."""
        if place % self.every == 0:
            return _ACCOUNTED
        return _TIMED if place % TIMED_ONE_IN == 1 else _COUNTED

    def took(self, look: Look, hooks_ns: int, made_ns: int) -> None:
        """Learn what the hooks took of a batch that was timed or accounted.

        Args:
            look: which of the two it was.
            hooks_ns: CPU time in the hooks.
            made_ns: how long the batch took.
        """
        if self._counted[look] == _REMEMBERED:
            self._hooks_ns[look] /= 2
            self._made_ns[look] /= 2
            self._counted[look] //= 2
        self._hooks_ns[look] += hooks_ns
        self._made_ns[look] += made_ns
        self._counted[look] += 1
        accounted, timed = self._ratio_of(Look.ACCOUNTED), self._ratio_of(Look.TIMED)
        every = 1
        while accounted > every * self._ratio * _ACCOUNTING_SHARE and every < MOST_SPARSE:
            every *= 2
        # Step by step: one batch that was slow for a reason of its own must not decide for the next 64.
        self.every = every = min(every, 2 * self.every)
        self.hooks_ratio = timed + (accounted - timed) / every if self._made_ns[Look.TIMED] else accounted / every

    def _ratio_of(self, look: Look) -> float:
        return self._hooks_ns[look] / self._made_ns[look] if self._made_ns[look] else 0.0


_COUNTED, _TIMED, _ACCOUNTED = Look
"""Looked up once: members of an enum are found slowly."""
