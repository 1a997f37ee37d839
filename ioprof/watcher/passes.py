"""One pass over a watched loader, as the consumer sees it: what was received, and what that tells of dispatches.

torch asks each worker for ``prefetch`` batches when a pass starts, and for another one whenever one of its own is
received. So batch j of a worker was dispatched when its batch j - ``prefetch`` was received, or at the start, and no
later than the worker began on it. Delivered out of order, torch may ask another worker: then it is that within a batch.
"""

from __future__ import annotations

from collections import deque

from ioprof.trace.batch_trace import BatchStamps
from ioprof.watcher.worker import Told

_ROOM = 1 << 32
"""Batch numbers that are left for a pass that was not gone through to its end."""


class Pass:
    """Numbers, dispatches and receipts of one iteration of a loader."""

    def __init__(self, told: Told, *, start_ns: int, workers: int, prefetch: int) -> None:
        """Say how the loader works.

        Args:
            told: the first batch number and the epoch.
            start_ns: when it began.
            workers: processes that make batches; 0: the consumer does.
            prefetch: batches that each is ahead.
        """
        self.told = told
        self.first_number = told[0]
        self.is_through = False
        self._start_ns = start_ns
        self._received = 0
        self._workers = max(1, workers)
        self._ahead = prefetch if workers else 0
        self._of_worker = [0] * self._workers
        self._latest_ns = [deque[int](maxlen=prefetch) for _ in range(workers)]

    def dispatch_ns(self, stamps: BatchStamps, received_ns: int) -> int:
        """Note that a batch was received; return when it was asked for, -1 where nobody is asked."""
        self._received += 1
        worker = stamps.worker
        if not 0 <= worker < len(self._latest_ns):
            self._of_worker[0] += 1
            return -1
        latest_ns = self._latest_ns[worker]
        asked_ns = latest_ns[0] if len(latest_ns) == latest_ns.maxlen else self._start_ns
        self._of_worker[worker] += 1
        latest_ns.append(received_ns)
        return min(asked_ns, stamps.fetch_start_ns)

    def unknown_number(self) -> int:
        """Return a number for a batch whose maker left none."""
        return self.first_number + self._received

    def next_number(self) -> int:
        """Return the first number that no batch of this pass has; one that still goes on gets all it may need."""
        if not self.is_through:
            return self.first_number + _ROOM
        return self.first_number + (max(self._of_worker) + self._ahead + 1) * self._workers
