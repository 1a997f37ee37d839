"""What one process records about the batches it makes: stamps, operations, kernel accounting.

A loader's worker holds one `BatchTrace`: `begin`, read through `tap`, `fetched`, join the samples, `end`.
"""

from __future__ import annotations

import contextlib
import struct
import time
from typing import NamedTuple, Protocol

from ioprof.clock import now_ns
from ioprof.contract import Batch, EpochEnder, EpochReader, EpochStart, WorkerJob
from ioprof.errors import IoprofError
from ioprof.host.family_io import FamilyIo
from ioprof.host.thread_accounting import IoCounters, ProcessIo, ThreadAccounting, ThreadReading
from ioprof.store.local_tap import tap_store
from ioprof.store.tap import Tap
from ioprof.trace.batch_account import UNACCOUNTED, account_of
from ioprof.trace.budget import Budget, Look
from ioprof.trace.kinds import Phase
from ioprof.trace.recorder import Recorder

IO_INTERVAL_NS = 1_000_000_000
"""How often /proc/PID/io is read at most: with those of the worker's children it takes as long as the hooks of several
batches. The last reading is taken when the worker ends; those in between are for workers that are killed."""
WORTH_SPARING = 0.05
"""Share of the overhead's budget from which on it helps to keep fewer full spans."""

_cpu_ns = time.thread_time_ns
_COUNTED, _TIMED, _ACCOUNTED = Look
_NEVER = (1 << 62) - 1
"""The number of the first measured batch, before there is one."""
_WARMUP, _STEADY, _EPOCH_START = int(Phase.WARMUP), int(Phase.STEADY), int(Phase.EPOCH_START)
_CLOSING = int(Phase.CLOSING)


class BatchStamps(NamedTuple):
    """One batch as its maker saw it; travels to the consumer with the data. -1 means not known."""

    worker: int
    number: int
    samples: int
    size_bytes: int
    errors: int
    fetch_start_ns: int
    fetch_end_ns: int
    collate_end_ns: int
    storage_ns: int
    prep_ns: int
    on_cpu_ns: int
    run_queue_ns: int
    fetch_on_cpu_ns: int = -1
    fetch_run_queue_ns: int = -1
    minor_faults: int = -1
    major_faults: int = -1
    voluntary_switches: int = -1
    involuntary_switches: int = -1
    block_io_delay_ns: int = -1
    client_hit_bytes: int = -1
    accounted_every: int = -1

    def batch(self, data: object, dispatch_ns: int) -> Batch:
        """Return the batch as it reaches the consumer."""
        return Batch._make((data, *self, dispatch_ns))

    def packed(self) -> bytes:
        """Return all of it as bytes, which travel at a fraction of what as many numbers cost."""
        return _PACKED.pack(*self)

    @classmethod
    def unpacked(cls, packed: bytes) -> BatchStamps:
        """Return what `packed` was made of."""
        return cls._make(_PACKED.unpack(packed))


_PACKED = struct.Struct(f"<{len(BatchStamps._fields)}q")


class IoSource(Protocol):
    """What counts a worker's I/O."""

    def read(self) -> IoCounters | None:
        """Return the counters now; None where the kernel shows none."""
        ...

    def close(self) -> None:
        """Release what is kept open."""
        ...


