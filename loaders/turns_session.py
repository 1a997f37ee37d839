"""The consumer's side of loaders of our own: asks workers for batches in turn and delivers them in that order.

A worker has at most ``prefetch`` requests at a time, and is given the next one when a batch of its own is delivered:
a closed loop, as torch's DataLoader has one. The moment of the request is the batch's dispatch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from ioprof.loaders.batch_makers import Request

from ioprof.clock import now_ns
from ioprof.contract import Batch, Indices, LoadJob
from ioprof.trace.batch_trace import BatchStamps

Made = tuple[object, BatchStamps]
"""A batch's payload and stamps."""


class _Asked(NamedTuple):
    """A batch that was asked for."""

    worker: int
    number: int
    dispatch_ns: int


class TurnsSession(ABC):
    """Workers that take turns; what they are, and how they are reached, is a subclass's."""

    def __init__(self, job: LoadJob, workers: int, prefetch: int) -> None:
        """Begin; no worker is started yet.

        Args:
            job: what is delivered.
            workers: how many there are: 1 at least.
            prefetch: batches each may be ahead.
        """
        self._job = job
        self._turns = workers
        self._prefetch = prefetch
        self._delivery = 0
        """Counts the calls of `batches`: requests of one that was left half-way are passed over."""
        self._wanted = 0
        self._position = 0
        self._next_number = 0
        self._epoch = 0
        self._asked: deque[_Asked] = deque()

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Deliver one epoch: the batches in the order they were asked for, worker after worker.

        Raises:
            RunError: a worker failed.
            EOFError: a worker ended without a word.
        """
        self._begin(epoch)
        turns = self._turns
        for number in range(turns * self._prefetch):
            self._ask(number % turns)
        through = set[int]()
        while self._asked:
            worker, number, dispatch_ns = self._asked.popleft()
            if worker in through:
                continue
            made = self._received(worker, number)
            if made is None:
                through.add(worker)
                continue
            self._ask(worker)
            data, stamps = made
            batch = stamps.batch(data, dispatch_ns)
            # Whoever takes the batch is the only one to hold its data: buffers are used again once nobody does.
            del made, data
            yield batch
            del batch

    def _begin(self, epoch: int) -> None:
        """Say what the coming requests are about; what is left of an epoch that was left half-way is void."""
        order = self._job.order(epoch) if self._job.order is not None else None
        if order is not None:
            size = self._job.batch_size
            self._wanted = len(order) - len(order) % size if self._job.drop_last else len(order)
        self._delivery += 1
        self._epoch, self._position = epoch, 0
        self._forget()
        self._prepare(order)

    def _ask(self, worker: int) -> None:
        """Ask a worker for the next batch, if there is one."""
        request = self._next_request()
        if request is not None:
            dispatch_ns = now_ns()
            self._send(worker, request)
            self._asked.append(_Asked(worker, request.number, dispatch_ns))

    def _next_request(self) -> Request | None:
        """Return what to make next; None where nothing is left, or the run wants to stop."""
        start = stop = 0
        if self._job.order is not None:
            start, stop = self._position, min(self._position + self._job.batch_size, self._wanted)
            if start == stop:
                return None
        if self._job.stop_requested():
            return None
        number = self._next_number
        self._next_number, self._position = number + 1, stop
        is_last = stop > 0 and self._wanted - stop <= (self._turns - 1) * self._job.batch_size
        return Request(self._delivery, self._epoch, number, start, stop, is_last)

    def _forget(self) -> None:
        """Let go of what was asked for."""
        self._asked.clear()

    @abstractmethod
    def _prepare(self, order: Indices | None) -> None:
        """Make ready for the epoch that begins; ``order`` is None for streams."""

    @abstractmethod
    def _send(self, worker: int, request: Request) -> None:
        """Hand a request to a worker."""

    @abstractmethod
    def _received(self, worker: int, number: int) -> Made | None:
        """Wait for a worker's batch ``number``, passing over older ones; None: its part of the stream is through."""
