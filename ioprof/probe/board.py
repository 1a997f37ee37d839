"""What the processes of a level share: a row of integers each, written by its process, read by who measures."""

from __future__ import annotations

import ctypes
import multiprocessing
from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ioprof.trace.histogram import BUCKETS

if TYPE_CHECKING:
    from multiprocessing.context import ForkContext

Words = NDArray[np.int64]


class Order(IntEnum):
    """What all processes are told."""

    WAIT = 0
    READ = 1
    STOP = 2


class State(IntEnum):
    """How far a process is."""

    STARTING = 0
    READY = 1
    READING = 2
    STOPPED = 3
    READ_THROUGH = 4
    """No sample was left for it."""
    FAILED = 5


class Word(IntEnum):
    """Where each figure of a row stands; all but the state only grow."""

    STATE = 0
    SAMPLES = 1
    FAILED_SAMPLES = 2
    BYTES = 3
    PAGE_BYTES = 4
    """The same in whole pages, as the kernel fetches them."""
    FETCHED_BYTES = 5
    """What the kernel fetched from the device or server."""
    ON_CPU_NS = 6
    RUN_QUEUE_NS = 7
    SCHEDULED = 8
    """1 where the kernel tells the time in the run queue."""
    COUNTED = 9
    """1 where the kernel tells what it fetched."""
    TIMED_SAMPLES = 10
    TIMED_NS = 11
    SHORTEST_NS = 12
    LONGEST_NS = 13
    NOTED_NS = 14
    """When the row was last brought up to date: at the end of a sample, on the clock of `now_ns`."""
    NOTES = 15
    """How often that was."""


_ROW_WORDS = 16
_MAPPED_WORDS = 1
_COPIES = 2


class Board:
    """Rows of words in memory that forked processes share; not picklable."""

    def __init__(self, processes: int) -> None:
        context: ForkContext = multiprocessing.get_context("fork")
        width = _ROW_WORDS + BUCKETS + _COPIES * _ROW_WORDS + 1
        self._memory = context.RawArray(ctypes.c_int64, _MAPPED_WORDS + processes * width + 1)
        words: Words = np.frombuffer(memoryview(self._memory).cast("B"), dtype=np.int64)
        self._order = words[:1]
        self._claimed = context.Value(ctypes.c_int64, 0)
        rows = words[_MAPPED_WORDS : _MAPPED_WORDS + processes * width].reshape(processes, width)
        self.rows: Words = rows[:, :_ROW_WORDS]
        """Shape (processes, 16), columns as in `Word`."""
        self.histograms: Words = rows[:, _ROW_WORDS : _ROW_WORDS + BUCKETS]
        """Durations of samples that were timed, shape (processes, BUCKETS)."""
        self._copies = rows[:, _ROW_WORDS + BUCKETS : -1].reshape(processes, _COPIES, _ROW_WORDS)
        self._versions = rows[:, -1]

    @property
    def order(self) -> int:
        """An `Order`."""
        return int(self._order[0])

    def tell(self, order: Order) -> None:
        """Give all processes an order."""
        self._order[0] = order

    def claim(self, count: int) -> int:
        """Take the next ``count`` places of the order for one process; return the first."""
        with self._claimed.get_lock():
            first = int(self._claimed.value)
            self._claimed.value = first + count
        return first

    @property
    def claimed(self) -> int:
        """Places that were taken; read without the lock, which a process that was killed may have kept."""
        return int(self._claimed.get_obj().value)

    def publish(self, worker: int) -> None:
        """Let `snapshot` see a process's row as it is now; called by that process."""
        version = int(self._versions[worker]) + 1
        self._copies[worker, version % _COPIES] = self.rows[worker]
        self._versions[worker] = version

    def snapshot(self) -> Words:
        """Return all rows as last published, shape (processes, 16): of one row, all words are of the same moment."""
        return np.stack([self._published(worker) for worker in range(len(self.rows))])

    def _published(self, worker: int) -> Words:
        while True:
            version = int(self._versions[worker])
            copy: Words = self._copies[worker, version % _COPIES].copy()
            # The next version goes into the other copy: only the one after it could have torn this.
            if int(self._versions[worker]) == version:
                return copy
