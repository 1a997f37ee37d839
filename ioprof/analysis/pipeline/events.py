"""The pipeline event by event: for streams, delivery out of order, and a thread that pins batches as they arrive.

What torch's DataLoader does, which is also what `ioprof.loaders.processes` does where they have it in common:

- an epoch opens with ``prefetch`` requests to each worker, dealt out in turn; every receipt sends one more, to the next
  worker in turn (in order) or to the next one in turn that has fewer than ``prefetch`` (out of order);
- a worker whose stream is at its end says so, once, in its turn; that word is received like a batch, and the next
  request goes to another worker;
- in order, the consumer takes the batch whose turn it is; out of order, the one that was there first.

Every request is sent at a receipt, so nothing that is sent later can arrive before that: arrivals can be taken one by
one, the earliest first, as far as the consumer needs them.
"""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import replace
from itertools import pairwise

import numpy as np

from ioprof.analysis.pipeline.pieces import Stage
from ioprof.analysis.pipeline.schedule import NONE, Schedule, epoch_starts
from ioprof.analysis.pipeline.work import PipelineShape, PipelineWork


def schedule_by_events(work: PipelineWork, shape: PipelineShape) -> Schedule:
    """Return the schedule of any loader with at least one worker.

    Args:
        work: what is to be done; durations in ns.
        shape: the loader's rules.

    Raises:
        ValueError: there are no workers.
    """
    if shape.workers < 1:
        raise ValueError("a pipeline without workers has no events: the consumer does one thing after the other")
    starts = epoch_starts(work.epoch).tolist()
    words = (len(starts) - 1) * shape.workers if shape.access == "stream" else 0
    run = _Run(_with_last_words(work, words), shape, words)
    opened_ns, before = 0.0, NONE
    for first, stop in pairwise(starts):
        opened_ns, before = run.add_epoch(first, stop, opened_ns, before)
    return run.schedule(work)


def _with_last_words(work: PipelineWork, count: int) -> PipelineWork:
    """Return the work with so many rows of nothing at its end."""
    added = {
        name: np.concatenate([values, np.zeros((count, *values.shape[1:]), values.dtype)])
        for name in work.__dataclass_fields__
        if isinstance(values := getattr(work, name), np.ndarray)
    }
    return replace(work, **added)


class _Run:
    """The events so far: stamps by row, and per worker what it has and when it is free."""

    def __init__(self, work: PipelineWork, shape: PipelineShape, words: int) -> None:
        self.shape = shape
        self.service, self.before = work.service_ns.tolist(), work.before_asking_ns.tolist()
        self.ipc, self.pin, self.transfer = (
            work.pieces_ns[:, stage].tolist() for stage in (Stage.IPC, Stage.PIN, Stage.TRANSFER)
        )
        self.unwrap, self.busy = work.unwrap_ns.tolist(), work.busy_ns.tolist()
        self._made_by = work.worker.tolist()
        rows = len(work)
        self.order: list[int] = []
        self.dispatched_by, self.made_after, self.pinned_after, self.opened_after, self.worker = (
            [NONE] * rows for _ in range(5)
        )
        self.dispatched, self.start, self.made, self.arrived, self.pinned = ([0.0] * rows for _ in range(5))
        self.asked, self.received, self.busy_start, self.busy_end = ([0.0] * rows for _ in range(4))
        self.batches = self._next_word = rows - words

    def add_epoch(self, first: int, stop: int, opened_ns: float, before: int) -> tuple[float, int]:
        """Add the rows of one epoch.

        Args:
            first: its first row.
            stop: the row after its last.
            opened_ns: when it was opened.
            before: row of the last step before it; `NONE`: it is the first.

        Returns:
            When its last step ended, and the row of that.
        """
        desk = _Desk(self.shape, self._rows_to_make(first, stop))
        epoch = _Epoch(self, desk, opened_ns, before)
        for _ in range(self.shape.workers * self.shape.prefetch):
            epoch.ask(NONE, opened_ns)
        while (row := epoch.next_row()) is not None:
            epoch.receive(row)
        return epoch.end_ns, epoch.before

    def _rows_to_make(self, first: int, stop: int) -> list[deque[int]]:
        """Return what each worker's stream holds, its last word included; of a map one queue for all."""
        if self.shape.access == "map":
            return [deque(range(first, stop))]
        streams = [deque[int]() for _ in range(self.shape.workers)]
        for row in range(first, stop):
            streams[self._made_by[row] % len(streams)].append(row)
        for stream in streams:
            stream.append(self._next_word)
            self._next_word += 1
        return streams

    def is_last_word(self, row: int) -> bool:
        """Tell whether a row is a worker's word that it has no more."""
        return row >= self.batches

    def schedule(self, work: PipelineWork) -> Schedule:
        """Return what happened."""
        return Schedule(
            work=work,
            shape=self.shape,
            order=np.array(self.order, np.int64),
            dispatched_by=np.array(self.dispatched_by, np.int64),
            made_after=np.array(self.made_after, np.int64),
            pinned_after=np.array(self.pinned_after, np.int64),
            opened_after=np.array(self.opened_after, np.int64),
            worker=np.array(self.worker, np.int64),
            dispatched_ns=np.array(self.dispatched),
            start_ns=np.array(self.start),
            made_ns=np.array(self.made),
            arrived_ns=np.array(self.arrived),
            pinned_ns=np.array(self.pinned),
            asked_ns=np.array(self.asked),
            received_ns=np.array(self.received),
            busy_start_ns=np.array(self.busy_start),
            busy_end_ns=np.array(self.busy_end),
        )


