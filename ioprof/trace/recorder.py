"""The hot path: records every operation of one process into its operations file.

An object read costs the caller three clock reads and one packing into the shared mapping, where it counts once its
batch's mark stands behind it. So little is left to do when a batch ends, and that is what matters: what runs once a
batch finds the CPU's caches full of other things, and takes several times what it takes in a loop. Counts and
histograms are exact for every operation; full spans are kept for every batch while the budgets allow, then for one
batch in N, N doubling each time one is passed.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
from array import array
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ioprof.errors import FREE_SPACE, RunDirectoryError
from ioprof.trace import opsfile
from ioprof.trace.chains import Chains, Objects
from ioprof.trace.header_notes import HeaderNotes
from ioprof.trace.kinds import Kind, Phase
from ioprof.trace.opsfile import (
    MARKS,
    READS,
    SINGLE_WORDS,
    SINGLES,
    STAMPS,
    WORD,
    Block,
    Header,
    Seconds,
    Words,
)
from ioprof.trace.sampling import sampled
from ioprof.trace.tally import new_tally
from ioprof.trace.words import put_words

MOST_THINNED = 1 << 16
"""Full spans are kept for at least one batch in so many: beyond, nothing is left that thinning could save."""
_OBJECTS_AT, _SIZES_AT = opsfile.OBJECTS_AT * WORD, opsfile.SIZES_AT * WORD
_STAMP = struct.Struct("<d")
READ_STAMPS = struct.Struct(f"<{STAMPS}d")
"""The stamps of one object read."""
_cpu_ns = time.thread_time_ns


class Recorder(HeaderNotes):
    """Records the operations of this process; one writer, no lock.

    Attributes:
        rank: of the accelerator that the operations are for.
        worker: who does them.
        mapping: where `LocalTap` packs the `READ_STAMPS` of each object read, from the place on that `room` tells.
        singles: other operations of the open batch, six integers each.
        tally: what every batch changes; times of what is in `singles` are not in its sums before `end`.
        flushes: how often a half was folded into the statistics.
        flush_ns: CPU time that took.
    """

    def __init__(self, trace_dir: str, *, rank: int, worker: int, span_budget: int) -> None:
        """Create the files; their space is reserved now, so a full results disk cannot kill the process later.

        Raises:
            RunDirectoryError: the files cannot be created or reserved.
        """
        self.rank, self.worker = rank, worker
        self.trace_dir = trace_dir
        """The folder it writes to."""
        stem = Path(trace_dir) / f"ops-{rank}-{worker}-{os.getpid()}"
        self.singles = array("q")
        self._chains = Chains()
        self._put_words = put_words()
        self._budget = span_budget
        self._kept = 0
        self._sample_every = 1
        self._changed: list[int] = []
        self.flushes = self.flush_ns = 0
        self._keep_ns = 0.0
        try:
            self.mapping = _reserved_map(stem.with_suffix(".ops"))
            self._spans = os.open(stem.with_suffix(".spans"), os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o644)
        except OSError as error:
            raise RunDirectoryError(
                f"{stem}: cannot record operations there: {error.strerror}; {FREE_SPACE}"
            ) from error
        self.tally = new_tally(self.mapping, self.singles, worker)
        self._words = np.frombuffer(self.mapping, dtype=np.int64)
        self._ints = memoryview(self.mapping).cast("q")
        for half in (1, 0):
            start = opsfile.half_start(half)
            self._words[start : start + opsfile.HALF_WORDS] = 0  # takes the page faults now, not inside a batch
            self._use_half(half)
        self._words[[Header.RANK, Header.WORKER, Header.PID, Header.SAMPLE_EVERY]] = rank, worker, os.getpid(), 1
        self._words[Header.MAGIC] = opsfile.MAGIC
        self.begin(Phase.DISCOVERY)

    @property
    def storage_ns(self) -> int:
        """Time in storage operations so far, those in `singles` not counted before `end`."""
        return self.tally.storage_ns

    @property
    def prep_ns(self) -> int:
        """Time in decoding so far, likewise."""
        return self.tally.prep_ns

    def _use_half(self, half: int) -> None:
        tally = self.tally
        tally.start = opsfile.half_start(half)
        tally.marks_used = tally.reads_used = tally.singles_used = 0

    def begin(self, phase: int, *, epoch: int = 0, batch: int = -1, start_ns: int = 0) -> None:
        """Say what the coming operations belong to; ``phase`` is a number of `Phase`."""
        tally = self.tally
        tally.phase, tally.epoch, tally.batch, tally.start_ns = phase, epoch, batch, start_ns

    def record(self, kind: int, start_ns: int, end_ns: int, size_bytes: int, obj: int, error: int) -> None:
        """Record one operation; ``kind`` is a `Kind`, or a word of `ioprof.trace.place_word`."""
        self.singles.extend((kind, start_ns, end_ns, size_bytes, obj, error))
        # Not in the middle of `LocalTap.read_objects`, whose stamps have a place already: the batch's end moves all.
        if len(self.singles) >= SINGLES // 2 * SINGLE_WORDS and not self.tally.in_room:
            self.end()

    def record_chain(self, kinds: Sequence[Kind], stamps_s: Sequence[float], objects: Objects | None) -> None:
        """Record operations of which each began when the one before ended, all successful and without bytes.

        Args:
            kinds: what is done with each object, in turn: open, close.
            stamps_s: when the first began and when each ended, in float seconds of the clock: one more than operations.
            objects: whose operations they are, in order; None where they are of none.
        """
        self._chains.add(kinds, stamps_s, objects)
        self.tally.is_ordinary = 0
        if self._chains.operations >= SINGLES // 2:
            self.end()

    def room(self, reads: int) -> int:
        """Make room for object reads of the open batch, `READS` at most; return where the stamps of the first go.

        The place is an offset into `mapping`, in bytes; `name_reads` must follow, also where none came about, or
        `reads_done` where they were named before.
        """
        tally = self.tally
        tally.in_room = 1
        if tally.reads_used + tally.pending + reads > READS:
            if tally.pending + reads > READS:
                self.end()
            self._flush()
        return (tally.start + opsfile.STAMPS_AT + (tally.reads_used + tally.pending) * STAMPS) * WORD

    def room_for(self, objects: Sequence[int], sizes_bytes: Sequence[int]) -> int:
        """Make room as `room` does, and say beforehand which objects will be read, and how long they are.

        Of what a worker has just been asked for everything is in the CPU's caches; after the reads nothing is. Where
        all of them come whole, `Tally.all_read` follows.

        Raises:
            ValueError: objects and sizes differ in number.
        """
        first = self.tally.room_for(objects, sizes_bytes)
        if first < 0:
            self.room(len(objects))
            first = self.tally.room_for(objects, sizes_bytes)
        return first

    def put_off(self, first: int, by_s: Sequence[float]) -> None:
        """Let object reads begin so much later, those packed from ``first`` on, which is a place as `room` tells it."""
        at = first // WORD
        self._words[at : at + len(by_s) * STAMPS].view(np.float64)[::STAMPS] += by_s

    def name_reads(self, objects: Sequence[int], sizes_bytes: Sequence[int], took_s: float) -> None:
        """Say which objects the stamps belong to that were packed since `room`, or `room_for` where it was mistaken.

        Args:
            objects: index of each.
            sizes_bytes: how long each is.
            took_s: time that the reads took together.
        """
        reads, tally = len(objects), self.tally
        if reads:
            at = (tally.start + tally.reads_used + tally.pending) * WORD
            self._put_words(self.mapping, at + _OBJECTS_AT, objects, at + _SIZES_AT, sizes_bytes)
            tally.pending += reads
            tally.storage_ns += round(took_s * 1e9)
        tally.in_room = 0

    def pending_reads_s(self) -> NDArray[np.float64]:
        """Return how long each object read of the open batch took, from its opening to its closing; one dimension."""
        tally = self.tally
        first = tally.start + opsfile.STAMPS_AT + tally.reads_used * STAMPS
        stamps = self._words[first : first + tally.pending * STAMPS].view(np.float64).reshape(-1, STAMPS)
        took: NDArray[np.float64] = stamps[:, -1] - stamps[:, 0]
        return took

    def pending_starts_ns(self) -> list[int]:
        """Return when each object read of the open batch was opened."""
        tally = self.tally
        first = tally.start + opsfile.STAMPS_AT + tally.reads_used * STAMPS
        stamps = self._words[first : first + tally.pending * STAMPS].view(np.float64)[::STAMPS]
        starts: list[int] = np.rint(stamps * 1e9).astype(np.int64).tolist()
        return starts

    def last_end_ns(self) -> int:
        """Return when the last operation of the open batch ended, chains left aside; 0 where none is held any more."""
        ended_ns = self.singles[2 - SINGLE_WORDS] if self.singles else 0
        tally = self.tally
        if tally.pending:
            behind = (tally.start + opsfile.STAMPS_AT + (tally.reads_used + tally.pending) * STAMPS) * WORD
            ended_ns = max(ended_ns, round(_STAMP.unpack_from(self.mapping, behind - WORD)[0] * 1e9))
        return ended_ns

    def end(self) -> None:
        """Make what was recorded since `begin` survive SIGKILL, from here on."""
        if self._chains.operations:
            self.singles.frombytes(self._chains.take_rows().tobytes())
        if not self.singles:
            if self.tally.pending:
                self._mark(0, 0)
            return
        self._add_up()
        singles = len(self.singles) // SINGLE_WORDS
        for first in range(0, singles, SINGLES):
            self._mark(first, min(SINGLES, singles - first))
        del self.singles[:]

    def end_batch(self, made_ns: int) -> None:
        """End what was recorded since `begin`, and add a finished batch to the totals; see `end` and `note_batch`."""
        self.end()
        self.tally.add_batch(made_ns)

    def _add_up(self) -> None:
        """Add the time of the singles to the sums."""
        rows = np.frombuffer(self.singles, dtype=np.int64).reshape(-1, SINGLE_WORDS)
        took_ns = rows[:, 2] - rows[:, 1]
        prep_ns = int(took_ns[rows[:, 0] == Kind.DECODE].sum())
        self.tally.prep_ns += prep_ns
        self.tally.storage_ns += int(took_ns.sum()) - prep_ns

    def _mark(self, first_single: int, singles: int) -> None:
        """Write the mark of the pending reads, and of some singles, which are moved before."""
        tally = self.tally
        if tally.singles_used + singles > SINGLES or tally.marks_used == MARKS:
            self._flush()
        if singles:
            part = self.singles[first_single * SINGLE_WORDS : (first_single + singles) * SINGLE_WORDS]
            singles_at = tally.start + opsfile.SINGLES_AT + tally.singles_used * SINGLE_WORDS
            self._ints[singles_at : singles_at + len(part)] = memoryview(part)
        tally.mark(singles)

    def _flush(self) -> None:
        """Fold the current half into the statistics and the spans file; the last store makes it true."""
        entered_ns = _cpu_ns()
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
        self._take_along(then)
        words[Header.GENERATION] = generation + 1
        self._use_half(then)
        self.flushes += 1
        self.flush_ns += _cpu_ns() - entered_ns
        words[Header.FLUSH_NS] = self.flush_ns

    def _take_along(self, half: int) -> None:
        """Copy the pending reads to the beginning of the half that comes next: a batch has one mark and one place."""
        tally = self.tally
        if not tally.pending:
            return
        there, here = opsfile.half_start(half), tally.start
        for column, width in ((opsfile.STAMPS_AT, STAMPS), (opsfile.OBJECTS_AT, 1), (opsfile.SIZES_AT, 1)):
            first = here + column + tally.reads_used * width
            kept = self._words[first : first + tally.pending * width]
            self._words[there + column : there + column + len(kept)] = kept

    def _keep_spans(self, block: Block, generation: int) -> None:
        entered_ns = _cpu_ns()
        kept = sampled(block, self._sample_every)
        if kept.records:
            counted = (len(kept.marks), len(kept.stamps), len(kept.singles))
            head = np.array([opsfile.CHUNK_MARK, generation, *counted, 0], dtype=np.int64)
            end = os.fstat(self._spans).st_size
            try:
                _write_all(self._spans, [head, *kept.parts()])
                self._kept += kept.records
            except OSError:
                # The results disk is full: counts and histograms stay exact, only these spans are lost. What was
                # written of them is cut off again, or it would be read as the head of the next chunk.
                os.ftruncate(self._spans, end)
                self._words[Header.LOST_RECORDS] += kept.records
            # Only where something was kept: what it costs to find that nothing is, no thinning saves.
            self._keep_ns += _cpu_ns() - entered_ns
        while self._kept > self._budget and self._sample_every < MOST_THINNED:
            self._thin()

    def _thin(self) -> None:
        """Keep the spans of half as many batches; the reader thins what was kept before, so all is sampled evenly."""
        self._sample_every *= 2
        self._kept //= 2
        self._words[Header.SAMPLE_EVERY] = self._sample_every

    def spare(self, worth_ratio: float) -> None:
        """Keep the spans of half as many batches, if keeping them takes more of the worker's time than this share."""
        if self._keep_ns > worth_ratio * self.tally.worker_time_ns and self._sample_every < MOST_THINNED:
            self._keep_ns /= 2
            self._thin()

    def close(self) -> None:
        """Move what is left and release the files; the last half is read from the mapping, not flushed."""
        if self._spans < 0:
            return
        self.end()
        os.close(self._spans)
        self._spans = -1


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


def _write_all(descriptor: int, parts: Sequence[Words | Seconds]) -> None:
    """Write arrays from where they are: to join them first took longer than to write them."""
    left = [part.data.cast("B") for part in parts if part.size]
    while left:
        written = os.writev(descriptor, left)
        while left and written >= len(left[0]):
            written -= len(left.pop(0))
        if left:
            left[0] = left[0][written:]
