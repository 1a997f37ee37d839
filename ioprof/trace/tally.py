"""The numbers that every batch changes, and every object read; what a batch like most others needs is done here.

What runs once a batch finds the CPU's caches full of the batch's data: the interpreter's objects and code come back
from memory line by line, and take five to ten times what they take in a loop. `ioprof.trace._tally` is the same in C,
its numbers side by side, for where a compiler was there.
"""

from __future__ import annotations

import mmap
import struct
from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from ioprof.clock import now_ns
from ioprof.store.compiled import is_compiled
from ioprof.trace import opsfile
from ioprof.trace.budget import TIMED_ONE_IN
from ioprof.trace.kinds import Phase
from ioprof.trace.opsfile import MARK_WORDS, MARKS, READS, STAMPS, WORD, CacheWord, Header
from ioprof.trace.sampling import is_sampled
from ioprof.trace.words import put_words_plainly

if TYPE_CHECKING:
    from ioprof.store.object_reads import CompiledReadFiles, Stop

_SPARSEST = 1 << 16
PAGE_BYTES = mmap.PAGESIZE
_UNKNOWN = (-1,) * 11
"""What a batch that nobody looked at closely leaves open, at the end of its stamps."""
_PACKED = struct.Struct("<21q")
_MARK, _WORD, _TOTALS = struct.Struct(f"<{MARK_WORDS}q"), struct.Struct("<q"), struct.Struct("<2q")


class Layout(NamedTuple):
    """Where things are in an operations file, in words."""

    reads: int
    """Object reads that a half holds; `marks` likewise."""
    marks: int
    marks_at: int
    """From the beginning of a half, as the next three."""
    stamps_at: int
    objects_at: int
    sizes_at: int
    totals_at: int
    """From the beginning of the file: the workers' time and the number of batches."""
    unasked_at: int
    """Likewise: the number of measured batches that could have been asked about."""
    steady: int
    """Number of the measured phase."""


LAYOUT = Layout(
    reads=READS,
    marks=MARKS,
    marks_at=opsfile.MARKS_AT,
    stamps_at=opsfile.STAMPS_AT,
    objects_at=opsfile.OBJECTS_AT,
    sizes_at=opsfile.SIZES_AT,
    totals_at=int(Header.WORKER_TIME_NS),
    unasked_at=int(Header.CACHE + Phase.STEADY * len(CacheWord) + CacheWord.BATCHES),
    steady=int(Phase.STEADY),
)


