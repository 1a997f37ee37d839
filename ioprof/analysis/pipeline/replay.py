"""Plays batches through a pipeline again, event by event: workers, transport, consumer and accelerator.

What takes time takes it at one of three places. At the CPUs whoever can run shares them fairly: with more of them than
CPUs everyone is slowed down. At the store operations slow each other down as its curve says. Everything else just
lasts. A place where all are slowed down alike needs no queue: it has a clock of its own that runs slower the more are
there, and each leaves when that clock shows its time.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Place(IntEnum):
    """Where time is taken."""

    CPU = 0
    STORE = 1
    ALONE = 2


_PARK = (-1, 0.0)
_Actor = Generator[tuple[int, float], None, None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What one rank's pipeline has to do: arrays with an entry per batch, durations in ns as if alone on the host."""

    samples: Ints
    store_ns: Floats
    """Blocked in storage operations."""
    cpu_ns: Floats
    """Worker on a CPU."""
    blocked_ns: Floats
    """Worker blocked by anything else."""
    send_ns: Floats
    """On a CPU to send the batch, while the worker goes on."""
    unwrap_ns: Floats
    """Consumer on a CPU to receive it."""
    pin_ns: Floats
    """On a CPU to pin it, in a thread of its own."""
    transfer_ns: Floats
    """Copy to the accelerator."""
    busy_ns: Floats
    before_ns: Floats
    """Consumer held up before it asks for the batch: by a save, or by workers that end and start between epochs."""
    opens: NDArray[np.bool_]
    """The batch is the first of an epoch: nothing is made ahead of it."""

    def __len__(self) -> int:
        return len(self.samples)

    def from_batch(self, first: int) -> Load:
        """Return the same batches, beginning with another one and wrapping at the end."""
        fields = {name: np.roll(getattr(self, name), -first) for name in self.__dataclass_fields__}
        return Load(**fields)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How the work is shared out."""

    workers: int
    prefetch: int
    in_order: bool
    pin: bool
    cores: float
    """CPUs of one host."""
    other_load: float
    """Other programs that always want a CPU of it, on average."""
    ranks: int
    """Ranks on this host; they take each step together."""
    hosts: int
    """Hosts like this one that use the store at the same time."""
    slowdown: Callable[[float], float]
    """How many times as long operations take with so many of them at the store as with one."""
    wake_ns: float
    """From dispatch to start of a worker that has nothing to do."""
    parts: int
    """Turns in which each batch's storage and CPU time alternate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """The steps of the first rank; stamps in ns after the start."""

    samples: Ints
    received_ns: Floats
    busy_start_ns: Floats
    busy_end_ns: Floats
    waited_ns: float
    """For which whoever made a batch waited for a CPU, on average."""


