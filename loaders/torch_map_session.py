"""An open torch DataLoader over a map-style dataset, hooked only at its public seams.

The batch sampler stamps dispatch, the dataset stamps fetch, the collate function stamps collate and returns the
batch in an envelope that also carries the worker's counters; the consumer unwraps it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, cast

from ioprof.loaders.torch_session import Envelope, TorchSession, TracedSource, joined, opened_loader, unwrapped
from torch.utils.data import DataLoader, Dataset, Sampler

from ioprof.clock import now_ns
from ioprof.contract import Batch, Indices, LoadJob, SampleReader, WorkerJob
from ioprof.trace.batch_trace import BatchStamps, BatchTrace

if TYPE_CHECKING:
    from ioprof.loaders.torch_params import TorchParams

Request = tuple[int, int, list[int], bool]
"""Epoch, batch number, sample numbers, and whether it is its last one of the epoch: what a worker is handed."""
Fetched = tuple[BatchTrace, Sequence[bytes | memoryview]]
"""What the dataset hands to `collate`, in one worker: its trace and the samples."""


class TracedDataset(TracedSource, Dataset[Fetched]):
    """Reads whole batches of samples inside a worker; picklable, opens its files where it runs."""

    def __init__(self, job: WorkerJob) -> None:
        super().__init__(job)
        self._reader = cast("SampleReader", job.source)

    def __getitem__(self, request: Request) -> Fetched:
        """Refuse: torch calls `__getitems__` where it exists."""
        raise NotImplementedError("TracedDataset is read batch by batch")

    def __getitems__(self, request: Request) -> Fetched:
        """Read one batch of samples; hand them to `collate` with this process's trace."""
        trace = self.trace
        epoch, number, samples, is_last = request
        trace.begin(epoch, number)
        content = self._reader.read(trace.tap, samples)
        if is_last:
            trace.end_epoch()
        trace.fetched()
        return trace, content


class StampedBatches(Sampler[Request]):
    """The batch sampler: says which samples make a batch and when it was handed out."""

    def __init__(self, job: LoadJob, workers: int) -> None:
        self._job = job
        self._workers = max(1, workers)
        self._order = _order_of(job)
        self._next_number = 0
        self._epoch = 0
        self.dispatched_ns: dict[int, int] = {}

    def start(self, epoch: int) -> None:
        """Say which epoch the next iteration is."""
        self._epoch = epoch

    def __iter__(self) -> Iterator[Request]:
        """Yield requests until the epoch is through or the run wants to stop."""
        order = self._order(self._epoch)
        size = self._job.batch_size
        stop = len(order) - len(order) % size if self._job.drop_last else len(order)
        # torch asks its workers in turn. Where they deliver out of order it does not, and one may keep what it mapped
        # (what the eviction then leaves behind is seen and told) or holds back (it is handed over later).
        first_last = stop - self._workers * size
        for start in range(0, stop, size):
            if self._job.stop_requested():
                return
            number = self._next_number
            self._next_number += 1
            self.dispatched_ns[number] = now_ns()
            yield self._epoch, number, order[start : start + size].tolist(), start >= first_last


def _order_of(job: LoadJob) -> Callable[[int], Indices]:
    if job.order is None:
        raise TypeError("torch-map was given a stream, which has no order")
    return job.order


def collate(fetched: Fetched) -> Envelope:
    """Join samples into one tensor and seal the stamps."""
    trace, samples = fetched
    tensor = joined(samples)
    return tensor, trace.end_packed(len(samples))


class TorchMapSession(TorchSession):
    """An open torch DataLoader over a map-style dataset."""

    def __init__(self, job: LoadJob, params: TorchParams, kind: type[DataLoader[Fetched]] = DataLoader) -> None:
        self._sampler = StampedBatches(job, params.workers)
        dataset = TracedDataset(job.worker)
        # torch types a sampler's items as lists; what it hands through is whatever the sampler yields: a request.
        sampler = cast("Sampler[list[int]]", self._sampler)
        super().__init__(dataset, opened_loader(dataset, params, sampler=sampler, collate=collate, kind=kind))

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Deliver one epoch, unwrapping each envelope."""
        self._sampler.start(epoch)
        try:
            for envelope in self._started():
                batch = unwrapped(envelope, self._dispatched_ns)
                # Drop this frame's hold on the data: its shared memory must be free before the next one is waited for.
                del envelope
                yield batch
                del batch
        finally:
            self._source.note_last_io()

    def _dispatched_ns(self, stamps: BatchStamps) -> int:
        return self._sampler.dispatched_ns.pop(stamps.number, -1)