class Tally:
    """The numbers of one process's recorder.

    Attributes:
        start: word at which the open half begins.
        marks_used: of the open half; also `reads_used` and `singles_used`.
        pending: object reads of the open batch for which no mark stands yet.
        in_room: 1 between `room_for` and `all_read`.
        phase: what coming operations belong to; also `epoch`, `batch` and `start_ns`, when that began.
        fetched_ns: when the last sample of the open batch was there.
        start_bytes: of the sums below, as the open batch began; also `start_failed`, `start_storage_ns`,
            `start_prep_ns`.
        storage_ns: time in storage operations so far.
        prep_ns: time in decoding so far.
        operations: how many count so far.
        worker_time_ns: time spent on batches so far.
        batches: how many that were.
        tapped_bytes: see `ioprof.store.tap.Tap`; also `tapped_page_bytes`, `touched_page_bytes`, `failed_samples`.
        begun: batches begun by a worker.
        is_ordinary: 1: the open batch was begun as most are, and `end` may end it.
        account_every: one in so many is accounted.
        ordinary_epoch: the epoch whose batches may be like most others.
        steady_from: number of the first batch that may be.
        next_io_ns: until when they may be.
        ask_every: one batch in so many is asked about.
        ask_budget: share of the worker's time that asking may take.
        ask_cost_s: smoothed: what asking about a batch takes.
        made_s: smoothed: what making a batch takes, without asking.
        is_answered: 0: nobody can be asked.
    """

    __slots__ = (
        "_asked",
        "_mapping",
        "_singles",
        "_worker",
        "account_every",
        "ask_budget",
        "ask_cost_s",
        "ask_every",
        "batch",
        "batches",
        "begun",
        "epoch",
        "failed_samples",
        "fetched_ns",
        "in_room",
        "is_answered",
        "is_ordinary",
        "made_s",
        "marks_used",
        "next_io_ns",
        "operations",
        "ordinary_epoch",
        "pending",
        "phase",
        "prep_ns",
        "reads_used",
        "singles_used",
        "start",
        "start_bytes",
        "start_failed",
        "start_ns",
        "start_prep_ns",
        "start_storage_ns",
        "steady_from",
        "storage_ns",
        "tapped_bytes",
        "tapped_page_bytes",
        "touched_page_bytes",
        "worker_time_ns",
    )

    def __init__(self, mapping: mmap.mmap | bytearray, singles: array[int], worker: int) -> None:
        """Count from nothing.

        Args:
            mapping: holds an operations file; what is noted goes there.
            singles: operations of the open batch other than object reads: there are none in most batches.
            worker: whose numbers these are.
        """
        self._singles = singles
        self._mapping = mapping
        self._worker = worker
        self._asked = (0, 0, 0)
        """What `room_for` was told of: reads, bytes, and bytes of whole pages."""
        self.start = self.marks_used = self.reads_used = self.singles_used = self.pending = self.in_room = 0
        self.phase = self.epoch = self.start_ns = 0
        self.start_bytes = self.start_failed = self.start_storage_ns = self.start_prep_ns = 0
        self.storage_ns = self.prep_ns = self.operations = self.worker_time_ns = self.batches = 0
        self.tapped_bytes = self.tapped_page_bytes = self.touched_page_bytes = self.failed_samples = 0
        self.begun = self.is_ordinary = self.steady_from = self.next_io_ns = 0
        self.account_every = self.ask_every = self.is_answered = 1
        self.ordinary_epoch = self.batch = self.fetched_ns = -1
        self.ask_budget = self.ask_cost_s = self.made_s = 0.0

    def room_for(self, objects: Sequence[int], sizes_bytes: Sequence[int], /) -> int:
        """Say which objects will be read, and how long they are; return where the stamps of the first go, in bytes.

        -1: the open half has no room for so many, and nothing was noted.

        Raises:
            ValueError: objects and sizes differ in number.
        """
        reads, first = len(objects), self.reads_used + self.pending
        if reads != len(sizes_bytes):
            raise ValueError(f"{reads} objects and {len(sizes_bytes)} sizes")
        if first + reads > LAYOUT.reads:
            return -1
        at = self.start + first
        objects_at, sizes_at = at + LAYOUT.objects_at, at + LAYOUT.sizes_at
        put_words_plainly(self._mapping, objects_at * WORD, objects, sizes_at * WORD, sizes_bytes)
        self.in_room = 1
        self._asked = reads, sum(sizes_bytes), sum(-(-size // PAGE_BYTES) for size in sizes_bytes) * PAGE_BYTES
        return (self.start + LAYOUT.stamps_at + first * STAMPS) * WORD

    def all_read(self, took_s: float, /) -> None:
        """All that `room_for` was told of came whole, and took so long together; count it."""
        reads, size_bytes, page_bytes = self._asked
        self.pending += reads
        self.storage_ns += round(took_s * 1e9)
        self.tapped_bytes += size_bytes
        self.tapped_page_bytes += page_bytes
        self.touched_page_bytes += page_bytes
        self.in_room = 0

    def read_whole(
        self,
        read_files: CompiledReadFiles,
        mapping: mmap.mmap,
        paths: Sequence[str],
        sizes_bytes: Sequence[int],
        objects: Sequence[int],
        contents: list[bytes],
        /,
    ) -> tuple[int, float, Stop | None] | None:
        """Note what will be read, read it, and count it: `room_for`, ``read_files`` and `all_read`.

        Returns:
            None where all came whole. Else nothing is counted yet: where the stamps of the first went, -1 if there was
            no room for them and nothing was read; and what ``read_files`` returned.
        """
        first = self.room_for(objects, sizes_bytes)
        if first < 0:
            return first, 0.0, None
        took_s, stopped = read_files(paths, sizes_bytes, 0, contents, mapping, first, None, None)
        if stopped is not None:
            return first, took_s, stopped
        self.all_read(took_s)
        return None

    def mark(self, singles: int, /) -> None:
        """Let the pending reads count, and so many singles, which are in their place already.

        Raises:
            ValueError: the open half has no room for another mark.
        """
        if self.marks_used >= LAYOUT.marks:
            raise ValueError("no room for another mark")
        at = (self.start + LAYOUT.marks_at + self.marks_used * MARK_WORDS) * WORD
        _MARK.pack_into(
            self._mapping, at,
            0, self.epoch, self.batch, self.start_ns, self.reads_used, self.pending, self.singles_used, singles,
        )  # fmt: skip
        # The first word comes last: until it stands, a reader finds the end of the half here.
        _WORD.pack_into(self._mapping, at, self.phase + 1)
        self.marks_used += 1
        self.reads_used += self.pending
        self.operations += self.pending * (STAMPS - 1) + singles
        self.singles_used += singles
        self.pending = 0

    def asks(self, number: int, /) -> bool:
        """Say whether a batch is asked about: one in N, N a power of two that follows what asking and batches cost."""
        every, allowed_s = self.ask_every, self.ask_budget * self.made_s
        # From where it stood: it seldom moves.
        while self.ask_cost_s > allowed_s * every and every < _SPARSEST:
            every *= 2
        while every > 1 and self.ask_cost_s <= allowed_s * every / 2:
            every //= 2
        self.ask_every = every
        return self.ask_budget > 0 and bool(self.is_answered) and is_sampled(number, every)

    def snapshot(self) -> None:
        """Keep the sums as they are when a batch begins."""
        self.start_bytes, self.start_failed = self.tapped_bytes, self.failed_samples
        self.start_storage_ns, self.start_prep_ns = self.storage_ns, self.prep_ns

    def begin(self, epoch: int, number: int, /) -> bool:
        """Count a batch; begin it and return True if it is like most others, and need not be looked at closely."""
        place = self.begun
        self.begun += 1
        self.is_ordinary = 0
        if place % self.account_every == 0 or place % TIMED_ONE_IN == 1:
            return False
        return self.begin_counted(epoch, number)

    def begin_counted(self, epoch: int, number: int, /) -> bool:
        """Begin a batch that was counted, and return True, if it is like most others but for being looked at."""
        if epoch != self.ordinary_epoch or number < self.steady_from or self.asks(number):
            return False
        at_ns = now_ns()
        if at_ns >= self.next_io_ns:
            return False
        self.snapshot()
        self.is_ordinary = 1
        self.phase, self.epoch, self.batch, self.start_ns = LAYOUT.steady, epoch, number, at_ns
        return True

    def fetched(self) -> None:
        """The last sample of the open batch is there."""
        self.fetched_ns = now_ns()

    def end(self, samples: int, is_joined: bool, /) -> bytes | None:
        """End a batch that is like most others; return its packed stamps.

        None: it is not, or the open half has no room for its mark, and nothing was done.
        """
        if not self.is_ordinary or self.marks_used >= LAYOUT.marks or self._singles:
            return None
        end_ns = now_ns() if is_joined else self.fetched_ns
        made_ns = end_ns - self.start_ns
        if self.pending:
            self.mark(0)
        self.add_batch(made_ns)
        self.made_s += (made_ns / 1e9 - self.made_s) / 4
        if self.ask_budget > 0:
            at = LAYOUT.unasked_at * WORD
            _WORD.pack_into(self._mapping, at, _WORD.unpack_from(self._mapping, at)[0] + 1)
        return _PACKED.pack(
            self._worker, self.batch, samples,
            self.tapped_bytes - self.start_bytes, self.failed_samples - self.start_failed,
            self.start_ns, self.fetched_ns, end_ns,
            self.storage_ns - self.start_storage_ns, self.prep_ns - self.start_prep_ns, *_UNKNOWN,
        )  # fmt: skip

    def add_batch(self, made_ns: int, /) -> None:
        """Add a finished batch to the totals."""
        self.worker_time_ns += made_ns
        self.batches += 1
        _TOTALS.pack_into(self._mapping, LAYOUT.totals_at * WORD, self.worker_time_ns, self.batches)


def new_tally(mapping: mmap.mmap | bytearray, singles: array[int], worker: int) -> Tally:
    """Return fresh numbers of a worker's recorder, compiled or not.

    Raises:
        UsageError: as `is_compiled`.
    """
    if not is_compiled():
        return Tally(mapping, singles, worker)
    from ioprof.trace import _tally

    return _tally.Tally(mapping, singles, tuple(LAYOUT), worker, PAGE_BYTES, TIMED_ONE_IN)
