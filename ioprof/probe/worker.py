"""One process of a level: reads samples through the tap as fast as it can, and keeps its row of the board."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from ioprof.contract import EpochReader, EpochStart, Indices, Part, SampleReader, SampleStream
from ioprof.host.parent_death import become_worker
from ioprof.host.thread_accounting import ProcessIo, ThreadAccounting
from ioprof.probe.board import Board, Order, State, Word
from ioprof.store.base import Store
from ioprof.store.local_tap import tap_store
from ioprof.store.tap import Tap
from ioprof.trace.histogram import BUCKETS, bucket_of
from ioprof.trace.kinds import Phase
from ioprof.trace.recorder import Recorder

CHUNK_NS = 10_000_000
"""About how long a process reads before it takes the next samples: what others could have read must not wait for
long."""
NOTE_NS = 50_000_000
"""About how long it reads before it brings its row up to date, which takes as long as reading two small files."""
MOST_SAMPLES = 512
"""Samples taken at once, at most."""
SLOW_SAMPLE_NS = 200_000
"""Samples that are not one object each and take longer are all read and timed one by one; of faster ones, those of one
chunk in `TIMED_ONE_IN`."""
TIMED_ONE_IN = 8
_SPAN_BUDGET = 1000
_POLL_S = 0.001
_STEADY = int(Phase.STEADY)
_now = time.perf_counter_ns
Seconds = NDArray[np.float64]
"""How long samples took, one each."""
# Looked up once: members of an enum are found slowly, and so are elements of an array.
(_NOTED_NS, _NOTES, _SAMPLES, _FAILED_SAMPLES, _BYTES, _PAGE_BYTES, _ON_CPU_NS, _SCHEDULED, _RUN_QUEUE_NS, _COUNTED,
 _FETCHED_BYTES) = (int(word) for word in (
    Word.NOTED_NS, Word.NOTES, Word.SAMPLES, Word.FAILED_SAMPLES, Word.BYTES, Word.PAGE_BYTES, Word.ON_CPU_NS,
    Word.SCHEDULED, Word.RUN_QUEUE_NS, Word.COUNTED, Word.FETCHED_BYTES,
))  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerPlan:
    """All that a process of a level needs; handed over by fork."""

    source: SampleReader | SampleStream
    store: Store
    """Rooted at the dataset."""
    trace_dir: str
    worker: int
    processes: int
    board: Board
    order: Indices | None
    """Samples to be read, of all processes together; None for streams."""
    epoch: int
    repeats: bool
    """Begin again when everything was read."""


class _Row:
    """Keeps one process's row of the board."""

    def __init__(self, plan: WorkerPlan, tap: Tap) -> None:
        self._board, self._worker = plan.board, plan.worker
        self._row, self._histogram = plan.board.rows[plan.worker], plan.board.histograms[plan.worker]
        self._words = memoryview(self._row)
        self._tap = tap
        self._accounting, self._io = ThreadAccounting(), ProcessIo()

    def tell(self, state: State) -> None:
        self._row[Word.STATE] = state

    def add(self, samples: int, timed_s: Sequence[Seconds]) -> None:
        """Count samples that have just been read, and how long those took that were timed, in pieces."""
        words, tap = self._words, self._tap
        words[_NOTED_NS] = _now()
        words[_NOTES] += 1
        words[_SAMPLES] += samples
        words[_FAILED_SAMPLES] = tap.failed_samples
        words[_BYTES], words[_PAGE_BYTES] = tap.tapped_bytes, tap.tapped_page_bytes
        words[_ON_CPU_NS] = time.process_time_ns()
        if (queued_ns := self._accounting.run_queue_ns()) >= 0:
            words[_SCHEDULED], words[_RUN_QUEUE_NS] = 1, queued_ns
        if (moved := self._io.read()) is not None:
            words[_COUNTED], words[_FETCHED_BYTES] = 1, moved.read_bytes
        if timed_s:
            self._time(np.rint(np.concatenate(timed_s) * 1e9).astype(np.int64))
        self._board.publish(self._worker)

    def _time(self, took_ns: NDArray[np.int64]) -> None:
        row = self._row
        self._histogram += np.bincount(bucket_of(took_ns), minlength=BUCKETS)
        shortest = int(took_ns.min())
        row[Word.SHORTEST_NS] = min(int(row[Word.SHORTEST_NS]), shortest) if row[Word.TIMED_SAMPLES] else shortest
        row[Word.LONGEST_NS] = max(int(row[Word.LONGEST_NS]), int(took_ns.max()))
        row[Word.TIMED_SAMPLES] += len(took_ns)
        row[Word.TIMED_NS] += int(took_ns.sum())

    def close(self) -> None:
        self._accounting.close()
        self._io.close()


def work(plan: WorkerPlan) -> None:
    """Be a process of a level until told to stop; what fails is written down for the one that measures."""
    become_worker()
    try:
        recorder = Recorder(plan.trace_dir, rank=0, worker=plan.worker, span_budget=_SPAN_BUDGET)
        tap = tap_store(plan.store, recorder)
        # What a sample costs to decode is no matter of the store's.
        tap.decodes = False
        row = _Row(plan, tap)
        try:
            _begin(plan, tap)
            row.add(0, [])
            row.tell(State.READY)
            while plan.board.order == Order.WAIT:
                time.sleep(_POLL_S)
            row.tell(State.READING)
            row.tell(_read_stream(plan, tap, row) if plan.order is None else _read_map(plan, plan.order, tap, row))
        finally:
            tap.close()
            recorder.close()
            row.close()
    except Exception as error:  # noqa: BLE001 - whatever it is, the process that measures raises it
        failure_file(plan.trace_dir, plan.worker).write_text(_told(error), encoding="utf-8")
        plan.board.rows[plan.worker, Word.STATE] = State.FAILED


