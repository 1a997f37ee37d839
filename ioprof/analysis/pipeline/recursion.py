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
from ioprof.analysis.pipeline.work import Floats, Ints, PipelineShape, PipelineWork


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
    stamps = _Stamps(work)
    opened_ns = 0.0
    for first, stop in pairwise(starts):
        opened_ns = stamps.add_epoch(first, stop, opened_ns, shape)
    rows = np.arange(len(work))
    in_epoch = rows - _first_of_epoch(starts)
    return Schedule(
        work=work,
        shape=shape,
        order=rows,
        dispatched_by=_back(rows, in_epoch, shape.workers * shape.prefetch),
        made_after=_back(rows, in_epoch, shape.workers),
        pinned_after=_back(rows, in_epoch, 1 if shape.pin else len(work)),
        opened_after=_first_of_epoch(starts) - 1,
        worker=in_epoch % shape.workers,
        **stamps.arrays(),
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
    """The stamps as they grow, epoch by epoch; plain lists, as a loop reads and writes them fastest."""

    def __init__(self, work: PipelineWork) -> None:
        self._before = work.before_asking_ns.tolist()
        self._service = work.service_ns.tolist()
        self._ipc = work.pieces_ns[:, Stage.IPC].tolist()
        self._pin = work.pieces_ns[:, Stage.PIN].tolist()
        self._unwrap = work.unwrap_ns.tolist()
        self._transfer = work.pieces_ns[:, Stage.TRANSFER].tolist()
        self._busy = work.busy_ns.tolist()
        self.dispatched, self.start, self.made, self.arrived, self.pinned = ([0.0] * len(work) for _ in range(5))
        self.asked, self.received, self.busy_start, self.busy_end = ([0.0] * len(work) for _ in range(4))

    def add_epoch(self, first: int, stop: int, opened_ns: float, shape: PipelineShape) -> float:
        """Add the rows of one epoch; return when its last step ended."""
        workers, pins = shape.workers, shape.pin
        limit = first + workers * shape.prefetch
        ahead = workers * shape.prefetch
        free, sent = [opened_ns] * workers, [opened_ns] * workers
        dispatched, starts, made, arrived, pinned = self.dispatched, self.start, self.made, self.arrived, self.pinned
        asked, received, busy_start, busy_end = self.asked, self.received, self.busy_start, self.busy_end
        pin_free = end = opened_ns
        rows = zip(
            range(first, stop), self._before[first:stop], self._service[first:stop], self._ipc[first:stop],
            self._pin[first:stop], self._unwrap[first:stop], self._transfer[first:stop], self._busy[first:stop],
            strict=True,
        )  # fmt: skip
        for k, before_ns, service_ns, ipc_ns, pin_ns, unwrap_ns, transfer_ns, busy_ns in rows:
            worker = (k - first) % workers
            dispatched[k] = at = opened_ns if k < limit else received[k - ahead]
            if free[worker] > at:
                at = free[worker]
            starts[k] = at
            made[k] = free[worker] = at = at + service_ns
            if sent[worker] > at:
                at = sent[worker]
            arrived[k] = sent[worker] = at = at + ipc_ns
            if pins:
                if pin_free > at:
                    at = pin_free
                pin_free = at = at + pin_ns
            pinned[k] = at
            asked[k] = ask = end + before_ns
            received[k] = at = (ask if ask > at else at) + unwrap_ns
            busy_start[k] = at = at + transfer_ns
            busy_end[k] = end = at + busy_ns
        return end

    def arrays(self) -> dict[str, Floats]:
        """Return the stamps under the names that `Schedule` gives them."""
        names = ("dispatched", "start", "made", "arrived", "pinned", "asked", "received", "busy_start", "busy_end")
        return {f"{name}_ns": np.array(getattr(self, name), np.float64) for name in names}
