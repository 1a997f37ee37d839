"""An open torch DataLoader over an iterable dataset that yields ready batches.

Each worker reads its own part of the stream, puts batches together, joins their samples, and numbers them: worker w of
W makes the batches first + w, first + w + W, ... of an epoch, which is the order in which torch delivers them for as
long as every worker has one. Numbers of one epoch lie above those of the epochs before; where a worker is through
earlier than others, and where an epoch ends, some are left out.

torch has no seam where it asks a worker of an iterable dataset for the next batch. What it does is known: each worker
is asked for ``prefetch`` batches when the epoch starts, and for another one whenever one of its own is received. So
batch j of a worker was dispatched when its batch j - ``prefetch`` was received, or at the start of the epoch; and no
later than the worker began on it. Where a worker is through, torch asks another one for one batch more than that;
those few batches near an epoch's end are dispatched a little earlier than is said here.
"""

from __future__ import annotations

import ctypes
import multiprocessing
from collections import deque
from collections.abc import Iterator
from enum import IntEnum
from typing import TYPE_CHECKING, Protocol, cast

from ioprof.loaders.stream_batches import PartBatches
from ioprof.loaders.torch_session import Envelope, TorchSession, TracedSource, joined, opened_loader, unwrapped
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from ioprof.clock import now_ns
from ioprof.contract import Batch, LoadJob, Part, SampleStream
from ioprof.trace.batch_trace import BatchStamps, BatchTrace

if TYPE_CHECKING:
    from ioprof.loaders.torch_params import TorchParams


class Told(IntEnum):
    """What the consumer tells all workers in memory they share, word by word."""

    EPOCH = 0
    FIRST_NUMBER = 1
    STOP = 2
    """1: make no further batch."""


class Shared(Protocol):
    """Integers in memory that consumer and workers share: what `multiprocessing.RawArray` returns."""

    def __getitem__(self, word: int) -> int: ...

    def __setitem__(self, word: int, value: int) -> None: ...


class TracedStream(TracedSource, IterableDataset[Envelope]):
    """Yields the batches of a worker's part; picklable while a process is being started."""

    def __init__(self, job: LoadJob, told: Shared) -> None:
        super().__init__(job.worker)
        self._batch_size = job.batch_size
        self._drop_last = job.drop_last
        self._told = told

    def __iter__(self) -> Iterator[Envelope]:
        """Begin the epoch that was told, in this worker."""
        info, job, told = get_worker_info(), self.job, self._told
        worker, workers = (info.id, info.num_workers) if info is not None else (0, 1)
        part = Part(index=job.rank * workers + worker, count=job.world_size * workers)
        batches = PartBatches(
            self.trace,
            cast("SampleStream", job.source),
            told[Told.EPOCH],
            part,
            batch_size=self._batch_size,
            drop_last=self._drop_last,
        )
        numbers = iter(range(told[Told.FIRST_NUMBER] + worker, 2**62, workers))
        return _Envelopes(self.trace, batches, numbers, told)


class _Envelopes:
    """The sealed batches of one epoch's part. No generator: its frame would hold a batch's shared memory for longer."""

    def __init__(self, trace: BatchTrace, batches: PartBatches, numbers: Iterator[int], told: Shared) -> None:
        self._trace = trace
        self._batches = batches
        self._numbers = numbers
        self._told = told

    def __iter__(self) -> Iterator[Envelope]:
        return self

    def __next__(self) -> Envelope:
        if self._told[Told.STOP]:
            raise StopIteration
        samples = self._batches.next_samples(next(self._numbers))
        if samples is None:
            raise StopIteration
        tensor = joined(samples)
        return tensor, self._trace.end_packed(len(samples))


def as_it_is(envelope: Envelope) -> Envelope:
    """Collate nothing: the dataset has done it."""
    return envelope


class Delivered:
    """What of one epoch has been received, worker by worker: tells dispatches, and which numbers are used up."""

    def __init__(self, first_number: int, workers: int, prefetch: int) -> None:
        self.first_number = first_number
        self.start_ns = 0
        self._received = [0] * max(1, workers)
        self._latest_ns = [deque[int](maxlen=prefetch) for _ in range(workers)]
        self._ahead = prefetch + 1
        """Batches that a worker may have made, or begun, beyond those received."""

    def dispatch_ns(self, stamps: BatchStamps) -> int:
        """Note that a batch was received just now; return when it was asked for, -1 where nobody is asked."""
        if stamps.worker < 0:
            self._received[0] += 1
            return -1
        latest_ns = self._latest_ns[stamps.worker]
        asked_ns = latest_ns[0] if len(latest_ns) == latest_ns.maxlen else self.start_ns
        self._received[stamps.worker] += 1
        latest_ns.append(now_ns())
        return min(asked_ns, stamps.fetch_start_ns)

    def through(self) -> None:
        """No worker makes any more."""
        self._ahead = 0

    def next_number(self) -> int:
        """Return the first number that no worker has used, for one begun and left out included."""
        return self.first_number + (max(self._received) + self._ahead + 1) * len(self._received)


class TorchIterableSession(TorchSession):
    """An open torch DataLoader over an iterable dataset."""

    def __init__(self, job: LoadJob, params: TorchParams, kind: type[DataLoader[Envelope]] = DataLoader) -> None:
        self._stop_requested = job.stop_requested
        self._params = params
        self._told: Shared = multiprocessing.get_context(params.start_method).RawArray(ctypes.c_int64, len(Told))
        self._delivered: Delivered | None = None
        dataset = TracedStream(job, self._told)
        super().__init__(dataset, opened_loader(dataset, params, sampler=None, collate=as_it_is, kind=kind))

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Deliver one epoch, unwrapping each envelope."""
        delivered = self._begin(epoch)
        envelopes = self._started()
        delivered.start_ns = now_ns()
        try:
            while (envelope := self._next(envelopes)) is not None:
                batch = unwrapped(envelope, delivered.dispatch_ns)
                # Drop this frame's hold on the data: its shared memory must be free before the next one is waited for.
                del envelope
                yield batch
                del batch
        finally:
            self._source.note_last_io()
        delivered.through()

    def _begin(self, epoch: int) -> Delivered:
        first = self._delivered.next_number() if self._delivered is not None else 0
        self._delivered = delivered = Delivered(first, self._params.workers, self._params.prefetch)
        self._told[Told.EPOCH], self._told[Told.FIRST_NUMBER] = epoch, first
        return delivered

    def _next(self, envelopes: Iterator[Envelope]) -> Envelope | None:
        """Return the next envelope, None after the last; tell the workers when the run wants to stop."""
        if self._stop_requested():
            self._told[Told.STOP] = 1
        return next(envelopes, None)
