"""Which stage made the accelerator wait: a walk back along the critical path, batch by batch.

Each step starts when the last of two things was there: the accelerator, free again, or the batch. A batch
in turn is held when the last of its own makings was there, and so on. The walk starts at the end of a
rank's last step and always follows the one that came last:

    busy start  <- end of the step before (accelerator)        or  the copy, and before it the batch
    batch held  <- consumer asked (batch lay ready)            or  batch made, then transported
    batch made  <- its worker began on it: collate, decode, storage operations
    worker began <- its previous batch was made                or  the batch was dispatched
    dispatched  <- whatever the consumer did at that moment: run a step, or wait for an earlier batch

A stretch of this path that leaves the accelerator and comes back to it is one segment. All the idle time of
the steps it passes over is charged to the stages in proportion to their lengths in the segment. Charging
what merely overlaps the wait would be wrong: work done in the background, long before, is what made the
batch late.

While the step loop stands still for a save, it is that save which the accelerator waits for, whatever loads
meanwhile: this time is charged to ``checkpoint`` beforehand, and the walk shares out the rest.

What this first form cannot see: batches arriving in the consumer's process have no stamp of their own, so
where a batch was made before the consumer asked for it and was still under way, the wait is all charged to
``other``; and one batch's storage operations are one piece (their kinds are not told apart). Ranks are
walked one by one; waiting for another rank at a barrier matches no stage and stays unexplained.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ioprof.analysis.measured import RankSteps
from ioprof.analysis.summary import IdleByCause

FETCH, PREP, TRANSFER, CHECKPOINT, OTHER, UNEXPLAINED = range(6)
CAUSES = ("fetch", "prep", "transfer", "checkpoint", "other", "unexplained")
_UNKNOWN = -1
_ALL_UNEXPLAINED = (0.0, 0.0, 0.0, 0.0, 0.0, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribution:
    """Idle time and path length by stage, in the order of `CAUSES`, in nanoseconds."""

    idle_ns: NDArray[np.float64]
    path_ns: NDArray[np.float64]
    """Length on the critical path: what the run gains, to first order, if the stage takes no time."""

    def idle_by_cause(self) -> IdleByCause:
        """Return the idle time by cause in seconds."""
        return IdleByCause(**dict(zip(CAUSES, (self.idle_ns / 1e9).tolist(), strict=True)))


def attribute_idle(ranks: list[RankSteps], batches: pa.Table) -> Attribution:
    """Charge the idle time of all measured steps to stages; the parts sum to the idle time.

    Args:
        ranks: the steps of every rank.
        batches: the batches table; steps whose batch is missing here wait for ``unexplained``.
    """
    total = Attribution(idle_ns=np.zeros(len(CAUSES)), path_ns=np.zeros(len(CAUSES)))
    for rank in ranks:
        part = _Walk(rank, _made_batches(rank, batches)).run()
        total = Attribution(idle_ns=total.idle_ns + part.idle_ns, path_ns=total.path_ns + part.path_ns)
    return total


_STAMPS = (
    "worker",
    "dispatch_ns",
    "fetch_start_ns",
    "fetch_end_ns",
    "collate_end_ns",
    "storage_ns",
    "prep_ns",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Made:
    """How the batch of each step was made, one entry per step; plain lists, as a loop reads them fastest."""

    dispatch: list[int]
    start: list[int]
    fetched: list[int]
    end: list[int]
    storage: list[int]
    prep: list[int]
    known: list[bool]
    previous: list[int]
    """Step whose batch the same worker made just before; -1: none."""


def _made_batches(rank: RankSteps, batches: pa.Table) -> _Made:
    of_rank = np.flatnonzero(batches["rank"].to_numpy() == rank.rank)
    of_rank = of_rank[np.argsort(batches["batch"].to_numpy()[of_rank], kind="stable")]
    row, found = _rows_of(rank.batch, batches["batch"].to_numpy()[of_rank])
    column = {
        name: np.where(found, _known(batches[name])[of_rank][row], _UNKNOWN)
        if len(of_rank)
        else np.full(len(rank.batch), _UNKNOWN)
        for name in _STAMPS
    }
    start, end = column["fetch_start_ns"], column["collate_end_ns"]
    # A batch made in the consumer's own process needs no dispatch: asking for it starts it.
    dispatch = np.where((column["dispatch_ns"] < 0) & (column["worker"] < 0), start, column["dispatch_ns"])
    known = found & (start >= 0) & (end >= start) & (dispatch >= 0)
    fetched = np.where(column["fetch_end_ns"] < 0, end, column["fetch_end_ns"])
    return _Made(
        dispatch=np.minimum(dispatch, start).tolist(),
        start=start.tolist(),
        fetched=np.clip(fetched, start, np.maximum(start, end)).tolist(),
        end=end.tolist(),
        storage=column["storage_ns"].tolist(),
        prep=column["prep_ns"].tolist(),
        known=known.tolist(),
        previous=_previous_of_worker(column["worker"], start, known).tolist(),
    )


def _rows_of(wanted: NDArray[np.int64], numbers: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return for each wanted batch its place in the sorted ``numbers``, and whether it is there."""
    if len(numbers) == 0:
        return np.zeros(len(wanted), np.int64), np.zeros(len(wanted), np.bool_)
    row = np.minimum(np.searchsorted(numbers, wanted), len(numbers) - 1)
    return row, numbers[row] == wanted


