"""How the batch of each step was made: when, by whom, and what the time inside was spent on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ioprof.analysis.accounted import Floats, within
from ioprof.analysis.measured import RankSteps
from ioprof.analysis.pipeline.pieces import STAGE_OF_KIND, STAGES, STORAGE_STAGES, Stage
from ioprof.analysis.pipeline.span_times import TIMED_STAGES
from ioprof.trace.kinds import Kind, Phase

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]
UNKNOWN = -1
_STORAGE = list(STORAGE_STAGES)
_SAME_RATIO, _SAME_NS = 0.01, 1_000
"""The spans of a batch are all there if they come so close to the time that its worker counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """The batches of one rank's steps; arrays with an entry per step, stamps and durations in ns."""

    known: Flags
    """Whether it is known when the batch was made; if not, all else of it is worth nothing."""
    worker: Ints
    """-1: the consumer."""
    dispatch_ns: Ints
    start_ns: Ints
    fetched_ns: Ints
    end_ns: Ints
    previous: Ints
    """Step whose batch the same worker made just before; -1: none."""
    opens: Flags
    """Whether it is the first batch that its worker made in its epoch."""
    share: Floats
    """Shape (steps, `STAGES`): what the time from start to fetched was spent on; rows sum to 1."""
    is_shared_out: Flags
    """Its operations were not kept one by one: its storage time is shared out as that of all operations was."""
    spent: Spent


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What the kernel says of each batch; ratios 0.0 to 1.0, NaN where it was not accounted.

    The kernel is asked when a stage ends, not when an operation does. Inside fetch, what blocks are storage operations
    for as long as these lasted; the rest of the time, whatever was done, is divided between being on a CPU and
    waiting for one as it was for the whole.
    """

    counts: Floats
    """How many batches each stands for."""
    storage_blocked: Floats
    """Share of the time in storage operations."""
    other_blocked: Floats
    """Share of decoding, and of the time between operations."""
    on_cpu: Floats
    """On a CPU, of the time not blocked, up to fetch end."""
    collate_blocked: Floats
    collate_on_cpu: Floats
    """On a CPU, of the time not blocked."""


def made_batches(rank: RankSteps, batches: pa.Table, stage_ns: Floats, operations: pa.Table) -> Made:
    """Return how the batch of each step was made.

    Args:
        rank: the steps.
        batches: the batches table.
        stage_ns: how long each batch was in operations, by its spans; shape (steps, `TIMED_STAGES`).
        operations: the operations table, which tells of those whose spans were not kept.
    """
    column = _columns(rank, batches)
    start, end = column["fetch_start_ns"], column["collate_end_ns"]
    worker = np.where(np.isnan(column["worker"]), UNKNOWN, column["worker"]).astype(np.int64)
    # A batch made in the consumer's own process needs no dispatch: asking for it starts it.
    dispatch = np.where(np.isnan(column["dispatch_ns"]) & (worker < 0), start, column["dispatch_ns"])
    known = (start >= 0) & (end >= start) & (dispatch >= 0)
    fetched = np.where(np.isnan(column["fetch_end_ns"]), end, np.clip(column["fetch_end_ns"], start, end))
    previous = _previous_of_worker(worker, start, known)
    own = np.clip(stage_ns[:, _STORAGE].sum(axis=1), 0, None)
    storage = column["storage_ns"]
    shared_out = ~((own > 0) & (np.abs(own - storage) <= _SAME_RATIO * storage + _SAME_NS))
    by_stage = np.where(shared_out[:, None], _all_shares(operations, rank.rank), _shares_of(stage_ns[:, _STORAGE], own))
    return Made(
        known=known,
        worker=worker,
        dispatch_ns=_whole(np.minimum(dispatch, start)),
        start_ns=_whole(start),
        fetched_ns=_whole(fetched),
        end_ns=_whole(end),
        previous=previous,
        opens=(previous < 0) | (rank.epoch[previous] != rank.epoch),
        share=_fetch_shares(column, fetched - start, by_stage),
        is_shared_out=known & shared_out & (storage > 0),
        spent=_spent(column, fetched - start, end - fetched),
    )


_COLUMNS = (
    "worker", "dispatch_ns", "fetch_start_ns", "fetch_end_ns", "collate_end_ns", "storage_ns", "prep_ns", "on_cpu_ns",
    "run_queue_ns", "fetch_on_cpu_ns", "fetch_run_queue_ns", "accounted_every",
)  # fmt: skip


def _columns(rank: RankSteps, batches: pa.Table) -> dict[str, Floats]:
    """Return the columns of each step's batch; NaN where something is not known, or the batch is missing."""
    of_rank = np.flatnonzero(batches["rank"].to_numpy() == rank.rank)
    numbers = batches["batch"].to_numpy()[of_rank]
    order = of_rank[np.argsort(numbers, kind="stable")]
    if not len(order):
        return {name: np.full(len(rank.batch), np.nan) for name in _COLUMNS}
    numbers = batches["batch"].to_numpy()[order]
    place = np.minimum(np.searchsorted(numbers, rank.batch), len(numbers) - 1)
    found, row = numbers[place] == rank.batch, order[place]
    return {name: np.where(found, _floats(batches[name])[row], np.nan) for name in _COLUMNS}


