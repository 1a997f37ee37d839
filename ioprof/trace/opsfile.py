"""The operations file: one fixed-size shared mapping per process, the home of counts, histograms and fresh spans.

Layout, all little-endian int64 words:

    header      HEADER_WORDS words, named in `Header`
    counts[2]   two copies of the statistics, SLOTS x (COUNTERS + BUCKETS) words each
    ring[2]     two halves of RING_RECORDS records, RECORD_WORDS words each

One word decides what is true: copy and half ``generation % 2`` are current. A flush adds the ring's records to the
other copy, appends the kept spans to the spans file, and only then raises the generation, so a process that is
killed at any instant leaves either the old state or the new one, never a mixture and never a double count.

Records (first word tells which):

    >= 0            object read: open start, read start, close start, close end, bytes, object
    BATCH_MARK      mark, epoch, batch, phase, start, 0: what follows belongs to this batch
    -kind           one operation: -kind, start, end, bytes, object, error
    0 (open start)  never a real stamp: the end of the ring
"""

from __future__ import annotations

from enum import IntEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ioprof.trace.histogram import BUCKETS, bucket_of
from ioprof.trace.kinds import Kind, Phase

Words = NDArray[np.int64]

MAGIC = 0x696F70726F660001
WORD = 8
HEADER_WORDS = 512
RECORD_WORDS = 6
RING_RECORDS = 8192
KINDS = tuple(Kind)
SLOT_OF_KIND = np.full(max(Kind) + 1, -1, dtype=np.int64)
SLOT_OF_KIND[list(KINDS)] = np.arange(len(KINDS))
SLOTS = len(Phase) * len(KINDS)
COUNTERS = 6
"""count, bytes, errors, total_ns, min_ns, max_ns."""
SLOT_WORDS = COUNTERS + BUCKETS
COUNTS_WORDS = SLOTS * SLOT_WORDS
RING_WORDS = RING_RECORDS * RECORD_WORDS
FILE_WORDS = HEADER_WORDS + 2 * COUNTS_WORDS + 2 * RING_WORDS
FILE_BYTES = FILE_WORDS * WORD

BATCH_MARK = -100
CHUNK_MARK = -200
"""First word of a chunk header in the spans file: mark, generation, records, 0, 0, 0."""


class Header(IntEnum):
    """Where each header word stands."""

    MAGIC = 0
    GENERATION = 1
    RANK = 2
    WORKER = 3
    PID = 4
    SAMPLE_EVERY = 5
    LOST_RECORDS = 6
    WORKER_TIME_NS = 8
    BATCHES = 9
    IO_KNOWN = 16
    """1 once the six words below hold a first and a last reading of /proc/PID/io."""
    IO_FIRST_TAPPED = 17
    IO_FIRST_RCHAR = 18
    IO_FIRST_READ = 19
    IO_LAST_TAPPED = 20
    IO_LAST_RCHAR = 21
    IO_LAST_READ = 22


def counts_of(words: Words, copy: int) -> Words:
    """Return one copy of the statistics, shape (SLOTS, SLOT_WORDS), as a view."""
    start = HEADER_WORDS + copy * COUNTS_WORDS
    return words[start : start + COUNTS_WORDS].reshape(SLOTS, SLOT_WORDS)


def ring_of(words: Words, half: int) -> Words:
    """Return one half of the ring, shape (RING_RECORDS, RECORD_WORDS), as a view."""
    start = HEADER_WORDS + 2 * COUNTS_WORDS + half * RING_WORDS
    return words[start : start + RING_WORDS].reshape(RING_RECORDS, RECORD_WORDS)


def ring_byte_offset(half: int) -> int:
    """Return where a half begins in the file."""
    return (HEADER_WORDS + 2 * COUNTS_WORDS + half * RING_WORDS) * WORD


class Operations:
    """A batch of decoded operations, column by column; one row per operation."""

    __slots__ = ("batch", "duration_ns", "error", "kind", "object", "phase", "size_bytes", "start_ns")

    def __init__(self, records: Words) -> None:
        """Decode ring records of shape (n, RECORD_WORDS); object reads become three operations each."""
        first = records[:, 0]
        batch, phase = carried_marks(records)
        reads = first > 0
        single = (first < 0) & (first > BATCH_MARK)
        read, one = records[reads], records[single]
        zeros = np.zeros(len(read), dtype=np.int64)
        nothing = [np.full(len(read), kind, dtype=np.int64) for kind in (Kind.OPEN, Kind.READ, Kind.CLOSE)]
        self.kind = np.concatenate([*nothing, -one[:, 0]])
        self.start_ns = np.concatenate([read[:, 0], read[:, 1], read[:, 2], one[:, 1]])
        ends = np.concatenate([read[:, 1], read[:, 2], read[:, 3], one[:, 2]])
        self.duration_ns = ends - self.start_ns
        self.size_bytes = np.concatenate([zeros, read[:, 4], zeros, one[:, 3]])
        self.object = np.concatenate([read[:, 5]] * 3 + [one[:, 4]])
        self.error = np.concatenate([zeros, zeros, zeros, one[:, 5]])
        self.batch = np.concatenate([batch[reads]] * 3 + [batch[single]])
        self.phase = np.concatenate([phase[reads]] * 3 + [phase[single]])


def carried_marks(records: Words) -> tuple[Words, Words]:
    """Return batch and phase of every record: those of the last mark at or before it (-1 and 0 before any)."""
    marks = records[:, 0] == BATCH_MARK
    if not len(records):
        empty = np.zeros(0, dtype=np.int64)
        return empty, empty
    last = np.maximum.accumulate(np.where(marks, np.arange(len(records)), -1))
    known = last >= 0
    safe = np.maximum(last, 0)
    return np.where(known, records[safe, 2], -1), np.where(known, records[safe, 3], 0)


def add_to_counts(counts: Words, operations: Operations) -> None:
    """Add operations to one copy of the statistics, in place."""
    slots = operations.phase * len(KINDS) + SLOT_OF_KIND[operations.kind]
    for slot in np.unique(slots):
        chosen = slots == slot
        duration = operations.duration_ns[chosen]
        row = counts[slot]
        row[4] = duration.min() if row[0] == 0 else min(row[4], duration.min())
        row[5] = max(row[5], duration.max())
        row[0] += len(duration)
        row[1] += operations.size_bytes[chosen].sum()
        row[2] += np.count_nonzero(operations.error[chosen])
        row[3] += duration.sum()
        row[COUNTERS:] += np.bincount(bucket_of(duration), minlength=BUCKETS)


def used_records(ring: Words) -> Words:
    """Return the records written to a half, up to the first empty one."""
    empty = np.flatnonzero(ring[:, 0] == 0)
    return ring[: empty[0]] if len(empty) else ring


def open_words(path: Path) -> Words:
    """Map an operations file for reading.

    Raises:
        ValueError: the file is not a whole operations file.
    """
    if path.stat().st_size != FILE_BYTES:
        raise ValueError(f"{path}: {path.stat().st_size} bytes, an operations file has {FILE_BYTES}")
    words: Words = np.memmap(path, dtype=np.int64, mode="r")
    if words[Header.MAGIC] != MAGIC:
        raise ValueError(f"{path}: not an operations file")
    return words
