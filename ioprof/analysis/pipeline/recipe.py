"""What each measured batch cost, with what waiting for a CPU added taken out: the work that a replay does again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ioprof.analysis.accounted import floats, weights
from ioprof.analysis.measured import RankSteps, measured_ranks
from ioprof.analysis.operations import totals_by_kind
from ioprof.analysis.pipeline.pieces import STAGE_OF_KIND, STORAGE_STAGES, Stage
from ioprof.errors import RunError
from ioprof.trace.kinds import Phase
from ioprof.trace.trace import Trace

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FEWEST_BATCHES = 10
"""Of fewer measured batches nothing can be said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One rank's measured batches in the order of delivery; arrays of one length, durations in ns."""

    rank: int
    samples: Ints
    epoch: Ints
    worker: Ints
    storage_cpu_ns: Floats
    """On a CPU inside storage operations."""
    storage_blocked_ns: Floats
    """Waiting inside storage operations for anything but a CPU."""
    prep_cpu_ns: Floats
    """On a CPU in decode and augment."""
    loader_cpu_ns: Floats
    """On a CPU between operations."""
    collate_cpu_ns: Floats
    blocked_ns: Floats
    """Waiting outside storage operations for anything but a CPU, such as a lock."""
    queue_ns: Floats
    """Ready to run, and not on a CPU yet; in none of the others."""
    transfer_ns: Floats
    busy_ns: Floats
    before_ns: Floats
    """Consumer held up before it asked for the batch: by a save, or by workers that end and start between epochs."""
    size_bytes: Floats
    waits: float
    """Times that its worker left the CPU to wait for something, a mean batch; 1 where that was not counted."""
    hit_ratio: float | None
    """Share of the bytes read that the page cache served; None: not known."""
    is_accounted: bool
    """False: the kernel's accounting is missing; storage operations then count as blocked, the rest as on a CPU."""
    run_queue_ratio: float
    """Time the workers waited for a CPU, of the time that they made batches."""

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def worker_cpu_ns(self) -> Floats:
        """The worker on a CPU, for the whole batch."""
        return self.storage_cpu_ns + self.prep_cpu_ns + self.loader_cpu_ns + self.collate_cpu_ns


def measured_rank(trace: Trace) -> RankSteps:
    """Return the steps of the first rank that has any.

    Raises:
        RunError: too few were measured.
    """
    found = [rank for rank in measured_ranks(trace.steps, trace.run, trace.checkpoints) if rank.measured]
    measured = max((rank.measured for rank in found), default=0)
    if measured < FEWEST_BATCHES:
        raise RunError(
            f"the run has {measured} measured steps, and a prediction needs {FEWEST_BATCHES} or more; "
            "run it for longer, or with a smaller --warmup"
        )
    return found[0]


def recipe_of(trace: Trace, rank: RankSteps) -> Recipe:
    """Return what each measured batch of a rank cost.

    Raises:
        RunError: the loader does not say when batches were made.
    """
    table = trace.batches.filter(trace.batches["rank"].to_numpy() == rank.rank) if trace.batches.num_rows else None
    if table is None or table.num_rows == 0:
        raise RunError("the run recorded no batches, so there is nothing to replay")
    numbers = table["batch"].to_numpy()
    order = np.argsort(numbers, kind="stable")
    wanted = rank.batch[rank.first :]
    row = order[np.minimum(np.searchsorted(numbers[order], wanted), len(order) - 1)]
    column = {name: floats(table, name)[row] for name in _COLUMNS}
    made = column["collate_end_ns"] - column["fetch_start_ns"]
    known = (numbers[row] == wanted) & (made >= 0)
    if known.sum() < FEWEST_BATCHES:
        raise RunError(
            f"the loader {trace.run.loader} does not say when its batches were made, so there is nothing to replay"
        )
    column["every"] = weights(table)[row]
    steps = _step_columns(rank)
    return _recipe(
        rank.rank,
        {name: values[known] for name, values in column.items()},
        {name: values[known] for name, values in steps.items()},
    )


_COLUMNS = (
    "fetch_start_ns", "fetch_end_ns", "collate_end_ns", "storage_ns", "prep_ns", "on_cpu_ns", "run_queue_ns",
    "fetch_on_cpu_ns", "fetch_run_queue_ns", "voluntary_switches", "bytes", "client_hit_bytes",
)  # fmt: skip


def _step_columns(rank: RankSteps) -> dict[str, NDArray[np.int64]]:
    measured = slice(rank.first, None)
    return {
        "samples": rank.samples[measured],
        "epoch": rank.epoch[measured],
        "worker": rank.worker[measured],
        "transfer_ns": (rank.h2d_end_ns - rank.wait_end_ns)[measured],
        "busy_ns": rank.busy_ns[measured],
        "before_ns": (rank.saving_ns + rank.tail_ns + rank.late_before_ns)[measured],
        "opened_ns": rank.opened_ns[measured],
    }


