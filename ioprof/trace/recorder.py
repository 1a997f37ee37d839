"""The hot path: records every operation of one process into its operations file.

An object read costs the caller four clock reads and one list extension; the stamps of a batch reach the
shared mapping in one pack when the batch ends. Counts and histograms are exact for every operation; full spans are
kept for every batch while the budget allows, then for one batch in N, N doubling each time the budget is passed.
"""

from __future__ import annotations

import mmap
import os
import struct
from pathlib import Path

import numpy as np

from ioprof.errors import RunDirectoryError
from ioprof.trace import opsfile
from ioprof.trace.kinds import Kind, Phase
from ioprof.trace.opsfile import RECORD_WORDS, RING_RECORDS, WORD, Header

_RECORD_BYTES = RECORD_WORDS * WORD
_LARGEST_PACK = RING_RECORDS - 1
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
"""2^64 over the golden ratio: multiples of it, modulo 2^64, spread evenly (Knuth, vol. 3, 6.4)."""
_WORD = struct.Struct("<q")
_TOTALS = struct.Struct("<2q")
_TOTALS_OFFSET = Header.WORKER_TIME_NS * WORD
DEFAULT_SPAN_BUDGET = 1_000_000
"""Records each process may keep; an object read is one record and three spans."""


class Recorder:
    """Records the operations of this process; one writer, no lock.

    Attributes:
        reads: object reads of the open batch, four float stamps, bytes and object each; `LocalTap` extends it.
        singles: other operations of the open batch, six integers each.
    """

    def __init__(self, trace_dir: str, *, rank: int, worker: int, span_budget: int) -> None:
        """Create the files; their space is reserved now, so a full results disk cannot kill the process later.

        Raises:
            RunDirectoryError: the files cannot be created or reserved.
        """
        stem = Path(trace_dir) / f"ops-{rank}-{worker}-{os.getpid()}"
        self.reads: list[float] = []
        self.singles: list[int] = []
        self._budget = span_budget
        self._kept = 0
        self._sample_every = 1
        self._position = 0
        self._ring_start = opsfile.ring_byte_offset(0)
        self._mark = (0, 0, -1, int(Phase.DISCOVERY), 0, 0)
        self._packers: dict[tuple[int, str], struct.Struct] = {}
        self._changed: list[int] = []
        self._worker_time_ns = 0
        self._batches = 0
        try:
            self._map = _reserved_map(stem.with_suffix(".ops"))
            self._spans = os.open(stem.with_suffix(".spans"), os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o644)
        except OSError as error:
            raise RunDirectoryError(f"{stem}: cannot record operations there: {error.strerror}") from error
        self._words = np.frombuffer(self._map, dtype=np.int64)
        self._words[[Header.RANK, Header.WORKER, Header.PID, Header.SAMPLE_EVERY]] = rank, worker, os.getpid(), 1
        for half in (0, 1):
            opsfile.ring_of(self._words, half)[:] = 0  # takes the page faults now, not inside a measured batch
        self._words[Header.MAGIC] = opsfile.MAGIC

    def begin(self, phase: int, *, epoch: int = 0, batch: int = -1, start_ns: int = 0) -> None:
        """Say what the coming operations belong to; ``phase`` is a number of `Phase`."""
        self._mark = (0, epoch, batch, phase, start_ns, 0)

    def record(self, kind: Kind, start_ns: int, end_ns: int, size_bytes: int, obj: int, error: int) -> None:
        """Record one operation."""
        self.singles.extend((-kind, start_ns, end_ns, size_bytes, obj, error))
        if len(self.singles) >= RING_RECORDS * RECORD_WORDS // 2:
            self.end()

    def end(self) -> None:
        """Move what was recorded since `begin` into the shared mapping; survives SIGKILL from here on."""
        if self.reads:
            self._move(self.reads, "4d2q")
        if self.singles:
            self._move(self.singles, "6q")

    def _move(self, stamps: list[float] | list[int], layout: str) -> None:
        if len(stamps) <= _LARGEST_PACK * RECORD_WORDS:
            self._pack(stamps, layout)
        else:
            for start in range(0, len(stamps), _LARGEST_PACK * RECORD_WORDS):
                self._pack(stamps[start : start + _LARGEST_PACK * RECORD_WORDS], layout)
        stamps.clear()

    def _pack(self, stamps: list[float] | list[int], layout: str) -> None:
        records = len(stamps) // RECORD_WORDS
        if self._position + records + 1 > RING_RECORDS:
            self._flush()
        packer = self._packers.get((records, layout))
        if packer is None:
            packer = self._packers[records, layout] = struct.Struct("<6q" + layout * records)
        offset = self._ring_start + self._position * _RECORD_BYTES
        packer.pack_into(self._map, offset, *self._mark, *stamps)
        # The mark's first word comes last: until it stands, a reader finds the end of the ring here, so a process
        # killed half-way through the line above leaves the batch out instead of a torn record in.
        _WORD.pack_into(self._map, offset, opsfile.BATCH_MARK)
        self._position += records + 1

    def _flush(self) -> None:
        """Fold the ring into the statistics and the spans file; the last store makes it true."""
        words = self._words
        generation = int(words[Header.GENERATION])
        now, then = generation & 1, 1 - (generation & 1)
        records = opsfile.ring_of(words, now)[: self._position]
        current, counts = opsfile.counts_of(words, now), opsfile.counts_of(words, then)
        # The other copy is one flush behind, in the slots that flush changed and nowhere else.
        counts[self._changed] = current[self._changed]
        self._changed = opsfile.add_to_counts(counts, records)
        self._keep_spans(records, generation)
        opsfile.ring_of(words, then)[:] = 0
        words[Header.GENERATION] = generation + 1
        self._ring_start = opsfile.ring_byte_offset(then)
        self._position = 0

    def _keep_spans(self, records: opsfile.Words, generation: int) -> None:
        kept = sampled(records, self._sample_every)
        if len(kept):
            head = np.array([[opsfile.CHUNK_MARK, generation, len(kept), 0, 0, 0]], dtype=np.int64)
            end = os.fstat(self._spans).st_size
            try:
                _write_all(self._spans, head.tobytes() + kept.tobytes())
                self._kept += len(kept)
            except OSError:
                # The results disk is full: counts and histograms stay exact, only these spans are lost. What was
                # written of them is cut off again, or it would be read as the head of the next chunk.
                os.ftruncate(self._spans, end)
                self._words[Header.LOST_RECORDS] += len(kept)
        while self._kept > self._budget:
            # The reader thins what was kept at the old rate, so the trace ends up sampled evenly.
            self._sample_every *= 2
            self._kept //= 2
            self._words[Header.SAMPLE_EVERY] = self._sample_every

    def note_batch(self, worker_time_ns: int) -> None:
        """Add a finished batch to the totals that the overhead is judged against."""
        self._worker_time_ns += worker_time_ns
        self._batches += 1
        _TOTALS.pack_into(self._map, _TOTALS_OFFSET, self._worker_time_ns, self._batches)

    def note_io(self, tapped_bytes: int, rchar_bytes: int, read_bytes: int) -> None:
        """Keep a reading of /proc/PID/io beside the bytes tapped so far; the first and the last one count."""
        words = self._words
        if not words[Header.IO_KNOWN]:
            words[Header.IO_FIRST_TAPPED : Header.IO_FIRST_READ + 1] = tapped_bytes, rchar_bytes, read_bytes
        words[Header.IO_LAST_TAPPED : Header.IO_LAST_READ + 1] = tapped_bytes, rchar_bytes, read_bytes
        words[Header.IO_KNOWN] = 1

    def close(self) -> None:
        """Pack what is left and release the files; the last ring is read from the mapping, not flushed."""
        if self._spans < 0:
            return
        self.end()
        os.close(self._spans)
        self._spans = -1


def sampled(records: opsfile.Words, sample_every: int) -> opsfile.Words:
    """Return the records of the batches that sampling keeps, marks included; discovery is always kept.

    Which batches those are depends on their number alone, so that all processes keep the same ones, and those kept
    at 1 in 2N are among those kept at 1 in N. Numbers are scattered first: workers take turns, and every Nth batch
    may be one worker's.

    Args:
        records: ring records.
        sample_every: a power of two.
    """
    if sample_every == 1:
        return records
    batch, _ = opsfile.carried_marks(records)
    scattered = batch.astype(np.uint64) * _GOLDEN
    kept: opsfile.Words = records[(scattered < np.uint64(2**64 // sample_every)) | (batch < 0)]
    return kept


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
