"""The part of a run that is drawn: which ranks there are, and what of their steps and batches lies in a window."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ioprof.trace.trace import Trace

Stamps = NDArray[np.int64]
UNKNOWN = -1
"""Stands for null: no stamp, count or duration is negative."""
_NEVER_NS = 1 << 62


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A stretch of time on the run's clock; what lies in it only partly is drawn whole."""

    start_ns: int
    end_ns: int

    def holds(self, start_ns: Stamps, end_ns: Stamps) -> NDArray[np.bool_]:
        """Return which intervals lie in it, or reach into it."""
        chosen: NDArray[np.bool_] = (end_ns >= self.start_ns) & (start_ns < self.end_ns)
        return chosen


WHOLE = Window(start_ns=0, end_ns=_NEVER_NS)


def zero_ns(trace: Trace) -> int:
    """Return when the run began: the second 0 of a window."""
    known = [trace.run.run_start_ns, trace.run.loader_open_ns]
    known += [int(pc.min(trace.steps[name]).as_py()) for name in ("wait_start_ns",) if trace.steps.num_rows]
    return min((at_ns for at_ns in known if at_ns is not None), default=0)


def last_ns(trace: Trace) -> int:
    """Return when its last step ended; of a run without steps when it began."""
    return int(pc.max(trace.steps["busy_end_ns"]).as_py()) if trace.steps.num_rows else zero_ns(trace)


Columns = dict[str, Stamps]
"""A table as arrays of one length, nulls as `UNKNOWN`."""


def columns_of(table: pa.Table, names: tuple[str, ...]) -> Columns:
    """Return some columns of a table."""
    return {name: pc.fill_null(pc.cast(table[name], pa.int64()), UNKNOWN).to_numpy() for name in names}


def ranks_of(trace: Trace) -> list[int]:
    """Return the ranks, ascending; a run without steps has the first one."""
    return sorted(pc.unique(trace.steps["rank"]).to_pylist()) or [0]


def of_rank(table: pa.Table, rank: int) -> pa.Table:
    """Return a table's rows of one rank; the table itself where there is no other."""
    own = pc.equal(table["rank"], rank)
    return table if pc.all(own, min_count=0).as_py() else table.filter(own)


def chosen(columns: Columns, mask: NDArray[np.bool_]) -> Columns:
    """Return the chosen rows."""
    return {name: values[mask] for name, values in columns.items()}


_STEPS = (
    "epoch", "step", "batch", "samples", "wait_start_ns", "wait_end_ns", "h2d_end_ns", "busy_start_ns", "busy_end_ns",
)  # fmt: skip
_BATCHES = (
    "epoch", "batch", "worker", "dispatch_ns", "fetch_start_ns", "fetch_end_ns", "collate_end_ns", "received_ns",
    "storage_ns", "prep_ns", "on_cpu_ns", "run_queue_ns", "blocked_ns", "samples", "bytes", "client_hit_bytes",
)  # fmt: skip


def steps_of(trace: Trace, rank: int) -> Columns:
    """Return all steps of a rank, in order."""
    return columns_of(of_rank(trace.steps, rank), _STEPS)


def batches_of(trace: Trace, rank: int, window: Window) -> Columns:
    """Return a rank's batches of a window, from when each was asked for until it was received, in that order.

    ``end_ns`` is when a batch was made: joined, or, where that is not known, fetched.
    """
    table = of_rank(trace.batches, rank)
    if window != WHOLE:
        stamps = columns_of(table, ("dispatch_ns", "fetch_start_ns", "received_ns"))
        asked, begun, received = stamps.values()
        since = np.where(asked >= 0, asked, np.where(begun >= 0, begun, received))
        table = table.filter(pa.array(window.holds(since, received)))
    found = columns_of(table, _BATCHES)
    joined, fetched = found["collate_end_ns"], found["fetch_end_ns"]
    found["end_ns"] = np.where(joined >= 0, joined, fetched)
    return found
