"""The hot path: records every operation of one process into its operations file.

An object read costs the caller three clock reads, put on a list; when the batch ends, the lists are moved into the
shared mapping column by column. Counts and histograms are exact for every operation; full spans are kept for every
batch while the budget allows, then for one batch in N, N doubling each time the budget is passed.
"""

from __future__ import annotations

import functools
import mmap
import os
import struct
from array import array
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ioprof.errors import RunDirectoryError
from ioprof.trace import opsfile
from ioprof.trace.chains import Chains, Objects
from ioprof.trace.kinds import Kind, Phase
from ioprof.trace.opsfile import MARKS, READS, SINGLE_WORDS, SINGLES, STAMPS, WORD, Block, CacheWord, Header

_GOLDEN = 0x9E3779B97F4A7C15
"""2^64 over the golden ratio: multiples of it, modulo 2^64, spread evenly (Knuth, vol. 3, 6.4)."""
_MARK = struct.Struct("<8q")
_WORD = struct.Struct("<q")
_TOTALS = struct.Struct("<2q")
_TOTALS_AT = Header.WORKER_TIME_NS * WORD


class Recorder:
    """Records the operations of this process; one writer, no lock.

    Attributes:
        rank: of the accelerator that the operations are for.
        worker: who does them.
        stamps: object reads of the open batch, four float seconds each; `LocalTap` extends it.
        singles: other operations of the open batch, six integers each.
        storage_ns: time in storage operations that `end` has moved so far.
        prep_ns: time in decoding, likewise.
    """

    def __init__(self, trace_dir: str, *, rank: int, worker: int, span_budget: int) -> None:
        """Create the files; their space is reserved now, so a full results disk cannot kill the process later.

        Raises:
            RunDirectoryError: the files cannot be created or reserved.
        """
        self.rank, self.worker = rank, worker
        stem = Path(trace_dir) / f"ops-{rank}-{worker}-{os.getpid()}"
        self.stamps: list[float] = []
        self.singles = array("q")
        self.storage_ns = self.prep_ns = 0
        self._chains = Chains()
        self._objects: list[int] = []
        self._sizes: list[int] = []
        self._budget = span_budget
        self._kept = 0
        self._sample_every = 1
        self._changed: list[int] = []
        self._worker_time_ns = 0
        self._batches = 0
        try:
            self._map = _reserved_map(stem.with_suffix(".ops"))
            self._spans = os.open(stem.with_suffix(".spans"), os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o644)
        except OSError as error:
            raise RunDirectoryError(f"{stem}: cannot record operations there: {error.strerror}") from error
        self._words = np.frombuffer(self._map, dtype=np.int64)
        self._ints = memoryview(self._map).cast("q")
        for half in (1, 0):
            start = opsfile.half_start(half)
            self._words[start : start + opsfile.HALF_WORDS] = 0  # takes the page faults now, not inside a batch
            self._use_half(half)
        self._words[[Header.RANK, Header.WORKER, Header.PID, Header.SAMPLE_EVERY]] = rank, worker, os.getpid(), 1
        self._words[Header.MAGIC] = opsfile.MAGIC
        self.begin(Phase.DISCOVERY)

    def _use_half(self, half: int) -> None:
        self._start = opsfile.half_start(half)
        self._marks_used = self._reads_used = self._singles_used = 0

    def begin(self, phase: int, *, epoch: int = 0, batch: int = -1, start_ns: int = 0) -> None:
        """Say what the coming operations belong to; ``phase`` is a number of `Phase`."""
        self._phase, self._epoch, self._batch, self._batch_start_ns = phase, epoch, batch, start_ns

    def record(self, kind: Kind, start_ns: int, end_ns: int, size_bytes: int, obj: int, error: int) -> None:
        """Record one operation."""
        self.singles.extend((kind, start_ns, end_ns, size_bytes, obj, error))
        # Not in the middle of `LocalTap.read_objects`, whose stamps are named at its end: the batch's end moves all.
        if len(self.singles) >= SINGLES // 2 * SINGLE_WORDS and len(self.stamps) == STAMPS * len(self._objects):
            self.end()

    def record_chain(self, kinds: Sequence[Kind], stamps_s: Sequence[float], objects: Objects | None) -> None:
        """Record operations of which each began when the one before ended, all successful and without bytes.

        Args:
            kinds: what is done with each object, in turn: open, close.
            stamps_s: when the first began and when each ended, in float seconds of the clock: one more than operations.
            objects: whose operations they are, in order; None where they are of none.
        """
        self._chains.add(kinds, stamps_s, objects)
        if self._chains.operations >= SINGLES // 2:
            self.end()

    def name_reads(self, objects: Sequence[int], sizes_bytes: Sequence[int]) -> None:
        """Say which objects the latest stamps belong to, four stamps each, and how long they are."""
        self._objects.extend(objects)
        self._sizes.extend(sizes_bytes)

    def end(self) -> None:
        """Move what was recorded since `begin` into the shared mapping; survives SIGKILL from here on."""
        if self._chains.operations:
            self.singles.frombytes(self._chains.take_rows().tobytes())
        self._add_up()
        reads, singles = len(self._objects), len(self.singles) // SINGLE_WORDS
        if reads <= READS and singles <= SINGLES:
            if reads or singles:
                self._move(0, reads, 0, singles)
        else:
            for first in range(0, reads, READS):
                self._move(first, min(READS, reads - first), 0, 0)
            for first in range(0, singles, SINGLES):
                self._move(0, 0, first, min(SINGLES, singles - first))
        del self.stamps[:], self._objects[:], self._sizes[:], self.singles[:]

    def _add_up(self) -> None:
        """Add the time of what is about to be moved to the sums."""
        self.storage_ns += round((sum(self.stamps[3::4]) - sum(self.stamps[0::4])) * 1e9)
        if self.singles:
            rows = np.frombuffer(self.singles, dtype=np.int64).reshape(-1, SINGLE_WORDS)
            took_ns = rows[:, 2] - rows[:, 1]
            prep_ns = int(took_ns[rows[:, 0] == Kind.DECODE].sum())
            self.prep_ns += prep_ns
            self.storage_ns += int(took_ns.sum()) - prep_ns

    def _move(self, first_read: int, reads: int, first_single: int, singles: int) -> None:
        if self._reads_used + reads > READS or self._singles_used + singles > SINGLES or self._marks_used == MARKS:
            self._flush()
        start, at = self._start, self._reads_used
        if reads:
            last = first_read + reads
            stamps, objects, sizes = self.stamps, self._objects, self._sizes
            if reads != len(objects):
                stamps = stamps[first_read * STAMPS : last * STAMPS]
                objects, sizes = objects[first_read:last], sizes[first_read:last]
            # A packer a column: three times as fast as an array made of the list.
            stamp_columns, words = _packers(reads)
            stamp_columns.pack_into(self._map, (start + opsfile.STAMPS_AT + at * STAMPS) * WORD, *stamps)
            words.pack_into(self._map, (start + opsfile.OBJECTS_AT + at) * WORD, *objects)
            words.pack_into(self._map, (start + opsfile.SIZES_AT + at) * WORD, *sizes)
        if singles:
            part = self.singles[first_single * SINGLE_WORDS : (first_single + singles) * SINGLE_WORDS]
            singles_at = start + opsfile.SINGLES_AT + self._singles_used * SINGLE_WORDS
            self._ints[singles_at : singles_at + len(part)] = memoryview(part)
        mark_at = (start + opsfile.MARKS_AT + self._marks_used * opsfile.MARK_WORDS) * WORD
        _MARK.pack_into(
            self._map, mark_at,
            0, self._epoch, self._batch, self._batch_start_ns, at, reads, self._singles_used, singles,
        )  # fmt: skip
        # The first word comes last: until it stands, a reader finds the end of the half here.
        _WORD.pack_into(self._map, mark_at, self._phase + 1)
        self._marks_used += 1
        self._reads_used += reads
        self._singles_used += singles

    def _flush(self) -> None:
        """Fold the current half into the statistics and the spans file; the last store makes it true."""
        words = self._words
        generation = int(words[Header.GENERATION])
        now, then = generation & 1, 1 - (generation & 1)
        block = opsfile.fresh_block(words, now)
        current, counts = opsfile.counts_of(words, now), opsfile.counts_of(words, then)
        # The other copy is one flush behind, in the slots that flush changed and nowhere else.
        counts[self._changed] = current[self._changed]
        self._changed = opsfile.add_to_counts(counts, block)
        self._keep_spans(block, generation)
        opsfile.marks_of(words, then)[:] = 0
        words[Header.GENERATION] = generation + 1
        self._use_half(then)

    def _keep_spans(self, block: Block, generation: int) -> None:
        kept = sampled(block, self._sample_every)
        if kept.records:
            counted = (len(kept.marks), len(kept.stamps), len(kept.singles))
            head = np.array([opsfile.CHUNK_MARK, generation, *counted, 0], dtype=np.int64)
            end = os.fstat(self._spans).st_size
            try:
                _write_all(self._spans, b"".join([head.tobytes(), *(part.tobytes() for part in kept.parts())]))
                self._kept += kept.records
            except OSError:
                # The results disk is full: counts and histograms stay exact, only these spans are lost. What was
                # written of them is cut off again, or it would be read as the head of the next chunk.
                os.ftruncate(self._spans, end)
                self._words[Header.LOST_RECORDS] += kept.records
        while self._kept > self._budget:
            # The reader thins what was kept at the old rate, so the trace ends up sampled evenly.
            self._sample_every *= 2
            self._kept //= 2
            self._words[Header.SAMPLE_EVERY] = self._sample_every

    def note_batch(self, worker_time_ns: int) -> None:
        """Add a finished batch to the totals that the overhead is judged against."""
        self._worker_time_ns += worker_time_ns
        self._batches += 1
        _TOTALS.pack_into(self._map, _TOTALS_AT, self._worker_time_ns, self._batches)

    def note_cache(self, method: int, counts: Sequence[int]) -> None:
        """Add what was counted of the page cache for the open batch, in the order of `CacheWord`.

        Args:
            method: how the kernel was asked, the value of `Header.CACHE_METHOD`.
            counts: amounts, added to those of the open phase.
        """
        self._ints[Header.CACHE_METHOD] = method
        for at, count in enumerate(counts, Header.CACHE + self._phase * len(CacheWord)):
            if count:
                self._ints[at] += count

    def note_faults(self, major_faults: int, minor_faults: int) -> None:
        """Add the page faults of one copy out of a mapped file."""
        at = Header.FAULTS + self._phase * opsfile.FAULT_WORDS
        self._ints[at] += major_faults
        self._ints[at + 1] += minor_faults
        self._ints[at + 2] += major_faults > 0

    def note_held(self, operations: int, slower: int) -> None:
        """Keep how many operations a throttle has held back so far, and how many of them were slower than it asks."""
        self._ints[Header.HELD], self._ints[Header.HELD_SLOWER] = operations, slower

    def note_io(
        self,
        tapped_bytes: int,
        tapped_page_bytes: int,
        rchar_bytes: int,
        read_bytes: int,
        *,
        mapped_bytes: int = 0,
        touched_page_bytes: int = 0,
    ) -> None:
        """Keep a reading of /proc/PID/io beside the bytes tapped so far; the first and the last one count."""
        words, reading = self._words, (tapped_bytes, rchar_bytes, read_bytes)
        if not words[Header.IO_KNOWN]:
            words[Header.IO_FIRST_TAPPED : Header.IO_FIRST_READ + 1] = reading
            words[Header.IO_FIRST_PAGES], words[Header.IO_FIRST_MAPPED] = tapped_page_bytes, mapped_bytes
            words[Header.IO_FIRST_TOUCHED] = touched_page_bytes
        words[Header.IO_LAST_TAPPED : Header.IO_LAST_READ + 1] = reading
        words[Header.IO_LAST_PAGES], words[Header.IO_LAST_MAPPED] = tapped_page_bytes, mapped_bytes
        words[Header.IO_LAST_TOUCHED] = touched_page_bytes
        words[Header.IO_KNOWN] = 1

    def close(self) -> None:
        """Move what is left and release the files; the last half is read from the mapping, not flushed."""
        if self._spans < 0:
            return
        self.end()
        os.close(self._spans)
        self._spans = -1


