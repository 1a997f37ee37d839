"""Objects of runs that do not say which object an operation was of: what is opened is an object, until it is closed."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ioprof.trace.kinds import Kind

Column = NDArray[np.int64]

_OF_OBJECTS = (Kind.OPEN, Kind.READ, Kind.CLOSE, Kind.GET, Kind.TOUCH)


def with_openings(columns: Mapping[str, Column]) -> tuple[dict[str, Column], int]:
    """Return the columns with a number in place of each unknown object, and how many objects were so made.

    Every opening is an object of its own, with the reads that the same worker does until it closes it, or opens another
    one; a request (get) is one too. So what is read twice is two objects, and no cache serves the second.

    Args:
        columns: ``rank``, ``worker``, ``kind``, ``start_ns`` and ``object``, all of the same length.
    """
    unknown = (columns["object"] < 0) & np.isin(columns["kind"], _OF_OBJECTS)
    if not unknown.any():
        return dict(columns), 0
    objects = columns["object"].copy()
    first = fresh = int(objects.max()) + 1
    places = np.flatnonzero(unknown)
    order = np.lexsort((columns["start_ns"][places], columns["worker"][places], columns["rank"][places]))
    doers = (columns["rank"].tolist(), columns["worker"].tolist())
    kinds = columns["kind"].tolist()
    held: dict[tuple[int, int], list[int]] = {}
    for place in places[order].tolist():
        kind, mine = kinds[place], held.setdefault((doers[0][place], doers[1][place]), [])
        if kind in (Kind.GET, Kind.OPEN) or not mine:
            # What was opened before the trace began is one object too: the first that is read without an opening.
            objects[place] = fresh
            if kind in (Kind.OPEN, Kind.READ, Kind.TOUCH):
                mine.append(fresh)
            fresh += 1
        else:
            objects[place] = mine.pop() if kind == Kind.CLOSE else mine[-1]
    return {**columns, "object": objects}, fresh - first