def _recipe(number: int, column: dict[str, Floats], steps: dict[str, NDArray[np.int64]]) -> Recipe:
    fetch = np.clip(column["fetch_end_ns"] - column["fetch_start_ns"], 0, None)
    collate = np.clip(column["collate_end_ns"] - column["fetch_end_ns"], 0, None)
    storage = np.minimum(np.nan_to_num(column["storage_ns"]), fetch)
    prep = np.minimum(np.nan_to_num(column["prep_ns"]), fetch - storage)
    loader = fetch - storage - prep
    on_cpu, queued = _accounts(column["fetch_on_cpu_ns"], column["fetch_run_queue_ns"], fetch, column["every"], storage)
    blocked = np.clip(fetch - on_cpu - queued, 0, None)
    storage_blocked = np.minimum(blocked, storage)
    elsewhere = np.minimum(blocked - storage_blocked, loader)
    # What is left of each stage was on a CPU or waited for one; both in the same ratio everywhere.
    active = np.stack([storage - storage_blocked, prep, loader - elsewhere])
    share = _ratio(on_cpu, on_cpu + queued)
    joined_cpu, joined_queue = _accounts(
        column["on_cpu_ns"] - column["fetch_on_cpu_ns"],
        column["run_queue_ns"] - column["fetch_run_queue_ns"],
        collate,
        column["every"],
        np.zeros_like(collate),
    )
    hit, read = np.nansum(column["client_hit_bytes"]), column["bytes"][~np.isnan(column["client_hit_bytes"])].sum()
    return Recipe(
        rank=number,
        samples=steps["samples"],
        epoch=steps["epoch"],
        worker=steps["worker"],
        storage_cpu_ns=active[0] * share,
        storage_blocked_ns=storage_blocked,
        prep_cpu_ns=active[1] * share,
        loader_cpu_ns=active[2] * share,
        collate_cpu_ns=joined_cpu,
        blocked_ns=elsewhere + np.clip(collate - joined_cpu - joined_queue, 0, None),
        queue_ns=queued + joined_queue,
        transfer_ns=np.clip(steps["transfer_ns"], 0, None).astype(np.float64),
        busy_ns=steps["busy_ns"].astype(np.float64),
        before_ns=steps["before_ns"] + _start_up_ns(column["fetch_start_ns"], steps),
        size_bytes=np.nan_to_num(column["bytes"]),
        waits=float(np.nanmean(waits)) if (~np.isnan(waits := column["voluntary_switches"])).any() else 1.0,
        hit_ratio=float(min(1.0, hit / read)) if read > 0 else None,
        is_accounted=bool((~np.isnan(column["fetch_on_cpu_ns"])).any()),
        run_queue_ratio=float((queued + joined_queue).sum() / max(1.0, (fetch + collate).sum())),
    )


def _start_up_ns(started: Floats, steps: dict[str, NDArray[np.int64]]) -> Floats:
    """Return how long after its opening each epoch but the first was begun, at its first batch."""
    opens = np.concatenate([[False], np.diff(steps["epoch"]) != 0])
    return np.where(opens, np.clip(started - steps["opened_ns"], 0, None), 0.0)


def _accounts(on_cpu: Floats, queued: Floats, wall: Floats, every: Floats, waits: Floats) -> tuple[Floats, Floats]:
    """Return time on a CPU and waiting for one, for every batch: where it was not accounted, as much as others had.

    Time on a CPU hardly differs from batch to batch of one length; what does differ is how long it waited, and of that
    a CPU is waited for by the same share.
    """
    known = ~(np.isnan(on_cpu) | np.isnan(queued))
    if not known.any():
        return wall - waits, np.zeros_like(wall)
    told_cpu = np.minimum(on_cpu[known], wall[known])
    told_queue = np.minimum(queued[known], wall[known] - told_cpu)
    counts = every[known]
    usual = float(told_cpu @ counts / counts.sum())
    rest = float((wall[known] - told_cpu) @ counts)
    share = float(told_queue @ counts) / rest if rest > 0 else 0.0
    all_cpu = np.minimum(usual, wall)
    all_queue = (wall - all_cpu) * share
    all_cpu[known], all_queue[known] = told_cpu, told_queue
    return all_cpu, all_queue


def _ratio(part: Floats, whole: Floats) -> Floats:
    return np.divide(part, whole, out=np.ones_like(part), where=whole > 0)


def storage_shares(trace: Trace) -> dict[Stage, float]:
    """Return each storage stage's share of the time in storage operations; they sum to 1, or there are none."""
    spent: dict[Stage, float] = {}
    for kind in totals_by_kind(trace.operations, (Phase.WARMUP, Phase.STEADY)):
        stage = STAGE_OF_KIND[kind.kind]
        if stage in STORAGE_STAGES:
            spent[stage] = spent.get(stage, 0.0) + kind.total_ns
    total = sum(spent.values())
    return {stage: ns / total for stage, ns in spent.items()} if total > 0 else {}


def held_ratio(trace: Trace) -> float:
    """Return the share of the time in storage operations for which a throttle asked; 0 where there is none.

    An operation that is held back lasts until a moment: what it computes before that makes it no longer, and all of
    that time is as long as the store is slow.
    """
    held = trace.run.held_operations
    given_ns = sum(kind.given_ns for kind in held.by_kind.values()) if held is not None else 0
    if held is None or given_ns <= 0:
        return 0.0
    return min(1.0, sum(kind.asked_ns for kind in held.by_kind.values()) / given_ns)
