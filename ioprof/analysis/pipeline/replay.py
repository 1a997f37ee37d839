"""Plays batches through a pipeline again, event by event: workers, transport, consumer and accelerator.

Here are those who work: workers, the threads that send and pin what they made, and the consumer with its accelerator.
What takes them time, and how they hold each other up in that, is in `ioprof.analysis.pipeline.places`.
"""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Generator
from dataclasses import dataclass

import numpy as np

from ioprof.analysis.pipeline.load import Floats, Ints, Layout, Load
from ioprof.analysis.pipeline.places import PARK, SEED, Actor, Host, Place, other_program

_HANDOVERS = 5
"""Turns on a CPU of which receiving a batch is made: consumer and worker pass descriptors to and fro."""
_CUTS = 997
"""Ways in which batches are cut, in turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """The steps of the first rank; stamps in ns after the start, the others per batch."""

    samples: Ints
    received_ns: Floats
    busy_start_ns: Floats
    busy_end_ns: Floats
    store_ns: float
    """In storage operations, on average."""
    cpu_ns: float
    """Worker on a CPU or waiting for one, on average."""
    unwrap_ns: float
    """Consumer, likewise, to receive a batch and hand it over."""


def replay(load: Load, layout: Layout) -> Replayed:
    """Return when each step came about.

    Args:
        load: the batches, in the order in which they are asked for; all ranks have the same, each from elsewhere on.
        layout: how they are worked on.
    """
    host = Host(layout)
    barrier = _Barrier(host, layout.ranks)
    apart = max(1, len(load) // layout.ranks)
    ranks = [
        _Rank(load if rank == 0 else load.from_batch(rank * apart % len(load)), layout, host, barrier)
        for rank in range(layout.ranks)
    ]
    for number in range(math.ceil(layout.other_load)):
        host.go(other_program(layout.other_load / math.ceil(layout.other_load), number))
    for rank in ranks:
        rank.start()
    host.run()
    first = ranks[0]
    return Replayed(
        samples=load.samples[np.array(first.delivered, np.int64)],
        received_ns=np.array(first.received_ns),
        busy_start_ns=np.array(first.busy_start_ns),
        busy_end_ns=np.array(first.busy_end_ns),
        store_ns=first.lasted_ns[Place.STORE] / len(load),
        cpu_ns=first.lasted_ns[Place.CPU] / len(load),
        unwrap_ns=first.lasted_ns[Place.ALONE] / len(load),
    )


def _shares(parts: int) -> list[list[tuple[float, float]]]:
    """Return how batches are cut into turns at the store and on a CPU: the shares of each sum to 1.

    Were all turns alike, workers that were asked one after the other would keep out of each other's way for ever, as
    real ones do not.
    """
    drawn = np.random.default_rng(SEED).uniform(0.5, 1.5, (_CUTS, parts, 2))
    cut = drawn / drawn.sum(axis=1, keepdims=True)
    return [[(store, cpu) for store, cpu in one] for one in cut.tolist()]


class _Barrier:
    """Where ranks wait for each other before each step."""

    def __init__(self, host: Host, ranks: int) -> None:
        self._host, self._ranks = host, ranks
        self._waiting: list[Actor] = []

    def is_last(self, actor: Actor) -> bool:
        """Let the others go on if this rank is the last one; else it is to park."""
        if len(self._waiting) + 1 < self._ranks:
            self._waiting.append(actor)
            return False
        waiting, self._waiting = self._waiting, []
        for other in waiting:
            self._host.go(other)
        return True


class _Rank:
    """One consumer with its workers."""

    def __init__(self, load: Load, layout: Layout, host: Host, barrier: _Barrier) -> None:
        self._layout, self._host, self._barrier = layout, host, barrier
        self._store, self._cpu = load.store_ns.tolist(), load.cpu_ns.tolist()
        self._blocked, self._send = load.blocked_ns.tolist(), load.send_ns.tolist()
        self._send_wait, self._unwrap_wait = load.send_wait_ns.tolist(), load.unwrap_wait_ns.tolist()
        self._unwrap, self._pin = load.unwrap_ns.tolist(), load.pin_ns.tolist()
        self._after, self._handover = load.after_ns.tolist(), load.handover_ns.tolist()
        self._shares = _shares(layout.parts)
        self.lasted_ns = [0.0] * len(Place)
        self._transfer, self._busy = load.transfer_ns.tolist(), load.busy_ns.tolist()
        self._before = load.before_ns.tolist()
        starts = [0, *(np.flatnonzero(load.opens[1:]) + 1).tolist(), len(load)]
        self._epochs = list(itertools.pairwise(starts))
        workers = layout.workers
        self._tasks: list[deque[int]] = [deque() for _ in range(workers)]
        self._made: list[deque[int]] = [deque() for _ in range(workers)]
        self._idle = [False] * workers
        self._sender_idle = [False] * workers
        self._assigned = [0] * workers
        self._maker: dict[int, int] = {}
        self._arrived: deque[int] = deque()
        self._unpinned: deque[int] = deque()
        self._pinner_idle = self._is_waiting = False
        self._turn = self._next = self._end = 0
        self._actors: dict[str, Actor] = {}
        self._workers: list[Actor] = []
        self._senders: list[Actor] = []
        self.delivered: list[int] = []
        self.received_ns: list[float] = []
        self.busy_start_ns: list[float] = []
        self.busy_end_ns: list[float] = []

    def start(self) -> None:
        """Bring everybody to where they wait for work, then begin."""
        self._workers = [self._worker(number) for number in range(self._layout.workers)]
        self._senders = [self._sender(number) for number in range(self._layout.workers)]
        self._actors = {"pinner": self._pinner(), "consumer": self._consumer()}
        for actor in (*self._workers, *self._senders, *self._actors.values()):
            self._host.go(actor)

    def _making(self, batch: int) -> Actor:
        store, cpu, host, lasted = self._store[batch], self._cpu[batch], self._host, self.lasted_ns
        turns = self._shares[batch % len(self._shares)]
        for store_share, cpu_share in turns:
            start = host.now
            yield Place.STORE, store * store_share
            lasted[Place.STORE] += host.now - start
            start = host.now
            yield Place.CPU, cpu * cpu_share
            lasted[Place.CPU] += host.now - start
        yield Place.ALONE, self._blocked[batch]

    def _unwrapping(self, batch: int) -> Actor:
        start, part = self._host.now, self._unwrap[batch] / _HANDOVERS
        for _ in range(_HANDOVERS):
            yield Place.CPU, part
        self.lasted_ns[Place.ALONE] += self._host.now - start
        yield Place.ALONE, self._unwrap_wait[batch]

    def _handing_over(self, batch: int) -> Actor:
        start = self._host.now
        yield Place.CPU, self._handover[batch]
        self.lasted_ns[Place.ALONE] += self._host.now - start

    def _worker(self, number: int) -> Actor:
        tasks, made = self._tasks[number], self._made[number]
        while True:
            if not tasks:
                self._idle[number] = True
                yield PARK
                yield Place.ALONE, self._layout.wake_ns
            batch = tasks.popleft()
            yield from self._making(batch)
            made.append(batch)
            if self._sender_idle[number]:
                self._sender_idle[number] = False
                self._host.go(self._senders[number])

    def _sender(self, number: int) -> Actor:
        made = self._made[number]
        while True:
            if not made:
                self._sender_idle[number] = True
                yield PARK
            batch = made.popleft()
            yield Place.CPU, self._send[batch]
            yield Place.ALONE, self._send_wait[batch]
            if self._layout.pin:
                self._unpinned.append(batch)
                if self._pinner_idle:
                    self._pinner_idle = False
                    self._host.go(self._actors["pinner"])
            else:
                self._arrive(batch)
            yield Place.CPU, self._after[batch]

    def _pinner(self) -> Actor:
        while True:
            if not self._unpinned:
                self._pinner_idle = True
                yield PARK
            batch = self._unpinned.popleft()
            yield Place.CPU, self._unwrap[batch] + self._pin[batch]
            self._arrive(batch)

    def _arrive(self, batch: int) -> None:
        self._arrived.append(batch)
        if self._is_waiting:
            self._is_waiting = False
            self._host.go(self._actors["consumer"])

    def _dispatch(self) -> None:
        """Ask the worker whose turn it is for the next batch; out of order, the next that has fewer than it may."""
        if self._next >= self._end:
            return
        workers = self._layout.workers
        while not self._layout.in_order and self._assigned[self._turn] >= self._layout.prefetch:
            self._turn = (self._turn + 1) % workers
        number, self._turn = self._turn, (self._turn + 1) % workers
        self._assigned[number] += 1
        self._maker[self._next] = number
        self._tasks[number].append(self._next)
        self._next += 1
        if self._idle[number]:
            self._idle[number] = False
            self._host.go(self._workers[number])

    def _consumer(self) -> Actor:
        for start, end in self._epochs:
            self._turn, self._next, self._end = 0, start, end
            yield Place.ALONE, self._before[start]
            for _ in range(self._layout.workers * self._layout.prefetch):
                self._dispatch()
            held: set[int] = set()
            for wanted in range(start, end):
                if wanted > start:
                    yield Place.ALONE, self._before[wanted]
                if self._layout.workers:
                    batch = yield from self._received(wanted, held)
                    self._assigned[self._maker.pop(batch)] -= 1
                    self._dispatch()
                    yield from self._handing_over(batch)
                else:
                    batch = wanted
                    yield from self._making(batch)
                    yield from self._unwrapping(batch)
                yield from self._step(batch)
        self._host.ranks -= 1

    def _received(self, wanted: int, held: set[int]) -> Generator[tuple[int, float], None, int]:
        """Take what arrives until it is the wanted batch, or out of order any."""
        in_order = self._layout.in_order
        while True:
            if wanted in held:
                held.remove(wanted)
                return wanted
            if not self._arrived:
                self._is_waiting = True
                yield PARK
            batch = self._arrived.popleft()
            if not self._layout.pin:
                yield from self._unwrapping(batch)
            if not in_order:
                return batch
            held.add(batch)

    def _step(self, batch: int) -> Actor:
        self.delivered.append(batch)
        self.received_ns.append(self._host.now)
        yield Place.ALONE, self._transfer[batch]
        if self._layout.ranks > 1 and not self._barrier.is_last(self._actors["consumer"]):
            yield PARK
        self.busy_start_ns.append(self._host.now)
        yield Place.ALONE, self._busy[batch]
        self.busy_end_ns.append(self._host.now)