def failure_file(trace_dir: str, worker: int) -> Path:
    """Return where a process that fails says why."""
    return Path(trace_dir) / f"failed-{worker}.txt"


def _told(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


def _begin(plan: WorkerPlan, tap: Tap) -> None:
    if isinstance(plan.source, EpochReader):
        tap.recorder.begin(Phase.EPOCH_START, epoch=plan.epoch)
        plan.source.begin_epoch(tap, EpochStart(epoch=plan.epoch, rank=0, worker=plan.worker, scratch=""))
        tap.recorder.end()


def _read_map(plan: WorkerPlan, order: Indices, tap: Tap, row: _Row) -> State:
    """Read samples of the order, a chunk at a time, until told to stop or none is left."""
    reader, board, chunk, size, sample_ns = cast("SampleReader", plan.source), plan.board, 0, 1, SLOW_SAMPLE_NS
    one_by_one, unnoted, unnoted_s, noted_ns, state = False, 0, list[Seconds](), _now(), State.STOPPED
    while board.order == Order.READ:
        first = board.claim(size)
        if first >= len(order) and not plan.repeats:
            state = State.READ_THROUGH
            break
        samples = order.take(range(first, first + size), mode="wrap") if plan.repeats else order[first : first + size]
        tap.recorder.begin(_STEADY, epoch=plan.epoch, batch=chunk)
        start_ns = _now()
        if one_by_one and (sample_ns >= SLOW_SAMPLE_NS or chunk % TIMED_ONE_IN == 0):
            done, timed_s = _read_one_by_one(reader, tap, samples.tolist())
        else:
            done, timed_s = len(reader.read(tap, samples.tolist())), _stamped_s(tap, len(samples))
            one_by_one = not len(timed_s)
        end_ns = _now()
        sample_ns = max(1, (end_ns - start_ns) // len(samples))
        tap.recorder.end()
        unnoted += done
        if len(timed_s):
            unnoted_s.append(timed_s)
        if end_ns - noted_ns + sample_ns * size > NOTE_NS:
            row.add(unnoted, unnoted_s)
            unnoted, unnoted_s, noted_ns = 0, [], end_ns
        size = min(MOST_SAMPLES, max(1, CHUNK_NS // sample_ns))
        chunk += 1
    if unnoted:
        row.add(unnoted, unnoted_s)
    return state


def _stamped_s(tap: Tap, samples: int) -> Seconds:
    """Return how long each sample took where the tap has stamped as many whole objects; else nothing."""
    took_s = tap.recorder.pending_reads_s()
    return took_s if len(took_s) == samples else took_s[:0]


def _read_one_by_one(reader: SampleReader, tap: Tap, samples: list[int]) -> tuple[int, Seconds]:
    done, timed_ns, start_ns = 0, list[int](), _now()
    for sample in samples:
        delivered = len(reader.read(tap, [sample]))
        end_ns = _now()
        if delivered:
            timed_ns.append(end_ns - start_ns)
            done += delivered
        start_ns = end_ns
    return done, _in_seconds(timed_ns)


def _in_seconds(timed_ns: list[int]) -> Seconds:
    return np.array(timed_ns, dtype=np.float64) / 1e9


def _read_stream(plan: WorkerPlan, tap: Tap, row: _Row) -> State:
    """Read this process's part of an epoch, and of later ones where that is asked for."""
    stream, part, epoch = cast("SampleStream", plan.source), Part(index=plan.worker, count=plan.processes), plan.epoch
    while True:
        if not _read_part(plan, stream, epoch, part, tap, row):
            return State.STOPPED
        if not plan.repeats or not _samples_read(plan):
            return State.READ_THROUGH
        epoch += 1


def _samples_read(plan: WorkerPlan) -> int:
    """Return how many samples this process has read."""
    return int(plan.board.rows[plan.worker, Word.SAMPLES])


def _read_part(plan: WorkerPlan, stream: SampleStream, epoch: int, part: Part, tap: Tap, row: _Row) -> bool:
    """Read one epoch of a part; return whether it was read to its end."""
    timed_ns, chunk, start_ns = list[int](), 0, _now()
    noted_ns = start_ns
    tap.recorder.begin(_STEADY, epoch=epoch, batch=chunk)
    for _ in stream.samples(tap, epoch, part):
        end_ns = _now()
        timed_ns.append(end_ns - start_ns)
        if end_ns - noted_ns >= CHUNK_NS:
            tap.recorder.end()
            row.add(len(timed_ns), [_in_seconds(timed_ns)])
            if plan.board.order != Order.READ:
                return False
            chunk += 1
            tap.recorder.begin(_STEADY, epoch=epoch, batch=chunk)
            timed_ns, noted_ns = [], end_ns
            end_ns = _now()
        start_ns = end_ns
    tap.recorder.end()
    row.add(len(timed_ns), [_in_seconds(timed_ns)] if timed_ns else [])
    return True