def _known(column: pa.ChunkedArray) -> NDArray[np.int64]:
    return np.asarray(column.fill_null(_UNKNOWN).to_numpy()).astype(np.int64, copy=False)


def _previous_of_worker(
    worker: NDArray[np.int64], start: NDArray[np.int64], known: NDArray[np.bool_]
) -> NDArray[np.int64]:
    previous = np.full(len(worker), -1)
    order = np.lexsort((start, worker))
    order = order[known[order]]
    same = worker[order[1:]] == worker[order[:-1]]
    previous[order[1:][same]] = order[:-1][same]
    return previous


class _Walk:
    """One rank's walk; ``at`` is the time the walk has come back to, ``floor`` the time it must not pass."""

    def __init__(self, rank: RankSteps, made: _Made) -> None:
        self.rank = rank
        self.made = made
        self.wait_start = rank.wait_start_ns.tolist()
        self.wait_end = rank.wait_end_ns.tolist()
        self.h2d_end = rank.h2d_end_ns.tolist()
        self.busy_start = rank.busy_start_ns.tolist()
        self.busy_end = rank.busy_end_ns.tolist()
        self.opened = rank.opened_ns.tolist()
        idle = rank.idle_ns - rank.tail_ns - rank.saving_ns
        self.idle_before = [0, *np.cumsum(idle).tolist()]
        """Idle of the steps before each index, so that a segment's idle is a difference."""
        self.last_idle = np.maximum.accumulate(np.where(idle > 0, np.arange(len(idle)), -1)).tolist()
        """Last step up to each index that had idle time; -1: none."""
        self.visited = bytearray(len(self.wait_end))
        self.saving = rank.saving_ns.tolist()
        self.segment = [0.0] * len(CAUSES)
        self.at = 0
        self.floor = 0

    def run(self) -> Attribution:
        """Walk from the last step to the first measured one."""
        idle_ns, path_ns = [0.0] * len(CAUSES), [0.0] * len(CAUSES)
        idle_ns[CHECKPOINT] = path_ns[CHECKPOINT] = float(self.rank.saving_ns.sum())
        idle_ns[UNEXPLAINED] = float(self.rank.tail_ns.sum())
        step = len(self.wait_end) - 1
        while step >= self.rank.first and (step := self.last_idle[step]) >= self.rank.first:
            resumed = self._off_accelerator(step)
            length = sum(self.segment)
            idle = self.idle_before[step + 1] - self.idle_before[resumed + 1]
            for stage, part in enumerate(self.segment if length > 0 else _ALL_UNEXPLAINED):
                path_ns[stage] += part
                idle_ns[stage] += idle * part / length if length > 0 else idle * part
            step = resumed
        return Attribution(idle_ns=np.array(idle_ns), path_ns=np.array(path_ns))

    def _off_accelerator(self, step: int) -> int:
        """Fill ``segment`` from the start of ``step`` back to the accelerator; return the step it ran."""
        self.segment = [0.0] * len(CAUSES)
        self.at, self.floor = self.busy_start[step], self.opened[step]
        self._back_to(self.h2d_end[step], UNEXPLAINED)
        self._back_to(self.wait_end[step], TRANSFER)
        waiting = step
        while self.at > self.floor:
            if not self._batch_was_late(waiting):
                return self._consumer_was_late(waiting, step)
            self._through_worker(waiting)
            waiting = min(waiting, bisect_left(self.wait_end, self.at))
            if self.at < self.wait_start[waiting]:
                break  # dispatched while the accelerator ran the step before
        return self._step_before(waiting, step)

    def _batch_was_late(self, step: int) -> bool:
        """Tell whether the wait of ``step`` ended because its batch came, not because it was asked for."""
        made = self.made
        return made.known[step] and not self.visited[step] and self.wait_start[step] < made.end[step] <= self.at

    def _consumer_was_late(self, waiting: int, step: int) -> int:
        self._back_to(self.wait_start[waiting], OTHER if self.made.known[waiting] else UNEXPLAINED)
        before = self._step_before(waiting, step)
        # A save stood between that step and the wait; its time is charged already.
        self.at = max(self.at - self.saving[waiting], min(self.at, self.floor))
        if before >= 0:
            self._back_to(self.busy_end[before], UNEXPLAINED)
        return before

    def _step_before(self, waiting: int, step: int) -> int:
        """Return the step the accelerator ran before the wait of ``waiting``; always before ``step``."""
        if self.at <= self.floor:
            return self._last_step_before_floor(step)
        return max(min(waiting, step) - 1, self.rank.first - 1)

    def _last_step_before_floor(self, step: int) -> int:
        return max(bisect_left(self.busy_end, self.floor + 1, hi=step) - 1, self.rank.first - 1)

    def _through_worker(self, step: int) -> None:
        """Go back through one worker's batches, to the dispatch of one that did not queue behind another."""
        made = self.made
        while self.at > self.floor:
            self.visited[step] = 1
            self._back_to(made.end[step], OTHER)
            self._back_to(made.fetched[step], PREP)
            self._back_through_fetch(step)
            before = made.previous[step]
            if before < 0 or made.end[before] <= made.dispatch[step] or self.visited[before]:
                break
            step = before
        self._back_to(made.dispatch[step], OTHER)

    def _back_to(self, time: int, stage: int) -> None:
        """Put the stretch from ``time`` to here on ``stage``, and go there."""
        time = max(time, self.floor)
        if time < self.at:
            self.segment[stage] += self.at - time
            self.at = time

    def _back_through_fetch(self, step: int) -> None:
        """Go back to the fetch start; storage and decode alternate inside, so the stretch is shared out."""
        made = self.made
        start = max(made.start[step], self.floor)
        length, whole = self.at - start, made.fetched[step] - made.start[step]
        if length <= 0 or whole <= 0:
            return
        storage, prep = made.storage[step], made.prep[step]
        if storage < 0 or prep < 0:
            self._back_to(start, UNEXPLAINED)
            return
        scale = length / max(whole, storage + prep)
        self.segment[FETCH] += storage * scale
        self.segment[PREP] += prep * scale
        self.segment[OTHER] += max(length - (storage + prep) * scale, 0.0)
        self.at = start