class BatchTrace:
    """The recorder, the tap and the kernel counters of one worker."""

    def __init__(self, job: WorkerJob, worker: int, *, io: IoSource | None = None) -> None:
        """Open everything in the process and thread that will make the batches.

        Args:
            job: what is read, and what of it is recorded.
            worker: its number.
            io: what counts its I/O, where that is not all of its process and of those it started; None: it is.
        Raises:
            RunDirectoryError: the trace directory is not writable or full.
        """
        self.worker = worker
        self.recorder = Recorder(job.trace_dir, rank=job.rank, worker=worker, span_budget=job.span_budget)
        self.tap: Tap = tap_store(job.store, self.recorder)
        self._tally = self.recorder.tally
        self._witness = self.tap.witness
        self._witness.budget = job.cache_budget
        self._job = job
        self._epoch_reader = job.source if isinstance(job.source, EpochReader) else None
        self._epoch_ender = job.source if isinstance(job.source, EpochEnder) else None
        self._epoch = -1
        self._warmup_batches = job.warmup_batches
        self._tally.steady_from = _NEVER
        self._accounting = ThreadAccounting()
        # The consumer's own process also has children that are ioprof's: the host's sampler, other workers.
        self._io = io if io is not None else FamilyIo() if worker >= 0 else ProcessIo()
        self._begun: ThreadReading | None = None
        self._fetched: ThreadReading | None = None
        self._handed_over_batches = 0
        """Batches begun when the reader last handed over what it held."""
        self._budget = Budget(job.overhead_budget)
        self._look = _COUNTED
        self._hooks_ns = self._flushes = 0
        self._noted_batches = -1
        """Batches begun when `note_last_io` took its reading."""

    def begin(self, epoch: int, number: int) -> None:
        """A batch's fetch starts now."""
        # Most batches need no more than the tally does: what goes further finds its code and its numbers far away.
        if not self._tally.begin(epoch, number):
            self._begin(epoch, number)

    def _begin(self, epoch: int, number: int) -> None:
        """Begin a batch that is looked at closely, or for which more is due."""
        look = self._look = self._budget.look(self._tally.begun - 1)
        entered_ns = _cpu_ns() if look else 0
        if not (look == _TIMED and self._tally.begin_counted(epoch, number)):
            self._begin_fully(epoch, number)
        if self._look:
            self._hooks_ns = _cpu_ns() - entered_ns

    def _begin_fully(self, epoch: int, number: int) -> None:
        self._tally.snapshot()
        self._begun = self._accounting.read() if self._look == _ACCOUNTED else None
        start_ns = now_ns()
        if epoch != self._epoch:
            self._begin_epoch(epoch, number, start_ns)
        phase = _WARMUP if number < self._warmup_batches else _STEADY
        if phase == _STEADY and self._tally.steady_from == _NEVER:
            self._begin_steady()
        self.recorder.begin(phase, epoch=epoch, batch=number, start_ns=start_ns)
        if start_ns >= self._tally.next_io_ns:
            self._note_io(start_ns)
        self._witness.begin(number)

    def _begin_steady(self) -> None:
        """What a throttle gave is set beside the operations of the measured phase: it is counted from here on."""
        self._tally.steady_from = self._warmup_batches
        if self.tap.pace is not None:
            self.tap.pace.begin_count()

    def _begin_epoch(self, epoch: int, number: int, start_ns: int) -> None:
        self._epoch = self._tally.ordinary_epoch = epoch
        if self._epoch_reader is not None:
            self.recorder.begin(_EPOCH_START, epoch=epoch, batch=number, start_ns=start_ns)
            start = EpochStart(epoch=epoch, rank=self._job.rank, worker=self.worker, scratch=self._job.scratch)
            self._epoch_reader.begin_epoch(self.tap, start)
            self.recorder.end()
        self._look = _COUNTED  # what it did by itself is no cost of tracing, and cannot be told from it

    def fetched(self) -> None:
        """The last sample is there."""
        self._tally.fetched()
        if self._begun is not None:
            entered_ns = _cpu_ns()
            self._fetched = self._accounting.read()
            self._hooks_ns += _cpu_ns() - entered_ns

    def end(self, samples: int) -> BatchStamps:
        """The batch is joined: return its stamps and make its operations survive this process."""
        return BatchStamps.unpacked(self.end_packed(samples))

    def end_packed(self, samples: int) -> bytes:
        """Do what `end` does, and return what `BatchStamps.packed` gives."""
        if self._look:
            return self._end_looked_at(samples, is_joined=True)
        return self._tally.end(samples, True) or self._end_fully(samples, is_joined=True)

    def end_unjoined(self, samples: int) -> BatchStamps:
        """The batch is fetched, and its samples are dropped as they are: do what `end` does; joining took nothing."""
        if self._look:
            return BatchStamps.unpacked(self._end_looked_at(samples, is_joined=False))
        return BatchStamps.unpacked(self._tally.end(samples, False) or self._end_fully(samples, is_joined=False))

    def _end_looked_at(self, samples: int, *, is_joined: bool) -> bytes:
        look, recorder, tally = self._look, self.recorder, self._tally
        entered_ns, worked_ns = _cpu_ns() - recorder.flush_ns, tally.worker_time_ns
        packed = tally.end(samples, is_joined) or self._end_fully(samples, is_joined=is_joined)
        took_ns = self._hooks_ns + _cpu_ns() - recorder.flush_ns - entered_ns
        self._learn(look, took_ns, tally.worker_time_ns - worked_ns)
        self._begun = self._fetched = None
        self._look = _COUNTED
        return packed

    def _end_fully(self, samples: int, *, is_joined: bool) -> bytes:
        recorder, tally = self.recorder, self._tally
        end_ns = now_ns() if is_joined else tally.fetched_ns
        begun, fetched = self._begun, self._fetched
        account, every = UNACCOUNTED, -1
        if begun is not None and fetched is not None:
            account = account_of(begun, fetched, self._accounting.read() if is_joined else fetched)
            every = self._budget.every
        made_ns = end_ns - tally.start_ns
        recorder.end_batch(made_ns)
        return _PACKED.pack(
            self.worker,
            tally.batch,
            samples,
            tally.tapped_bytes - tally.start_bytes,
            tally.failed_samples - tally.start_failed,
            tally.start_ns,
            tally.fetched_ns,
            end_ns,
            tally.storage_ns - tally.start_storage_ns,
            tally.prep_ns - tally.start_prep_ns,
            *account,
            self._witness.end(made_ns),
            every,
        )

    def _learn(self, look: Look, hooks_ns: int, made_ns: int) -> None:
        """Note what the hooks took of a batch, and look at fewer if that is too much."""
        recorder, budget = self.recorder, self._budget
        budget.took(look, hooks_ns, made_ns)
        self._tally.account_every = budget.every
        recorder.note_hooks(look == _ACCOUNTED, hooks_ns)
        if recorder.flushes != self._flushes:
            self._flushes = recorder.flushes
            spans_ratio = self._tally.operations * self._job.span_ns / max(self._tally.worker_time_ns, 1)
            if budget.hooks_ratio + spans_ratio > self._job.overhead_budget:
                recorder.spare(WORTH_SPARING * self._job.overhead_budget)

    def _note_io(self, at_ns: int) -> None:
        if self.tap.pace is not None:
            self.recorder.note_held(self.tap.pace.held, self.tap.pace.slower)
        counters = self._io.read()
        if counters is not None:
            tap = self.tap
            self.recorder.note_io(
                tap.tapped_bytes,
                tap.tapped_page_bytes,
                counters.rchar - self._witness.read_bytes,
                counters.read_bytes,
                mapped_bytes=tap.mapped_bytes,
                touched_page_bytes=tap.touched_page_bytes,
            )
        self._tally.next_io_ns = at_ns + IO_INTERVAL_NS

    def end_epoch(self) -> None:
        """No batch of this epoch is left: called inside this worker's last one, before `fetched`.

        What the reader holds is handed over, and what keeps the page cache from evicting is given back.

        Raises:
            StoreError: the store refused what was handed over.
        """
        if self._epoch_ender is not None:
            self._handed_over_batches = self._tally.begun
            self._epoch_ender.end_epoch(self.tap)
        self.tap.unmap()
        self.note_last_io()

    def note_last_io(self) -> None:
        """Read /proc/PID/io, once after each batch at most: what this process reads later is not the loader's."""
        if self._noted_batches != self._tally.begun:
            self._note_io(now_ns())
            self._noted_batches = self._tally.begun

    def close(self) -> None:
        """Hand over what the reader still holds, take the last counters and release the files."""
        try:
            self._hand_over_at_last()
        finally:
            self.tap.close()
            self.note_last_io()
            self._accounting.close()
            self._io.close()
            self.recorder.close()

    def _hand_over_at_last(self) -> None:
        if self._epoch_ender is None or self._handed_over_batches == self._tally.begun:
            return
        self._handed_over_batches = self._tally.begun
        self.recorder.end()
        self.recorder.begin(_CLOSING, epoch=self._epoch, start_ns=now_ns())
        # No batch is left to tell it by: what the store refuses now is counted in the trace, and told from there.
        with contextlib.suppress(IoprofError, OSError):
            self._epoch_ender.end_epoch(self.tap)
        self.recorder.end()
