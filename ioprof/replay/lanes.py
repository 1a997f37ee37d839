"""Who repeats which operation.

A worker that did one thing after the other is one lane; one that did several at once is as many as it had in flight.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Column = NDArray[np.int64]

OVERLAP_NS = 2_000
"""Operations that overlap by less followed each other: stamps are taken around calls, not inside the kernel."""


def lanes_of(columns: Mapping[str, Column]) -> tuple[Column, int]:
    """Return the lane of each operation, from 0, and how many lanes there are.

    Args:
        columns: ``rank``, ``worker``, ``start_ns``, ``duration_ns`` and ``object``, all of the same length.
    """
    lane = np.zeros(len(columns["worker"]), dtype=np.int64)
    lanes = 0
    doers = np.stack([columns["rank"], columns["worker"]], axis=1)
    for doer in np.unique(doers, axis=0):
        places = np.flatnonzero((doers == doer).all(axis=1))
        places = places[np.argsort(columns["start_ns"][places], kind="stable")]
        start_ns = columns["start_ns"][places]
        end_ns = start_ns + columns["duration_ns"][places]
        if (start_ns[1:] >= end_ns[:-1] - OVERLAP_NS).all():
            lane[places] = lanes
            lanes += 1
            continue
        dealt = _dealt(start_ns.tolist(), end_ns.tolist(), columns["object"][places].tolist())
        lane[places] = lanes + np.array(dealt, dtype=np.int64)
        lanes += max(dealt) + 1
    return lane, lanes


def _dealt(starts_ns: list[int], ends_ns: list[int], objects: list[int]) -> list[int]:
    """Deal one worker's operations out to lanes that are free when they begin.

    An operation goes to the lane that had its object last, if that is free: a file is read where it was opened.
    """
    free_ns: list[int] = []
    had: dict[int, int] = {}
    dealt = []
    for start_ns, end_ns, obj in zip(starts_ns, ends_ns, objects, strict=True):
        latest_ns = start_ns + OVERLAP_NS
        chosen = had.get(obj, -1) if obj >= 0 else -1
        if chosen < 0 or free_ns[chosen] > latest_ns:
            chosen = next((lane for lane, at_ns in enumerate(free_ns) if at_ns <= latest_ns), len(free_ns))
        if chosen == len(free_ns):
            free_ns.append(0)
        free_ns[chosen] = end_ns
        had[obj] = chosen
        dealt.append(chosen)
    return dealt
