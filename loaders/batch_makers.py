"""Makes the batches of one worker, in the process and thread where that works: by sample number, or of a stream."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, cast

from ioprof.loaders.stream_batches import PartBatches

from ioprof.contract import Indices, LoadJob, Part, SampleReader, SampleStream, WorkerJob
from ioprof.trace.batch_trace import BatchStamps, BatchTrace

Samples = Sequence[bytes | memoryview]


class Request(NamedTuple):
    """One batch to be made."""

    delivery: int
    """Which call of `batches` wants it; those of a call that was left half-way are passed over."""
    epoch: int
    number: int
    """Position in the run."""
    start: int
    stop: int
    """Its samples: this stretch of the epoch's order; 0 and 0 for streams."""
    is_last: bool
    """Whether the worker is asked for no further batch of the epoch; never for streams, which find out themselves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerShare:
    """Which worker it is, and how large its batches are; picklable."""

    worker: int
    """From 0; -1 for the consumer's own thread."""
    workers: int
    """How many share an epoch: 1 at least."""
    batch_size: int
    drop_last: bool


def reads_natively(source: SampleReader | SampleStream) -> bool:
    """Return whether a library reads for a source, as its ``reads_natively`` says: the taps see nothing of that."""
    return bool(getattr(source, "reads_natively", False))


def untapped(stamps: BatchStamps, samples: Samples) -> BatchStamps:
    """Return the stamps of a batch that a library read: counted by what came; what of it was storage is not known."""
    return stamps._replace(size_bytes=sum(map(len, samples)), storage_ns=-1, prep_ns=-1)


class BatchMaker(Protocol):
    """What makes one worker's batches."""

    def fetch(self, request: Request) -> Samples | None:
        """Read and decode a batch, whose trace the caller then ends; None: there are no more."""
        ...


class MapMaker:
    """Reads the samples it is asked for."""

    def __init__(self, reader: SampleReader, trace: BatchTrace, order: Indices) -> None:
        self._reader = reader
        self._trace = trace
        self._order = order

    def fetch(self, request: Request) -> Samples:
        """Read and decode one batch."""
        trace, samples = self._trace, self._order[request.start : request.stop].tolist()
        trace.begin(request.epoch, request.number)
        content = self._reader.read(trace.tap, samples)
        if request.is_last:
            trace.end_epoch()
        trace.fetched()
        return content


class StreamMaker:
    """Reads its part of the stream front to back."""

    def __init__(self, job: WorkerJob, share: WorkerShare, trace: BatchTrace) -> None:
        self._job = job
        self._share = share
        self._trace = trace
        self._delivery = -1
        self._batches: PartBatches | None = None

    def fetch(self, request: Request) -> Samples | None:
        """Read and decode one batch; the first request of a delivery begins the stream anew."""
        if self._batches is None or request.delivery != self._delivery:
            self._delivery = request.delivery
            self._batches = self._part_of(request.epoch)
        return self._batches.next_samples(request.number)

    def _part_of(self, epoch: int) -> PartBatches:
        job, share = self._job, self._share
        part = Part(
            index=job.rank * share.workers + max(0, share.worker),
            count=job.world_size * share.workers,
        )
        stream = cast("SampleStream", job.source)
        return PartBatches(self._trace, stream, epoch, part, batch_size=share.batch_size, drop_last=share.drop_last)


def maker_of(job: WorkerJob, share: WorkerShare, trace: BatchTrace, order: Indices | None) -> BatchMaker:
    """Return what makes the batches of a worker; ``order`` is None for streams."""
    if order is None:
        return StreamMaker(job, share, trace)
    return MapMaker(cast("SampleReader", job.source), trace, order)


def share_of(job: LoadJob, worker: int, workers: int) -> WorkerShare:
    """Return a worker's share of a job."""
    return WorkerShare(worker=worker, workers=max(1, workers), batch_size=job.batch_size, drop_last=job.drop_last)