class _Desk:
    """Who is given the next batch to make: the rules of torch's DataLoader."""

    def __init__(self, shape: PipelineShape, to_make: list[deque[int]]) -> None:
        self._shape = shape
        self._to_make = to_make
        self._alive = [True] * shape.workers
        self._has = [0] * shape.workers
        """Batches asked of each worker and not received yet."""
        self._last = shape.workers - 1

    def assign(self) -> tuple[int, int] | None:
        """Return a worker and its row; None where nobody is asked, or for what nobody will answer."""
        if not self._to_make[0] and self._shape.access == "map":
            return None
        worker = self._next_worker()
        if worker is None:
            return None
        self._has[worker] += 1
        rows = self._to_make[0 if self._shape.access == "map" else worker]
        return (worker, rows.popleft()) if rows else None

    def _next_worker(self) -> int | None:
        workers = self._shape.workers
        for step in range(1, workers + 1):
            worker = (self._last + step) % workers
            if self._alive[worker] and (self._shape.in_order or self._has[worker] < self._most):
                self._last = worker
                return worker
        return None

    @property
    def _most(self) -> int:
        return self._shape.prefetch * self._shape.workers // sum(self._alive)

    def received(self, worker: int) -> None:
        """A worker's batch was received."""
        self._has[worker] -= 1

    def ended(self, worker: int) -> None:
        """A worker said that it has no more."""
        self._alive[worker] = False


class _Epoch:
    """One epoch of a run: what is on its way, and the consumer."""

    def __init__(self, run: _Run, desk: _Desk, opened_ns: float, before: int) -> None:
        self._run, self._desk = run, desk
        self._opened_after = before
        self.before, self.end_ns = before, opened_ns
        workers = run.shape.workers
        self._made_last, self._pinned_last = [NONE] * workers, NONE
        self._free_ns, self._sent_ns, self._pin_free_ns = [opened_ns] * workers, [opened_ns] * workers, opened_ns
        self._turns = deque[int]()
        """Rows in the order they were asked for, as far as they were not delivered: whose turn it is, in order."""
        self._arriving: list[tuple[float, int, int]] = []
        """A heap of rows that were not pinned yet: when each arrives, the how manieth request it was, and the row."""
        self._is_pinned = set[int]()
        self._asked = 0

    def ask(self, by: int, at_ns: float) -> None:
        """Send a request: all that happens to the batch until it arrives follows from that."""
        if (given := self._desk.assign()) is None:
            return
        worker, row = given
        run = self._run
        run.worker[row], run.dispatched_by[row], run.opened_after[row] = worker, by, self._opened_after
        run.made_after[row], self._made_last[worker] = self._made_last[worker], row
        run.dispatched[row] = at_ns
        run.start[row] = start_ns = max(at_ns, self._free_ns[worker])
        run.made[row] = self._free_ns[worker] = made_ns = start_ns + run.service[row]
        run.arrived[row] = self._sent_ns[worker] = arrived_ns = max(made_ns, self._sent_ns[worker]) + run.ipc[row]
        self._asked += 1
        heapq.heappush(self._arriving, (arrived_ns, self._asked, row))
        self._turns.append(row)

    def next_row(self) -> int | None:
        """Return the row that the consumer takes next, which is pinned by then; None: there is none."""
        if not self._turns:
            return None
        if not self._run.shape.in_order:
            row = self._pin_next()
            self._turns.popleft()
            return row
        row = self._turns.popleft()
        while row not in self._is_pinned:
            self._is_pinned.add(self._pin_next())
        self._is_pinned.remove(row)
        return row

    def _pin_next(self) -> int:
        """Let the row that arrives first through to the consumer."""
        arrived_ns, _, row = heapq.heappop(self._arriving)
        run = self._run
        run.pinned[row] = arrived_ns
        if run.shape.pin:
            run.pinned_after[row], self._pinned_last = self._pinned_last, row
            run.pinned[row] = self._pin_free_ns = max(arrived_ns, self._pin_free_ns) + run.pin[row]
        return row

    def receive(self, row: int) -> None:
        """The consumer takes a batch, asks for another, and uses it."""
        run, worker = self._run, self._run.worker[row]
        run.asked[row] = asked_ns = self.end_ns + run.before[row]
        run.received[row] = received_ns = max(asked_ns, run.pinned[row]) + run.unwrap[row]
        run.busy_start[row] = busy_ns = received_ns + run.transfer[row]
        run.busy_end[row] = self.end_ns = busy_ns + run.busy[row]
        run.order.append(row)
        self.before = row
        if run.is_last_word(row):
            self._desk.ended(worker)
        else:
            self._desk.received(worker)
        self.ask(row, received_ns)
