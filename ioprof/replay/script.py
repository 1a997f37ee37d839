"""What each lane does, and when: operations joined to units that a worker asks the store for in one go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ioprof.contract import ObjectSizes
from ioprof.replay.accesses import UNKNOWN, Accesses, Column
from ioprof.trace.kinds import Kind

WHOLE = 100
"""A unit of its own beside those of `Kind`: open an object, read all of it, close it, with nothing in between."""
CHAINED_NS = 20
"""Operations with at most so much between them share a stamp, to rounding: the second was done as the first ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """The units of one lane in one epoch; all columns have the same length, sorted by start."""

    lane: int
    epoch: int
    what: Column
    """`WHOLE`, or a number of `Kind`."""
    batch: Column
    start_ns: Column
    """When it began, on the recorded clock."""
    think_ns: Column
    """How long the lane had done nothing on the store before; 0 for the first."""
    was_idle: NDArray[np.bool_]
    """Whether it had nothing to do before: its batch had not been asked for yet."""
    size_bytes: Column
    object: Column
    offset: Column
    direct: Column

    def __len__(self) -> int:
        return len(self.what)


def scripts(accesses: Accesses, sizes: ObjectSizes, dispatched_ns: Mapping[int, int]) -> list[Script]:
    """Return the scripts of all lanes and epochs that have one.

    Args:
        accesses: sorted by lane and start.
        sizes: of the objects, as they are on the store.
        dispatched_ns: when each batch was asked for, as far as that is known.
    """
    keys = np.stack([accesses.lane, accesses.epoch], axis=1)
    borders = np.flatnonzero((keys[1:] != keys[:-1]).any(axis=1)) + 1
    parts = np.split(np.arange(len(accesses)), borders)
    return [_script(accesses.where(part), sizes, dispatched_ns) for part in parts if len(part)]


def _script(part: Accesses, sizes: ObjectSizes, dispatched_ns: Mapping[int, int]) -> Script:
    whole = _whole_objects(part, sizes)
    # The read and the close of a whole object are in its unit: what stays are units' first operations.
    inside = np.zeros(len(part), dtype=np.bool_)
    inside[1:] |= whole[:-1]
    inside[2:] |= whole[:-2]
    first = np.flatnonzero(~inside)
    what = np.where(whole, WHOLE, part.kind)[first]
    last = np.append(first[1:], len(part)) - 1
    ended_ns = np.maximum.accumulate(part.end_ns[last]) if len(last) else part.end_ns[last]
    think_ns = np.zeros(len(first), dtype=np.int64)
    think_ns[1:] = np.maximum(part.start_ns[first[1:]] - ended_ns[:-1], 0)
    batch = _filled(part.batch[first])
    sizes_bytes = part.size_bytes[first]
    sizes_bytes[what == WHOLE] = part.size_bytes[first[what == WHOLE] + 1]
    return Script(
        lane=int(part.lane[0]),
        epoch=int(part.epoch[0]),
        what=what,
        batch=batch,
        start_ns=part.start_ns[first],
        think_ns=think_ns,
        was_idle=_was_idle(batch, ended_ns, dispatched_ns),
        size_bytes=sizes_bytes,
        object=part.object[first],
        offset=part.offset[first],
        direct=part.direct[first],
    )


def _whole_objects(part: Accesses, sizes: ObjectSizes) -> NDArray[np.bool_]:
    """Return where an open is followed at once by a read of the whole object and by its close."""
    found = np.zeros(len(part), dtype=np.bool_)
    if len(part) < 3:
        return found
    first, second, third = part.kind[:-2], part.kind[1:-1], part.kind[2:]
    chained = part.start_ns[1:] - part.end_ns[:-1] <= CHAINED_NS
    same = (part.object[:-2] == part.object[1:-1]) & (part.object[1:-1] == part.object[2:])
    same &= (part.batch[:-2] == part.batch[2:]) & (part.direct[:-2] == 0) & (part.object[:-2] >= 0)
    begins = np.isin(part.offset[1:-1], (0, UNKNOWN))
    kinds = (first == Kind.OPEN) & (second == Kind.READ) & (third == Kind.CLOSE)
    likely = np.flatnonzero(kinds & same & begins & chained[:-1] & chained[1:])
    stored = np.array(sizes.of(part.object[likely].tolist()), dtype=np.int64)
    found[likely[part.size_bytes[likely + 1] == stored]] = True
    return found


def _was_idle(batch: Column, ended_ns: Column, dispatched_ns: Mapping[int, int]) -> NDArray[np.bool_]:
    """Return where a batch begins that was asked for only after the lane had ended the one before."""
    found = np.zeros(len(batch), dtype=np.bool_)
    begins = np.flatnonzero(batch[1:] != batch[:-1]) + 1
    asked_ns = np.array([dispatched_ns.get(int(one), 0) for one in batch[begins]], dtype=np.int64)
    found[begins] = asked_ns > ended_ns[begins - 1]
    return found


def _filled(batch: Column) -> Column:
    """Let operations without a batch belong to the batch that comes after them, or the last there is."""
    known = np.flatnonzero(batch >= 0)
    if not len(known):
        return np.zeros(len(batch), dtype=np.int64)
    after = np.searchsorted(known, np.arange(len(batch)))
    filled: Column = batch[known[np.minimum(after, len(known) - 1)]]
    return filled
