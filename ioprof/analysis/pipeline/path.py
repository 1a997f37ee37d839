"""The critical path of a schedule: a walk back from the end of the last step, always to what each moment waited for."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ioprof.analysis.pipeline.pieces import BEFORE_ASKING_STAGES, STAGES, WORKER_STAGES, Stage
from ioprof.analysis.pipeline.recursion import schedule
from ioprof.analysis.pipeline.schedule import NONE, Schedule
from ioprof.analysis.pipeline.work import Floats, Ints, PipelineShape, PipelineWork


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """Lengths on the critical path in ns; all together they are the makespan.

    A stage's length is also what the makespan gains, to first order, per relative change of that stage's cost.
    """

    stage_ns: Floats
    """Shape (`STAGES`,)."""
    busy_ns: float
    """The accelerator at work."""

    @property
    def total_ns(self) -> float:
        """All of it."""
        return float(self.stage_ns.sum()) + self.busy_ns


def critical_path(done: Schedule) -> Path:
    """Return the length of each stage on the critical path.

    Where two things came at once, the path goes through the accelerator, or else through the batch itself and not
    what was done before it.
    """
    walk = _Walk(done)
    walk.run()
    work, pieces_ns = done.work, done.work.pieces_ns
    stage_ns = np.zeros(STAGES)
    for rows, stages in (
        (walk.used, (Stage.TRANSFER,)),
        (walk.asked, BEFORE_ASKING_STAGES),
        (walk.pinned if done.shape.pin else [], (Stage.PIN,)),
        (walk.sent, (Stage.IPC,)),
        (walk.made, WORKER_STAGES),
    ):
        stage_ns[list(stages)] += pieces_ns[np.ix_(_of_work(rows, work), list(stages))].sum(axis=0)
    stage_ns[Stage.IPC] += work.unwrap_ns[_of_work(walk.unwrapped, work)].sum()
    return Path(stage_ns=stage_ns, busy_ns=float(work.busy_ns[_of_work(walk.used, work)].sum()))


def idle_if_free(work: PipelineWork, shape: PipelineShape, stage: Stage) -> float:
    """Return how long the accelerator would stand idle if a stage took no time, or a rule did not hold; in ns.

    Args:
        work: what was done.
        shape: the rules by which it was.
        stage: what is to cost nothing.
    """
    return schedule(*without(work, shape, stage)).idle_ns


def without(work: PipelineWork, shape: PipelineShape, stage: Stage) -> tuple[PipelineWork, PipelineShape]:
    """Return the same work and rules without a stage: of no length, or a rule that does not hold."""
    if stage == Stage.PREFETCH_LIMIT:
        most = max(1, -(-len(work) // max(1, shape.workers)))
        return work, replace(shape, prefetch=max(shape.prefetch, most))
    if stage == Stage.IN_ORDER:
        return work, replace(shape, in_order=False)
    return work.scaled(stage, 0.0), shape


def _of_work(rows: list[int], work: PipelineWork) -> list[int]:
    """Leave out last words of workers, in which nothing takes time."""
    return [row for row in rows if row < len(work)]


class _Walk:
    """The rows whose parts lie on the path, part by part."""

    def __init__(self, done: Schedule) -> None:
        self.used: list[int] = []
        """Copied to the accelerator and used there."""
        self.unwrapped: list[int] = []
        self.asked: list[int] = []
        """The consumer did something else before it asked for them."""
        self.pinned: list[int] = []
        self.sent: list[int] = []
        self.made: list[int] = []
        self._last = int(done.order[-1]) if len(done.order) else NONE
        step_before = np.full(len(done.busy_end_ns), NONE)
        step_before[done.order[1:]] = done.order[:-1]
        self._step_before: list[int] = step_before.tolist()
        self._opened_after: list[int] = done.opened_after.tolist()
        self._dispatched_by: list[int] = done.dispatched_by.tolist()
        self._made_after = done.made_after.tolist()
        self._pinned_after = done.pinned_after.tolist()
        self._by_consumer = (done.worker < 0).tolist()
        self._was_asked_last = (done.asked_ns >= done.pinned_ns).tolist()
        self._queued_to_pin = _waited_for(done.pinned_ns, done.pinned_after, done.arrived_ns)
        self._queued_to_send = _waited_for(done.arrived_ns, done.made_after, done.made_ns)
        self._queued_to_make = _waited_for(done.made_ns, done.made_after, done.dispatched_ns)

    def run(self) -> None:
        """Walk from the end of the last step to the start."""
        row = self._last
        while row != NONE:
            self.used.append(row)
            row = self._before_use(row)

    def _before_use(self, row: int) -> int:
        """Go back from the receipt of a row; return the row of the step whose end all this waited for."""
        while True:
            if self._by_consumer[row]:
                self.asked.append(row)
                self.made.append(row)
                self.pinned.append(row)
                return self._step_before[row]
            self.unwrapped.append(row)
            if self._was_asked_last[row]:
                self.asked.append(row)
                return self._step_before[row]
            row = self._to_dispatch(row)
            if self._dispatched_by[row] == NONE:
                return self._opened_after[row]
            row = self._dispatched_by[row]

    def _to_dispatch(self, row: int) -> int:
        """Go back from when a row was pinned; return the row whose dispatch that waited for."""
        self.pinned.append(row)
        while self._queued_to_pin[row]:
            row = self._pinned_after[row]
            self.pinned.append(row)
        self.sent.append(row)
        while self._queued_to_send[row]:
            row = self._made_after[row]
            self.sent.append(row)
        self.made.append(row)
        while self._queued_to_make[row]:
            row = self._made_after[row]
            self.made.append(row)
        return row


def _waited_for(done_ns: Floats, after: Ints, ready_ns: Floats) -> list[bool]:
    """Tell of each row whether it came to a place that another one held for longer than the row took to be ready."""
    waited: list[bool] = ((after != NONE) & (done_ns[after] > ready_ns)).tolist()
    return waited
