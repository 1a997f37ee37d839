"""A walk back along the critical path of what was measured, from the end of a rank's last step to its first.

Each step starts when the last of two things was there: the accelerator, free again, or the batch. A batch
in turn is held when the last of its own makings was there, and so on. The walk always follows the one that
came last:

    busy start  <- end of the step before (accelerator)        or  the copy, and before it the batch
    batch held  <- consumer asked (batch lay ready)            or  batch made, then sent
    batch made  <- its worker began on it: collate, decode, storage operations
    worker began <- its previous batch was made                or  the batch was asked for
    asked for   <- whatever the consumer did at that moment: run a step, or wait for an earlier batch

A stretch of this path that leaves the accelerator and comes back to it is one segment. All the idle time of
the steps it passes over is charged to the stages in proportion to their lengths in the segment. Charging
what merely overlaps the wait would be wrong: work done in the background, long before, is what made the
batch late.

Two rules of the loader take no time, and come first: what delivery in order cost (see `rules`), and the prefetch limit.
Where a segment begins with a worker being asked that had nothing to do, it could have begun as much earlier: so much
of the segment's idle time, and no more than there is, was the limit's.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

import numpy as np

from ioprof.analysis.measured import RankSteps
from ioprof.analysis.pipeline.made import Made
from ioprof.analysis.pipeline.pieces import STAGES, Stage
from ioprof.analysis.pipeline.work import Floats

_COLLATE, _IPC, _LOADER, _TRANSFER = (int(stage) for stage in (Stage.COLLATE, Stage.IPC, Stage.LOADER, Stage.TRANSFER))
_START_UP, _HOST_LATE, _UNEXPLAINED = int(Stage.START_UP), int(Stage.HOST_LATE), int(Stage.UNEXPLAINED)
_IN_ORDER, _PREFETCH = int(Stage.IN_ORDER), int(Stage.PREFETCH_LIMIT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Charged:
    """What a rank's idle time was charged to, and what lies on its path; in ns.

    Time up to fetch end and in collate is kept by batch, as what it was spent on differs from batch to batch; neither
    is part of ``idle_ns`` and ``path_ns``.
    """

    idle_ns: Floats
    """Shape (`STAGES`,)."""
    path_ns: Floats
    fetch_idle_ns: Floats
    """An entry per step; so are the next three."""
    fetch_path_ns: Floats
    collate_idle_ns: Floats
    collate_path_ns: Floats


class MeasuredWalk:
    """One rank's walk; ``at`` is the time the walk has come back to, ``floor`` the time it must not pass."""

    def __init__(self, rank: RankSteps, made: Made, in_order_ns: Floats, *, between_steps: Stage) -> None:
        """Prepare to walk.

        Args:
            rank: the steps.
            made: how their batches were made.
            in_order_ns: what of each step's idle time delivery in order cost.
            between_steps: what the time is from a step's end until the next batch is asked for.
        """
        self._rank = rank
        self._between_steps = int(between_steps)
        self._wait_start = rank.wait_start_ns.tolist()
        self._wait_end = rank.wait_end_ns.tolist()
        self._h2d_end = rank.h2d_end_ns.tolist()
        self._busy_start = rank.busy_start_ns.tolist()
        self._busy_end = rank.busy_end_ns.tolist()
        self._opened = rank.opened_ns.tolist()
        self._saving = rank.saving_ns.tolist()
        self._late = rank.late_ns.tolist()
        self._known, self._worker, self._opens = made.known.tolist(), made.worker.tolist(), made.opens.tolist()
        self._dispatch, self._start = made.dispatch_ns.tolist(), made.start_ns.tolist()
        self._fetched, self._made, self._previous = (
            made.fetched_ns.tolist(),
            made.end_ns.tolist(),
            made.previous.tolist(),
        )
        idle = rank.idle_ns - rank.tail_ns - rank.saving_ns
        self._idle_before = [0, *np.cumsum(idle).tolist()]
        """Idle of the steps before each index, so that a segment's idle is a difference."""
        self._in_order_before = [0.0, *np.cumsum(in_order_ns).tolist()]
        self._last_idle = np.maximum.accumulate(np.where(idle > 0, np.arange(len(idle)), -1)).tolist()
        """Last step up to each index that had idle time; -1: none."""
        self._visited = bytearray(len(self._wait_end))
        self._segment = [0.0] * STAGES
        self._fetches: list[tuple[int, float]] = []
        self._collates: list[tuple[int, float]] = []
        """The segment's time in batches: the step, and how long."""
        self._unasked = 0.0
        """How long workers that the segment begins with had nothing to do."""
        self._at = self._floor = 0
        self._idle, self._path = [0.0] * STAGES, [0.0] * STAGES
        self._fetch_idle, self._fetch_path, self._collate_idle, self._collate_path = (
            [0.0] * len(idle) for _ in range(4)
        )

    def run(self) -> Charged:
        """Walk from the last step to the first measured one."""
        rank = self._rank
        self._idle[Stage.CHECKPOINT] = self._path[Stage.CHECKPOINT] = float(rank.saving_ns.sum())
        # The old epoch was closing down.
        self._idle[_START_UP] = self._path[_START_UP] = float(rank.tail_ns.sum())
        step = len(self._wait_end) - 1
        while step >= rank.first and (step := self._last_idle[step]) >= rank.first:
            resumed = self._off_accelerator(step)
            self._charge(resumed, step)
            step = resumed
        return Charged(
            idle_ns=np.array(self._idle),
            path_ns=np.array(self._path),
            fetch_idle_ns=np.array(self._fetch_idle),
            fetch_path_ns=np.array(self._fetch_path),
            collate_idle_ns=np.array(self._collate_idle),
            collate_path_ns=np.array(self._collate_path),
        )

    def _charge(self, resumed: int, step: int) -> None:
        """Charge the idle time after step ``resumed`` up to ``step`` to what lies in the segment."""
        idle = float(self._idle_before[step + 1] - self._idle_before[resumed + 1])
        in_order = min(idle, max(0.0, self._in_order_before[step + 1] - self._in_order_before[resumed + 1]))
        unasked = min(idle - in_order, self._unasked)
        self._idle[_IN_ORDER] += in_order
        self._idle[_PREFETCH] += unasked
        rest = idle - in_order - unasked
        inside = sum(length for _, length in self._fetches) + sum(length for _, length in self._collates)
        length = sum(self._segment) + inside
        if length <= 0:
            self._idle[_UNEXPLAINED] += rest
            return
        scale = rest / length
        for stage, part in enumerate(self._segment):
            if part:
                self._path[stage] += part
                self._idle[stage] += part * scale
        for parts, idle_ns, path_ns in (
            (self._fetches, self._fetch_idle, self._fetch_path),
            (self._collates, self._collate_idle, self._collate_path),
        ):
            for row, part in parts:
                path_ns[row] += part
                idle_ns[row] += part * scale

    def _off_accelerator(self, step: int) -> int:
        """Fill the segment from the start of ``step`` back to the accelerator; return the step it ran."""
        self._segment = [0.0] * STAGES
        self._fetches, self._collates, self._unasked = [], [], 0.0
        self._at, self._floor = self._busy_start[step], self._opened[step]
        self._back_to(self._h2d_end[step], _UNEXPLAINED)
        self._back_to(self._wait_end[step], _TRANSFER)
        waiting = step
        while self._at > self._floor:
            if not self._batch_was_late(waiting):
                return self._consumer_was_late(waiting, step)
            self._through_worker(waiting)
            waiting = min(waiting, bisect_left(self._wait_end, self._at))
            if self._at < self._wait_start[waiting]:
                break  # asked for while the accelerator ran the step before
        return self._step_before(waiting, step)

    def _batch_was_late(self, step: int) -> bool:
        """Tell whether the wait of ``step`` ended because its batch came, not because it was asked for."""
        return self._known[step] and not self._visited[step] and self._wait_start[step] < self._made[step] <= self._at

    def _consumer_was_late(self, waiting: int, step: int) -> int:
        self._back_to(self._wait_start[waiting], self._delivery(waiting) if self._known[waiting] else _UNEXPLAINED)
        before = self._step_before(waiting, step)
        # A save stood between that step and the wait; its time is charged already.
        self._at = max(self._at - self._saving[waiting], min(self._at, self._floor))
        if before >= 0:
            self._back_to(self._busy_end[before] + self._late[before], self._between_steps)
            self._back_to(self._busy_end[before], _HOST_LATE)
        return before

    def _delivery(self, step: int) -> int:
        """Return what a batch's way to the consumer is: nothing is sent where the consumer made it."""
        return _IPC if self._worker[step] >= 0 else _LOADER

    def _step_before(self, waiting: int, step: int) -> int:
        """Return the step the accelerator ran before the wait of ``waiting``; always before ``step``."""
        if self._at <= self._floor:
            return self._last_step_before_floor(step)
        return max(min(waiting, step) - 1, self._rank.first - 1)

    def _last_step_before_floor(self, step: int) -> int:
        return max(bisect_left(self._busy_end, self._floor + 1, hi=step) - 1, self._rank.first - 1)

    def _through_worker(self, step: int) -> None:
        """Go back through one worker's batches, to the request for one that did not queue behind another."""
        self._back_to(self._made[step], self._delivery(step))
        while self._at > self._floor:
            self._visited[step] = 1
            self._back_to(self._made[step], _LOADER)
            self._back_inside(step, self._fetched[step], self._collates)
            self._back_inside(step, self._start[step], self._fetches)
            if self._opens[step]:
                # Its worker came up, after the epoch was opened and before this batch.
                self._back_to(self._floor if self._worker[step] >= 0 else self._wait_start[step], _START_UP)
                return
            before = self._previous[step]
            if self._made[before] <= self._dispatch[step] or self._visited[before]:
                break
            step = before
        if self._worker[step] >= 0 and self._at >= self._dispatch[step] >= self._floor:
            self._unasked += max(0, self._dispatch[step] - self._made[self._previous[step]])
        self._back_to(self._dispatch[step], _LOADER)

    def _back_to(self, time: int, stage: int) -> None:
        """Put the stretch from ``time`` to here on ``stage``, and go there."""
        time = max(time, self._floor)
        if time < self._at:
            self._segment[stage] += self._at - time
            self._at = time

    def _back_inside(self, step: int, time: int, parts: list[tuple[int, float]]) -> None:
        """Put the stretch from ``time`` to here on a part of a batch, and go there."""
        time = max(time, self._floor)
        if time < self._at:
            parts.append((step, float(self._at - time)))
            self._at = time
