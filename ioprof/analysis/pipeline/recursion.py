"""The max-plus recursion over the batches of a loader that deals them out in turn and delivers them in order.

With W workers, P batches ahead in each, the k-th batch of an epoch:

    dispatched  received[k - W*P], or the epoch's opening
    made        max(dispatched[k], made[k - W]) + service[k]
    arrived     max(made[k], arrived[k - W]) + ipc[k]
    asked       busy end[k - 1] + before asking[k]
    received    max(asked[k], arrived[k]) + unwrap[k]
    busy end    received[k] + transfer[k] + busy[k]

An epoch opens when the step before it ended, and everything starts anew. Loaders of another kind (streams, delivery
out of order, a thread that pins) need `ioprof.analysis.pipeline.events`; `schedule` chooses.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from ioprof.analysis.pipeline.events import schedule_by_events
from ioprof.analysis.pipeline.pieces import Stage
from ioprof.analysis.pipeline.schedule import NONE, Schedule, epoch_starts
from ioprof.analysis.pipeline.work import Ints, PipelineShape, PipelineWork


def schedule(work: PipelineWork, shape: PipelineShape) -> Schedule:
    """Return when each batch is dispatched, made, delivered and used, and what each moment waits for.

    Args:
        work: what is to be done; durations in ns.
        shape: the loader's rules.
    """
    if shape.workers == 0:
        return _without_workers(work, shape)
    if shape.access == "map" and shape.in_order and not (shape.pin and shape.workers > 1):
        return schedule_in_turn(work, shape)
    return schedule_by_events(work, shape)


def schedule_in_turn(work: PipelineWork, shape: PipelineShape) -> Schedule:
    """Return the schedule of batches that are dealt out in turn, delivered in order, and pinned in that order too."""
    starts = epoch_starts(work.epoch).tolist()
    stamps = _Stamps(work, shape)
    opened = [0.0]
    for first, stop in pairwise(starts):
        opened.append(stamps.add_epoch(first, stop, opened[-1]))
    rows = np.arange(len(work))
    in_epoch = rows - _first_of_epoch(starts)
    dispatched_by = _back(rows, in_epoch, shape.workers * shape.prefetch)
    made_after = _back(rows, in_epoch, shape.workers)
    opened_ns = np.repeat(np.array(opened[:-1]), np.diff(starts))
    made_ns, received_ns, busy_end_ns = (
        np.array(values, np.float64) for values in (stamps.made, stamps.received, stamps.busy_end)
    )
    dispatched_ns = np.where(dispatched_by == NONE, opened_ns, received_ns[dispatched_by])
    before_ns = np.where(in_epoch > 0, busy_end_ns[rows - 1], opened_ns)
    return Schedule(
        work=work,
        shape=shape,
        order=rows,
        dispatched_by=dispatched_by,
        made_after=made_after,
        pinned_after=_back(rows, in_epoch, 1 if shape.pin else len(work)),
        opened_after=_first_of_epoch(starts) - 1,
        worker=in_epoch % shape.workers,
        dispatched_ns=dispatched_ns,
        start_ns=np.where(made_after == NONE, dispatched_ns, np.maximum(dispatched_ns, made_ns[made_after])),
        made_ns=made_ns,
        arrived_ns=np.array(stamps.arrived, np.float64),
        pinned_ns=np.array(stamps.pinned, np.float64),
        asked_ns=before_ns + work.before_asking_ns,
        received_ns=received_ns,
        busy_start_ns=received_ns + work.pieces_ns[:, Stage.TRANSFER],
        busy_end_ns=busy_end_ns,
    )


def _without_workers(work: PipelineWork, shape: PipelineShape) -> Schedule:
    """Return the schedule of a consumer that does it all, one thing after the other; nothing is sent."""
    n, none = len(work), np.full(len(work), NONE)
    pin_ns = work.pieces_ns[:, Stage.PIN] if shape.pin else np.zeros(n)
    parts = (work.before_asking_ns, work.service_ns, pin_ns, work.pieces_ns[:, Stage.TRANSFER], work.busy_ns)
    # One running sum over all parts of all steps, in turn: each stamp is the end of a part.
    asked, made, received, busy_start, busy_end = np.cumsum(np.stack(parts, axis=1)).reshape(n, len(parts)).T
    return Schedule(
        work=work,
        shape=shape,
        order=np.arange(n),
        dispatched_by=none,
        made_after=none,
        pinned_after=none,
        opened_after=_first_of_epoch(epoch_starts(work.epoch).tolist()) - 1,
        worker=none,
        dispatched_ns=asked,
        start_ns=asked,
        made_ns=made,
        arrived_ns=made,
        pinned_ns=received,
        asked_ns=asked,
        received_ns=received,
        busy_start_ns=busy_start,
        busy_end_ns=busy_end,
    )


def _first_of_epoch(starts: list[int]) -> Ints:
    return np.repeat(np.array(starts[:-1], np.int64), np.diff(starts))


def _back(rows: Ints, in_epoch: Ints, by: int) -> Ints:
    """Return the row so many before each, within its epoch."""
    return np.where(in_epoch >= by, rows - by, NONE)


class _Stamps:
    """The stamps as they grow, epoch by epoch; plain lists, as a loop reads and writes them fastest.

    Only those that others wait for: the rest follows from them.
    """

    def __init__(self, work: PipelineWork, shape: PipelineShape) -> None:
        self._shape = shape
        pieces_ns = work.pieces_ns
        columns = (
            work.before_asking_ns, work.service_ns, pieces_ns[:, Stage.IPC], pieces_ns[:, Stage.PIN], work.unwrap_ns,
            pieces_ns[:, Stage.TRANSFER], work.busy_ns,
        )  # fmt: skip
        self._columns = [column.tolist() for column in columns]
        self.made, self.arrived, self.received, self.busy_end = ([0.0] * len(work) for _ in range(4))
        self.pinned = [0.0] * len(work) if shape.pin else self.arrived

    def add_epoch(self, first: int, stop: int, opened_ns: float) -> float:
        """Add the rows of one epoch; return when its last step ended."""
        workers, pins, worker = self._shape.workers, self._shape.pin, 0
        ahead = workers * self._shape.prefetch
        limit = first + ahead
        free, sent = [opened_ns] * workers, [opened_ns] * workers
        made, arrived, pinned, received, busy_end = self.made, self.arrived, self.pinned, self.received, self.busy_end
        pin_free = end = opened_ns
        rows = zip(range(first, stop), *(column[first:stop] for column in self._columns), strict=True)
        for k, before_ns, service_ns, ipc_ns, pin_ns, unwrap_ns, transfer_ns, busy_ns in rows:
            at = opened_ns if k < limit else received[k - ahead]
            if free[worker] > at:
                at = free[worker]
            made[k] = free[worker] = at = at + service_ns
            if sent[worker] > at:
                at = sent[worker]
            arrived[k] = sent[worker] = at = at + ipc_ns
            if pins:
                if pin_free > at:
                    at = pin_free
                pinned[k] = pin_free = at = at + pin_ns
            ask = end + before_ns
            received[k] = at = (ask if ask > at else at) + unwrap_ns
            busy_end[k] = end = at + transfer_ns + busy_ns
            worker += 1
            if worker == workers:
                worker = 0
        return end