def replay(load: Load, layout: Layout) -> Replayed:
    """Return when each step came about.

    Args:
        load: the batches, in the order in which they are asked for; all ranks have the same, each from elsewhere on.
        layout: how they are worked on.
    """
    host = _Host(layout)
    barrier = _Barrier(host, layout.ranks)
    apart = max(1, len(load) // layout.ranks)
    ranks = [
        _Rank(load if rank == 0 else load.from_batch(rank * apart % len(load)), layout, host, barrier)
        for rank in range(layout.ranks)
    ]
    for rank in ranks:
        rank.start()
    host.run()
    first = ranks[0]
    return Replayed(
        samples=load.samples[np.array(first.delivered, np.int64)],
        received_ns=np.array(first.received_ns),
        busy_start_ns=np.array(first.busy_start_ns),
        busy_end_ns=np.array(first.busy_end_ns),
        waited_ns=first.waited_ns / max(1, len(first.delivered)),
    )


class _Station:
    """A place with a clock of its own; who is there leaves when it shows their time."""

    __slots__ = ("_rate", "_rates", "at", "clock", "heap", "rate")

    def __init__(self, rate: Callable[[int], float]) -> None:
        self.heap: list[tuple[float, int, _Actor]] = []
        self.clock = self.at = 0.0
        self.rate = 1.0
        self._rate = rate
        self._rates = [1.0]

    def changed(self) -> None:
        """Somebody came or went."""
        count = len(self.heap)
        rates = self._rates
        while len(rates) <= count:
            rates.append(self._rate(len(rates)))
        self.rate = rates[count]


class _Host:
    """The clock of it all."""

    def __init__(self, layout: Layout) -> None:
        cores, other, hosts = layout.cores, layout.other_load, layout.hosts
        self.now = 0.0
        self._order = 0
        self._stations = (
            _Station(lambda count: min(1.0, cores / (count + other))),
            _Station(lambda count: 1.0 / layout.slowdown(count * hosts)),
            _Station(lambda _: 1.0),
        )

    def go(self, actor: _Actor) -> None:
        """Let an actor go on until it takes time or waits for somebody."""
        while True:
            place, lasts_ns = next(actor, _PARK)
            if place < 0:
                return
            if lasts_ns > 0:
                break
        station = self._stations[place]
        station.clock += (self.now - station.at) * station.rate
        station.at = self.now
        self._order += 1
        heapq.heappush(station.heap, (station.clock + lasts_ns, self._order, actor))
        station.changed()

    def run(self) -> None:
        """Go on until nobody has anything left to do."""
        stations = self._stations
        while True:
            soonest, leaves = math.inf, None
            for station in stations:
                if station.heap:
                    at = station.at + (station.heap[0][0] - station.clock) / station.rate
                    if at < soonest:
                        soonest, leaves = at, station
            if leaves is None:
                return
            self.now = max(self.now, soonest)
            due, _, actor = heapq.heappop(leaves.heap)
            leaves.clock, leaves.at = due, self.now
            leaves.changed()
            self.go(actor)


class _Barrier:
    """Where ranks wait for each other before each step."""

    def __init__(self, host: _Host, ranks: int) -> None:
        self._host, self._ranks = host, ranks
        self._waiting: list[_Actor] = []

    def is_last(self, actor: _Actor) -> bool:
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

    def __init__(self, load: Load, layout: Layout, host: _Host, barrier: _Barrier) -> None:
        self._layout, self._host, self._barrier = layout, host, barrier
        self._store, self._cpu = load.store_ns.tolist(), load.cpu_ns.tolist()
        self._blocked, self._send = load.blocked_ns.tolist(), load.send_ns.tolist()
        self._unwrap, self._pin = load.unwrap_ns.tolist(), load.pin_ns.tolist()
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
        self._actors: dict[str, _Actor] = {}
        self._workers: list[_Actor] = []
        self._senders: list[_Actor] = []
        self.delivered: list[int] = []
        self.received_ns: list[float] = []
        self.busy_start_ns: list[float] = []
        self.busy_end_ns: list[float] = []
        self.waited_ns = 0.0

    def start(self) -> None:
        """Bring everybody to where they wait for work, then begin."""
        self._workers = [self._worker(number) for number in range(self._layout.workers)]
        self._senders = [self._sender(number) for number in range(self._layout.workers)]
        self._actors = {"pinner": self._pinner(), "consumer": self._consumer()}
        for actor in (*self._workers, *self._senders, *self._actors.values()):
            self._host.go(actor)

    def _making(self, batch: int) -> _Actor:
        parts = self._layout.parts
        store, cpu, blocked = self._store[batch] / parts, self._cpu[batch] / parts, self._blocked[batch]
        for _ in range(parts):
            yield Place.STORE, store
            ready_ns = self._host.now
            yield Place.CPU, cpu
            self.waited_ns += self._host.now - ready_ns - cpu
        yield Place.ALONE, blocked

    def _worker(self, number: int) -> _Actor:
        tasks, made = self._tasks[number], self._made[number]
        while True:
            if not tasks:
                self._idle[number] = True
                yield _PARK
                yield Place.ALONE, self._layout.wake_ns
            batch = tasks.popleft()
            yield from self._making(batch)
            made.append(batch)
            if self._sender_idle[number]:
                self._sender_idle[number] = False
                self._host.go(self._senders[number])

    def _sender(self, number: int) -> _Actor:
        made = self._made[number]
        while True:
            if not made:
                self._sender_idle[number] = True
                yield _PARK
            batch = made.popleft()
            yield Place.CPU, self._send[batch]
            if self._layout.pin:
                self._unpinned.append(batch)
                if self._pinner_idle:
                    self._pinner_idle = False
                    self._host.go(self._actors["pinner"])
            else:
                self._arrive(batch)

    def _pinner(self) -> _Actor:
        while True:
            if not self._unpinned:
                self._pinner_idle = True
                yield _PARK
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

    def _consumer(self) -> _Actor:
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
                else:
                    batch = wanted
                    yield from self._making(batch)
                    yield Place.CPU, self._unwrap[batch]
                yield from self._step(batch)

    def _received(self, wanted: int, held: set[int]) -> Generator[tuple[int, float], None, int]:
        """Take what arrives until it is the wanted batch, or out of order any."""
        in_order = self._layout.in_order
        while True:
            if wanted in held:
                held.remove(wanted)
                return wanted
            if not self._arrived:
                self._is_waiting = True
                yield _PARK
            batch = self._arrived.popleft()
            if not self._layout.pin:
                yield Place.CPU, self._unwrap[batch]
            if not in_order:
                return batch
            held.add(batch)

    def _step(self, batch: int) -> _Actor:
        self.delivered.append(batch)
        self.received_ns.append(self._host.now)
        yield Place.ALONE, self._transfer[batch]
        if self._layout.ranks > 1 and not self._barrier.is_last(self._actors["consumer"]):
            yield _PARK
        self.busy_start_ns.append(self._host.now)
        yield Place.ALONE, self._busy[batch]
        self.busy_end_ns.append(self._host.now)
