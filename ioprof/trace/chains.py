"""Operations that follow each other without a gap, gathered as float stamps and turned into records all at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ioprof.trace.kinds import Kind
from ioprof.trace.opsfile import SINGLE_WORDS, Words

Objects = Sequence[int] | NDArray[np.int64]
"""Indices of objects, one dimension."""


class Chains:
    """The chains of a batch. A conversion each would cost short ones more than their operations.

    Attributes:
        operations: how many there are.
    """

    def __init__(self) -> None:
        self.operations = 0
        self._stamps_s: list[float] = []
        self._links: list[tuple[Sequence[Kind], int, Objects | None]] = []

    def add(self, kinds: Sequence[Kind], stamps_s: Sequence[float], objects: Objects | None) -> None:
        """Add a chain; see `Recorder.record_chain`."""
        operations = len(stamps_s) - 1
        self._stamps_s += stamps_s
        self._links.append((kinds, operations, objects))
        self.operations += operations

    def take_rows(self) -> Words:
        """Return the records, shape (operations, SINGLE_WORDS), and forget them."""
        stamps_ns = np.rint(np.array(self._stamps_s) * 1e9).astype(np.int64)
        rows = np.zeros((self.operations, SINGLE_WORDS), dtype=np.int64)
        at = stamp = 0
        for kinds, operations, objects in self._links:
            chain = rows[at : at + operations]
            chain[:, 1] = stamps_ns[stamp : stamp + operations]
            chain[:, 2] = stamps_ns[stamp + 1 : stamp + 1 + operations]
            for turn, kind in enumerate(kinds):
                chain[turn :: len(kinds), 0] = int(kind)
                chain[turn :: len(kinds), 4] = -1 if objects is None else objects
            at, stamp = at + operations, stamp + operations + 1
        self.operations = 0
        del self._stamps_s[:], self._links[:]
        return rows


def object_at(objects: Objects | None, place: int) -> int:
    """Return the object at a place; -1 where there are none."""
    return -1 if objects is None else int(objects[place])
