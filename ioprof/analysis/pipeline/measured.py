"""From a trace to the work of a rank's pipeline and its loader's rules: measured, and ready to be scheduled again."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ioprof.analysis.measured import RankSteps
from ioprof.analysis.pipeline.made import Made, made_batches
from ioprof.analysis.pipeline.pieces import Stage
from ioprof.analysis.pipeline.schedule import epoch_starts
from ioprof.analysis.pipeline.span_times import SpanTimes
from ioprof.analysis.pipeline.work import Floats, Ints, PipelineShape, PipelineWork
from ioprof.trace.run_record import EpochRecord, RunRecord
from ioprof.trace.trace import Trace

_FEWEST = 8
"""Of fewer batches no usual cost is told."""
_STREAM_LOADERS = ("torch-iterable",)
"""Loaders of streams only, for runs of before the kind of access was recorded."""


def shape_of(run: RunRecord) -> PipelineShape | None:
    """Return the rules of a run's loader; None: it does not say how many workers it has, or how far ahead they are."""
    loader = run.spec.get("loader", {})
    workers, prefetch = loader.get("workers"), loader.get("prefetch")
    if not isinstance(workers, int) or workers < 0 or not isinstance(prefetch, int) or prefetch < 1:
        return None
    is_stream = run.workload.access == "stream" or run.loader in _STREAM_LOADERS
    return PipelineShape(
        workers=workers,
        prefetch=prefetch,
        in_order=loader.get("in_order") is not False,
        pin=loader.get("pin") is True,
        access="stream" if is_stream else "map",
    )


def made_of(trace: Trace, rank: RankSteps, times: SpanTimes) -> Made:
    """Return how the batches of a rank's steps were made.

    Args:
        trace: the run.
        rank: the steps.
        times: all spans have passed it.
    """
    return made_batches(rank, trace.batches, times.stage_ns(rank.rank), trace.operations)


def work_of(trace: Trace, rank: RankSteps, made: Made | None = None) -> PipelineWork:
    """Return all steps of a rank, warm-up included, as work to be scheduled again; rows as `PipelineWork` says.

    A batch that was waited for after it was made was on its way: what receiving a batch that lies ready takes is the
    consumer's own cost (``unwrap_ns``), the rest the way (`Stage.IPC`). Of a batch that lay ready the way is not known:
    it gets the usual one. Where nothing is known of a batch, what the consumer waited for it is `Stage.UNEXPLAINED`.

    Args:
        trace: the run.
        rank: the steps.
        made: how their batches were made; None: that is read off the spans, in a pass of its own.
    """
    if made is None:
        times = SpanTimes([rank])
        _drain(times.watching(trace.spans()))
        made = made_of(trace, rank, times)
    pieces_ns = _pieces(rank, made, _epochs_opened(rank, trace.run.epochs))
    pieces_ns[:, Stage.IPC], unwrap_ns = _delivery(rank, made)
    work = PipelineWork(
        batch=rank.batch,
        worker=rank.worker,
        samples=rank.samples,
        epoch=rank.epoch,
        pieces_ns=pieces_ns,
        unwrap_ns=unwrap_ns,
        busy_ns=_positive(rank.busy_end_ns - rank.busy_start_ns),
    )
    shape = shape_of(trace.run)
    asked_in_order = np.lexsort((rank.batch, rank.epoch))
    return work.rows(asked_in_order) if shape is not None and shape.access == "map" else work


def _drain(passing: Iterable[object]) -> None:
    for _ in passing:
        pass


def _positive(durations_ns: Ints) -> Floats:
    """Return durations as they should be: a clock that goes backwards makes negative ones."""
    return np.clip(durations_ns, 0, None).astype(np.float64)


def _pieces(rank: RankSteps, made: Made, opened_ns: Ints) -> Floats:
    """Return all pieces but the way to the consumer."""
    known, by_worker = made.known, made.worker >= 0
    pieces_ns = made.share * _positive(made.fetched_ns - made.start_ns)[:, None]
    pieces_ns[:, Stage.COLLATE] = _positive(made.end_ns - made.fetched_ns)
    # What was there before the worker, or the consumer, could begin on the batch.
    ready_ns = np.where(by_worker, np.maximum(made.dispatch_ns, made.end_ns[made.previous]), rank.wait_start_ns)
    gap_ns = _positive(made.start_ns - ready_ns)
    coming_up_ns = _positive(made.start_ns - np.where(by_worker, opened_ns, rank.wait_start_ns)) + _tail_ns(rank)
    pieces_ns[:, Stage.LOADER] += np.where(made.opens, 0.0, gap_ns)
    pieces_ns[:, Stage.START_UP] = np.where(made.opens, coming_up_ns, 0.0)
    pieces_ns[~known] = 0.0
    pieces_ns[:, Stage.UNEXPLAINED] += np.where(known, 0, _positive(rank.wait_ns))
    pieces_ns[:, Stage.TRANSFER] = _positive(rank.h2d_end_ns - rank.wait_end_ns)
    pieces_ns[:, Stage.CHECKPOINT] = _positive(rank.saving_ns)
    pieces_ns[:, Stage.HOST_LATE] = _positive(rank.late_before_ns)
    return pieces_ns


def _tail_ns(rank: RankSteps) -> Ints:
    """Return for each step how long the epoch before its own took to close down."""
    starts = epoch_starts(rank.epoch)
    return np.repeat(rank.tail_ns[starts[:-1]], np.diff(starts))


def _epochs_opened(rank: RankSteps, epochs: list[EpochRecord]) -> Ints:
    """Return when the epoch of each step was opened; if that was not recorded, when its first batch was asked for."""
    opened = {record.epoch: record.start_ns for record in epochs}
    starts = epoch_starts(rank.epoch)
    stamps = [opened.get(int(rank.epoch[row]), int(rank.wait_start_ns[row])) for row in starts[:-1].tolist()]
    return np.repeat(np.array(stamps, np.int64), np.diff(starts))


def _delivery(rank: RankSteps, made: Made) -> tuple[Floats, Floats]:
    """Return how long each batch was on its way, and what receiving it cost the consumer."""
    waited = made.known & (made.end_ns > rank.wait_start_ns)
    since_ns = np.where(waited, made.end_ns, rank.wait_start_ns)
    took_ns = np.where(made.known, _positive(rank.wait_end_ns - since_ns), 0.0)
    lay_ready = made.known & ~waited & (made.worker >= 0)
    usual_ns = float(np.median(took_ns[lay_ready])) if lay_ready.sum() >= _FEWEST else 0.0
    unwrap_ns = np.where(waited, np.minimum(usual_ns, took_ns), took_ns)
    way_ns = np.where(waited, took_ns - unwrap_ns, 0.0)
    if waited.sum() >= _FEWEST:
        way_ns[lay_ready] = np.median(way_ns[waited])
    return way_ns, unwrap_ns
