"""The worker's side of the loader `processes`: takes requests from one pipe, answers on another.

Each request is answered by one record of fixed size: the stamps of a batch, or that the worker's part is through.
A worker that fails says why in a last record, followed by text.
"""

from __future__ import annotations

import os
import struct
import traceback
from dataclasses import dataclass
from enum import IntEnum
from multiprocessing.connection import Connection
from typing import NamedTuple, Protocol, cast

import numpy as np
from ioprof.loaders.stream_batches import PartBatches

from ioprof.contract import Indices, Part, SampleReader, SampleStream, WorkerJob
from ioprof.errors import IoprofError
from ioprof.host.parent_death import become_worker
from ioprof.trace.batch_trace import BatchStamps, BatchTrace

REQUEST = struct.Struct("<6q")
_STAMPS = len(BatchStamps._fields)
RECORD = struct.Struct(f"<{1 + _STAMPS}q")
"""An `Answer`, then the fields of `BatchStamps`. Less than the kernel's PIPE_BUF: written and read whole."""


class Answer(IntEnum):
    """What a record tells."""

    MADE = 0
    """A batch; its stamps follow."""
    THROUGH = 1
    """The worker's part of the stream has no more batches; of the stamps only the number is meant."""
    FAILED = 2
    """The worker ends; in place of the worker's number stands the length of the text that follows."""


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


class Shared(Protocol):
    """Integers in memory that consumer and workers share: what `multiprocessing.RawArray` returns."""

    def __getitem__(self, index: int) -> int: ...

    def __setitem__(self, index: int, value: int) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerPlan:
    """All a worker is started with; picklable while a process is being started."""

    job: WorkerJob
    worker: int
    workers: int
    batch_size: int
    drop_last: bool
    order: Shared | None
    """The epoch's order, written by the consumer before it asks; None for streams."""
    delivery: Shared
    """One integer: the delivery that goes on."""
    requests: Connection
    results: Connection
    not_ours: tuple[Connection, ...]
    """Ends of pipes that a forked worker has inherited and must not keep open."""


class _ConsumerGoneError(Exception):
    """Nobody reads the results any more."""


class _Maker(Protocol):
    def make(self, request: Request) -> BatchStamps | None:
        """Make a batch; None: there are no more."""
        ...


class _MapMaker:
    """Reads the samples it is asked for."""

    def __init__(self, plan: WorkerPlan, trace: BatchTrace, order: Indices) -> None:
        self._reader = cast("SampleReader", plan.job.source)
        self._trace = trace
        self._order = order

    def make(self, request: Request) -> BatchStamps:
        """Read, decode and drop one batch."""
        trace, samples = self._trace, self._order[request.start : request.stop].tolist()
        trace.begin(request.epoch, request.number)
        content = self._reader.read(trace.tap, samples)
        if request.is_last:
            trace.end_epoch()
        trace.fetched()
        return trace.end_unjoined(len(content))


class _StreamMaker:
    """Reads its part of the stream front to back."""

    def __init__(self, plan: WorkerPlan, trace: BatchTrace) -> None:
        self._plan = plan
        self._trace = trace
        self._delivery = -1
        self._batches: PartBatches | None = None

    def make(self, request: Request) -> BatchStamps | None:
        """Read, decode and drop one batch; the first request of a delivery begins the stream anew."""
        if self._batches is None or request.delivery != self._delivery:
            self._delivery = request.delivery
            self._batches = self._part_of(request.epoch)
        samples = self._batches.next_samples(request.number)
        return None if samples is None else self._trace.end_unjoined(len(samples))

    def _part_of(self, epoch: int) -> PartBatches:
        plan = self._plan
        part = Part(
            index=plan.job.rank * plan.workers + plan.worker,
            count=plan.job.world_size * plan.workers,
        )
        stream = cast("SampleStream", plan.job.source)
        return PartBatches(self._trace, stream, epoch, part, batch_size=plan.batch_size, drop_last=plan.drop_last)


def work(plan: WorkerPlan) -> None:
    """Be a worker until the consumer closes its pipe; what fails is told to the consumer."""
    become_worker()
    for end in plan.not_ours:
        end.close()
    trace = None
    try:
        trace = BatchTrace(plan.job, plan.worker)
        _answer_requests(plan, _maker(plan, trace))
    except _ConsumerGoneError:
        return
    except Exception as error:  # noqa: BLE001 - whatever it is, the consumer raises it
        _tell_failure(plan, error)
    finally:
        if trace is not None:
            trace.close()


def _maker(plan: WorkerPlan, trace: BatchTrace) -> _Maker:
    if plan.order is None:
        return _StreamMaker(plan, trace)
    return _MapMaker(plan, trace, np.frombuffer(cast("bytearray", plan.order), dtype=np.int64))


def _answer_requests(plan: WorkerPlan, maker: _Maker) -> None:
    requests, results, delivery = plan.requests.fileno(), plan.results.fileno(), plan.delivery
    while packed := os.read(requests, REQUEST.size):
        request = Request._make(REQUEST.unpack(packed))
        if request.delivery != delivery[0]:
            continue
        stamps = maker.make(request)
        if stamps is None:
            _send(results, RECORD.pack(Answer.THROUGH, plan.worker, request.number, *[0] * (_STAMPS - 2)))
        else:
            _send(results, RECORD.pack(Answer.MADE, *stamps))


def _send(results: int, content: bytes) -> None:
    left = memoryview(content)
    try:
        while left:
            left = left[os.write(results, left) :]
    except BrokenPipeError as error:
        raise _ConsumerGoneError from error


def _tell_failure(plan: WorkerPlan, error: Exception) -> None:
    """Send one line that says what failed, and behind it where."""
    told = str(error) if isinstance(error, IoprofError) else f"{type(error).__name__}: {error}"
    line = " ".join(told.split()) or type(error).__name__
    text = "\n".join([line, *traceback.format_exception(error)]).encode()
    try:
        _send(plan.results.fileno(), RECORD.pack(Answer.FAILED, len(text), *[0] * (_STAMPS - 1)) + text)
    except _ConsumerGoneError:
        return
