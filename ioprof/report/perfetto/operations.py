"""The operations of a run, worker by worker in the order of time: columns of numbers, never an object for each.

They take 46 bytes each; how many there can be is bounded by the run's span budget.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ioprof.report.perfetto.selection import UNKNOWN, Columns, Stamps, Window

_KINDS = {
    "rank": np.int32, "worker": np.int32, "batch": np.int64, "kind": np.uint8, "start_ns": np.int64,
    "duration_ns": np.int64, "bytes": np.int64, "object": np.int64, "error": np.int32, "client_hit": np.int8,
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOperations:
    """What one worker did, by start; of equal ones the longest first."""

    rank: int
    worker: int
    columns: Columns
    """``batch kind start_ns end_ns bytes object error client_hit``."""


def operations_of(spans: Iterable[pa.RecordBatch], window: Window) -> list[WorkerOperations]:
    """Return the operations in a window, ranks and workers ascending."""
    parts: dict[str, list[NDArray[np.generic]]] = {name: [] for name in _KINDS}
    for batch in spans:
        start_ns = batch.column("start_ns").to_numpy(zero_copy_only=False)
        end_ns = start_ns + batch.column("duration_ns").to_numpy(zero_copy_only=False)
        inside = window.holds(start_ns, end_ns)
        for name, kind in _KINDS.items():
            column = pc.fill_null(pc.cast(batch.column(name), pa.int64()), UNKNOWN)
            parts[name].append(column.to_numpy(zero_copy_only=False)[inside].astype(kind))
    columns = {name: np.concatenate(found) if found else np.zeros(0, np.int64) for name, found in parts.items()}
    return _by_worker(columns)


def _by_worker(columns: dict[str, NDArray[np.generic]]) -> list[WorkerOperations]:
    rank, worker, start_ns = columns.pop("rank"), columns.pop("worker"), columns["start_ns"]
    duration_ns = columns.pop("duration_ns")
    order = np.lexsort((-duration_ns.astype(np.int64), start_ns, worker, rank))
    rank, worker = rank[order], worker[order]
    sorted_columns: Columns = {name: values[order] for name, values in columns.items()}  # type: ignore[misc]
    sorted_columns["end_ns"] = sorted_columns["start_ns"] + duration_ns[order].astype(np.int64)
    edges = np.flatnonzero((np.diff(rank) != 0) | (np.diff(worker) != 0)) + 1
    bounds = [0, *edges.tolist(), len(order)]
    return [
        WorkerOperations(
            rank=int(rank[first]),
            worker=int(worker[first]),
            columns={name: values[first:stop] for name, values in sorted_columns.items()},
        )
        for first, stop in pairwise(bounds)
        if stop > first
    ]


def storage_starts(found: list[WorkerOperations], kinds: tuple[int, ...]) -> Stamps:
    """Return when the operations of some kinds began, ascending, all workers together."""
    starts = [one.columns["start_ns"][np.isin(one.columns["kind"], kinds)] for one in found]
    return np.sort(np.concatenate(starts)) if starts else np.zeros(0, np.int64)
