"""Lays out what overlaps: which of a worker's operations can be drawn on its own track, and which need one more."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Stamps = NDArray[np.int64]
Lanes = NDArray[np.int32]


def lanes_of(start_ns: Stamps, end_ns: Stamps) -> Lanes:
    """Return for each interval the first lane on which no earlier one is still going on.

    Args:
        start_ns: ascending.
        end_ns: of each, not before its start.
    """
    free_ns: list[int] = []
    found = np.zeros(len(start_ns), np.int32)
    if len(start_ns) and (start_ns[1:] >= end_ns[:-1]).all():
        return found
    for index, (start, end) in enumerate(zip(start_ns.tolist(), end_ns.tolist(), strict=True)):
        lane = next((lane for lane, free in enumerate(free_ns) if free <= start), len(free_ns))
        if lane == len(free_ns):
            free_ns.append(0)
        free_ns[lane] = end
        found[index] = lane
    return found


class Lane:
    """One track while it is being filled: its pieces, which stand, and the operations inside and between them."""

    __slots__ = ("_at", "_ends", "_open_ns", "_starts")

    def __init__(self, start_ns: Stamps, end_ns: Stamps) -> None:
        """Begin a track.

        Args:
            start_ns: of its pieces, ascending; none overlaps another.
            end_ns: of each.
        """
        if (start_ns[1:] < end_ns[:-1]).any():
            raise ValueError("the pieces of a track overlap")
        self._starts, self._ends = start_ns.tolist(), end_ns.tolist()
        self._at = 0
        self._open_ns: list[int] = []

    def takes(self, start_ns: int, end_ns: int) -> bool:
        """Put an operation there if it nests in what is there, and say so; operations come in the order of time."""
        while self._at < len(self._ends) and self._ends[self._at] <= start_ns:
            self._at += 1
        if self._at < len(self._ends):
            begun_ns = self._starts[self._at]
            if end_ns > (self._ends[self._at] if begun_ns <= start_ns else begun_ns):
                return False
        open_ns = self._open_ns
        while open_ns and open_ns[-1] <= start_ns:
            open_ns.pop()
        if open_ns and end_ns > open_ns[-1]:
            return False
        open_ns.append(end_ns)
        return True


def packed(lanes: list[Lane], wanted: Lanes, start_ns: Stamps, end_ns: Stamps) -> Lanes:
    """Return the lane of each operation; lanes are added where there is no room on the one wanted.

    Args:
        lanes: those that there are; more are appended.
        wanted: the lane that each operation belongs to.
        start_ns: when each began, ascending; of equal ones the longest first.
        end_ns: when each ended.
    """
    own = len(lanes)
    found = np.empty(len(start_ns), np.int32)
    rows = zip(wanted.tolist(), start_ns.tolist(), end_ns.tolist(), strict=True)
    for index, (lane, start, end) in enumerate(rows):
        if not lanes[lane].takes(start, end):
            found[index] = _further(lanes, own, start, end)
        else:
            found[index] = lane
    return found


def _further(lanes: list[Lane], own: int, start_ns: int, end_ns: int) -> int:
    """Put an operation on the first lane behind its worker's own ones that takes it, on a new one if none does."""
    for lane in range(own, len(lanes)):
        if lanes[lane].takes(start_ns, end_ns):
            return lane
    lanes.append(Lane(_NONE, _NONE))
    lanes[-1].takes(start_ns, end_ns)
    return len(lanes) - 1


_NONE: Stamps = np.zeros(0, np.int64)
