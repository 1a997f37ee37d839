"""Where a pipeline's work takes time: the CPUs of a host, the store, and everything that only lasts.

For a CPU whoever wants one waits in a queue, and after a while on it goes behind the others: it matters how often
somebody comes anew, not only for how long. At the store operations slow each other down, all alike, as its curve says:
it needs no queue but a clock that runs slower the more are there, and each leaves when that clock shows its time.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Callable, Generator
from enum import IntEnum

import numpy as np

from ioprof.analysis.pipeline.load import Layout

PARK = (-1, 0.0)
"""What an actor yields that waits for somebody else."""
Actor = Generator[tuple[int, float], None, None]
"""Somebody who works: yields where time is taken, and how much of it, in ns."""
SEED = 20_261_123
TURN_NS = 3_000_000.0
"""After so long on a CPU whoever wants more goes behind those who wait."""


class Place(IntEnum):
    """Where time is taken."""

    CPU = 0
    STORE = 1
    ALONE = 2


def other_program(share: float, number: int) -> Actor:
    """Another program that takes a share of one CPU, at random moments."""
    random = np.random.default_rng([SEED, number])
    while True:
        for idle in random.exponential((1 - share) / share, 1024).tolist():
            yield Place.CPU, TURN_NS
            yield Place.ALONE, idle * TURN_NS


class _Store:
    """A place with a clock of its own; who is there leaves when it shows their time."""

    __slots__ = ("_at", "_clock", "_rates", "_slowdown", "heap", "rate")

    def __init__(self, slowdown: Callable[[int], float]) -> None:
        self.heap: list[tuple[float, int, Actor]] = []
        self.rate = 1.0
        self._clock = self._at = 0.0
        self._slowdown = slowdown
        self._rates = [1.0]

    def next_ns(self) -> float:
        """When the next one leaves."""
        return self._at + (self.heap[0][0] - self._clock) / self.rate if self.heap else math.inf

    def come(self, now: float, lasts_ns: float, order: int, actor: Actor) -> None:
        """Somebody comes for so long."""
        self._clock += (now - self._at) * self.rate
        self._at = now
        heapq.heappush(self.heap, (self._clock + lasts_ns, order, actor))
        self._changed()

    def leave(self, now: float) -> Actor:
        """Return who leaves now."""
        self._clock, _, actor = heapq.heappop(self.heap)
        self._at = now
        self._changed()
        return actor

    def _changed(self) -> None:
        count = len(self.heap)
        while len(self._rates) <= count:
            self._rates.append(1.0 / self._slowdown(len(self._rates)))
        self.rate = self._rates[count]


class Host:
    """The clock of it all, the CPUs, and whatever only lasts."""

    def __init__(self, layout: Layout) -> None:
        self.now = 0.0
        self.ranks = layout.ranks
        """Those that are not through yet."""
        self._order = 0
        self._cpus = math.ceil(layout.cores)
        self._speed = layout.cores / self._cpus
        self._free = self._cpus
        self._queue: deque[tuple[float, Actor]] = deque()
        self._ends: list[tuple[float, int, float, Actor]] = []
        """Of what only lasts and of turns on a CPU: when, and how much is left of one that was longer than a turn."""
        self._store = _Store(lambda count: layout.slowdown(count * layout.hosts))

    def go(self, actor: Actor) -> None:
        """Let an actor go on until it takes time or waits for somebody."""
        while True:
            place, lasts_ns = next(actor, PARK)
            if place < 0:
                return
            if lasts_ns > 0:
                break
        self._order += 1
        if place == Place.CPU:
            if self._free:
                self._free -= 1
                self._turn(lasts_ns / self._speed, actor)
            else:
                self._queue.append((lasts_ns / self._speed, actor))
        elif place == Place.ALONE:
            heapq.heappush(self._ends, (self.now + lasts_ns, self._order, -1.0, actor))
        else:
            self._store.come(self.now, lasts_ns, self._order, actor)

    def _turn(self, lasts_ns: float, actor: Actor) -> None:
        self._order += 1
        turn = min(lasts_ns, TURN_NS)
        heapq.heappush(self._ends, (self.now + turn, self._order, lasts_ns - turn, actor))

    def run(self) -> None:
        """Go on until all ranks are through."""
        ends, queue, store = self._ends, self._queue, self._store
        while self.ranks and (ends or store.heap):
            leaves_ns = store.next_ns()
            if not ends or leaves_ns < ends[0][0]:
                self.now = max(self.now, leaves_ns)
                self.go(store.leave(self.now))
                continue
            self.now, _, left_ns, actor = heapq.heappop(ends)
            if left_ns < 0:
                self.go(actor)
                continue
            if left_ns > 0:
                queue.append((left_ns, actor))
            if queue:
                self._turn(*queue.popleft())
            else:
                self._free += 1
            if left_ns <= 0:
                self.go(actor)
