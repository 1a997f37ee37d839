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
from typing import Protocol, cast

import numpy as np
from ioprof.loaders.batch_makers import Request, WorkerShare, maker_of, reads_natively, untapped

from ioprof.contract import Indices, WorkerJob
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


class Shared(Protocol):
    """Integers in memory that consumer and workers share: what `multiprocessing.RawArray` returns."""

    def __getitem__(self, index: int) -> int: ...

    def __setitem__(self, index: int, value: int) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerPlan:
    """All a worker is started with; picklable while a process is being started."""

    job: WorkerJob
    share: WorkerShare
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


def work(plan: WorkerPlan) -> None:
    """Be a worker until the consumer closes its pipe; what fails is told to the consumer."""
    become_worker()
    for end in plan.not_ours:
        end.close()
    trace = None
    try:
        trace = BatchTrace(plan.job, plan.share.worker)
        _answer_requests(plan, trace)
    except _ConsumerGoneError:
        return
    except Exception as error:  # noqa: BLE001 - whatever it is, the consumer raises it
        _tell_failure(plan, error)
    finally:
        if trace is not None:
            trace.close()


def _order_of(plan: WorkerPlan) -> Indices | None:
    return None if plan.order is None else np.frombuffer(cast("bytearray", plan.order), dtype=np.int64)


def _answer_requests(plan: WorkerPlan, trace: BatchTrace) -> None:
    maker = maker_of(plan.job, plan.share, trace, _order_of(plan))
    requests, results, delivery = plan.requests.fileno(), plan.results.fileno(), plan.delivery
    natively = reads_natively(plan.job.source)
    while packed := os.read(requests, REQUEST.size):
        request = Request._make(REQUEST.unpack(packed))
        if request.delivery != delivery[0]:
            continue
        samples = maker.fetch(request)
        if samples is None:
            _send(results, RECORD.pack(Answer.THROUGH, plan.share.worker, request.number, *[0] * (_STAMPS - 2)))
        else:
            stamps = trace.end_unjoined(len(samples))
            _send(results, RECORD.pack(Answer.MADE, *(untapped(stamps, samples) if natively else stamps)))
            del samples


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