def sampled(block: Block, sample_every: int) -> Block:
    """Return the batches that sampling keeps; discovery is always kept.

    Which batches those are depends on their number alone, so that all processes keep the same ones, and those kept
    at 1 in 2N are among those kept at 1 in N. Numbers are scattered first: workers take turns, and every Nth batch
    may be one worker's.

    Args:
        block: fresh or kept operations.
        sample_every: a power of two.
    """
    if sample_every == 1:
        return block
    batch = block.marks[:, 2]
    scattered = batch.astype(np.uint64) * np.uint64(_GOLDEN)
    return block.where((scattered < np.uint64(2**64 // sample_every)) | (batch < 0))


def is_sampled(batch: int, sample_every: int) -> bool:
    """Tell the same of one batch by its number, from 0."""
    return sample_every == 1 or batch * _GOLDEN % 2**64 < 2**64 // sample_every


@functools.lru_cache(maxsize=64)
def _packers(reads: int) -> tuple[struct.Struct, struct.Struct]:
    """Return what packs the stamps of so many object reads, and one word of each."""
    return struct.Struct(f"<{reads * STAMPS}d"), struct.Struct(f"<{reads}q")


def _reserved_map(path: Path) -> mmap.mmap:
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_EXCL, 0o644)
    try:
        os.posix_fallocate(descriptor, 0, opsfile.FILE_BYTES)
        return mmap.mmap(descriptor, opsfile.FILE_BYTES)
    except OSError:
        path.unlink()
        raise
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, content: bytes) -> None:
    left = memoryview(content)
    while left:
        left = left[os.write(descriptor, left) :]