def _floats(column: pa.ChunkedArray) -> Floats:
    return np.asarray(column.to_numpy(), np.float64)  # nulls become NaN, whatever the numbers


def _whole(stamps: Floats) -> Ints:
    return np.where(np.isnan(stamps), UNKNOWN, stamps).astype(np.int64)


def _previous_of_worker(worker: Ints, start: Floats, known: Flags) -> Ints:
    previous = np.full(len(worker), UNKNOWN)
    order = np.lexsort((start, worker))
    order = order[known[order]]
    same = worker[order[1:]] == worker[order[:-1]]
    previous[order[1:][same]] = order[:-1][same]
    return previous


def _all_shares(operations: pa.Table, rank: int) -> Floats:
    """Return each storage stage's share of the time in all measured operations; of all there were, if none was."""
    by_stage = np.zeros((2, TIMED_STAGES))
    known = set(Kind)
    rows = operations.select(["rank", "phase", "kind", "total_ns"]).to_pylist()
    for row in rows:
        if row["rank"] == rank and row["kind"] in known and row["phase"] in (Phase.STEADY, Phase.WARMUP):
            by_stage[int(row["phase"] == Phase.STEADY), STAGE_OF_KIND[Kind(row["kind"])]] += row["total_ns"]
    steady = by_stage[1][_STORAGE]
    totals = steady if steady.sum() > 0 else by_stage[0][_STORAGE]
    if totals.sum() > 0:
        return np.asarray(totals / totals.sum(), np.float64)
    return np.array([float(stage == Stage.OTHER_STORAGE) for stage in _STORAGE])


def _shares_of(stage_ns: Floats, total_ns: Floats) -> Floats:
    return np.divide(stage_ns, total_ns[:, None], out=np.zeros_like(stage_ns), where=total_ns[:, None] > 0)


def _fetch_shares(column: dict[str, Floats], wall: Floats, by_stage: Floats) -> Floats:
    """Return what the time up to fetch end was spent on, in shares of it.

    Between operations the worker runs its own code. Where the kernel says that it was blocked for longer than its
    storage operations lasted, that is neither, and unexplained. Where nobody timed what the worker does besides
    storage operations, or these either, the rest is the dataset's own code, whatever it was doing.
    """
    share = np.zeros((len(wall), STAGES))
    storage, prep = column["storage_ns"], column["prep_ns"]
    timed = ~(np.isnan(storage) | np.isnan(prep)) & (wall > 0)
    seen = ~np.isnan(storage) & (wall > 0)
    # Threads of one worker may do several things at once: together these then last longer than the batch.
    whole = np.where(seen, np.maximum(wall, np.nan_to_num(storage) + np.nan_to_num(prep)), 1.0)
    storage, prep = np.where(seen, storage / whole, 0.0), np.where(timed, prep / whole, 0.0)
    between = np.clip(np.where(timed, 1.0, 0.0) - storage - prep, 0.0, None)
    on_cpu, queue = within(wall, column["fetch_on_cpu_ns"], column["fetch_run_queue_ns"])
    blocked = np.nan_to_num((wall - on_cpu - queue) / whole)
    stuck = np.clip(np.where(timed, blocked - storage, 0.0), 0.0, between)
    share[:, _STORAGE] = storage[:, None] * np.nan_to_num(by_stage)
    share[:, Stage.DECODE] = prep
    share[:, Stage.LOADER] = between - stuck
    share[:, Stage.UNEXPLAINED] = stuck
    share[:, Stage.DATASET] = np.where(timed, 0.0, 1.0 - storage)
    return share


def _spent(column: dict[str, Floats], fetch: Floats, collate: Floats) -> Spent:
    on_cpu, queue = within(fetch, column["fetch_on_cpu_ns"], column["fetch_run_queue_ns"])
    blocked = fetch - on_cpu - queue
    storage = np.minimum(np.nan_to_num(column["storage_ns"]), fetch)
    in_storage = np.minimum(blocked, storage)
    joined_cpu, joined_queue = within(
        collate, column["on_cpu_ns"] - column["fetch_on_cpu_ns"], column["run_queue_ns"] - column["fetch_run_queue_ns"]
    )
    return Spent(
        counts=np.where(np.isnan(column["accounted_every"]), 1.0, column["accounted_every"]),
        storage_blocked=_ratio(in_storage, storage),
        other_blocked=_ratio(blocked - in_storage, fetch - storage),
        on_cpu=_ratio(on_cpu, on_cpu + queue),
        collate_blocked=_ratio(collate - joined_cpu - joined_queue, collate),
        collate_on_cpu=_ratio(joined_cpu, joined_cpu + joined_queue),
    )


def _ratio(part: Floats, whole: Floats) -> Floats:
    """Return part / whole, within 0.0 to 1.0; NaN where it is not known, 0 of nothing."""
    ratio = np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
    return np.where(np.isnan(part) | np.isnan(whole), np.nan, np.clip(ratio, 0.0, 1.0))
