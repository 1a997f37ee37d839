"""The operations file: one fixed-size shared mapping per process, the home of counts, histograms and fresh spans.

Layout, all little-endian int64 words:

    header      HEADER_WORDS words, named in `Header`
    counts[2]   two copies of the statistics, SLOTS x (COUNTERS + BUCKETS) words each
    ring[2]     two halves of RING_RECORDS records, RECORD_WORDS words each

One word decides what is true: copy and half ``generation % 2`` are current. A flush adds the ring's records to the
other copy, appends the kept spans to the spans file, and only then raises the generation, so a process that is
killed at any instant leaves either the old state or the new one, never a mixture and never a double count.

Records (first word tells which):

    > 0             object read: open start, read start, close start, close end, bytes, object; the four stamps
                    are float64 seconds of the same clock (packing floats costs a third of packing integers;
                    they are exact to a nanosecond for the first hundred days after boot)
    BATCH_MARK      mark, epoch, batch, phase, start, 0: what follows belongs to this batch
    -kind           one operation: -kind, start, end, bytes, object, error; stamps in ns
    0               the end of the ring
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
RING_RECORDS = 2048
"""Small enough that a flush works in the CPU's cache: four times as many records took six times as long."""
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
    """Decoded operations, column by column; one row per operation."""

    __slots__ = ("batch", "duration_ns", "error", "kind", "object", "phase", "size_bytes", "start_ns")

    def __init__(self, records: Words) -> None:
        """Decode ring records of shape (n, RECORD_WORDS); object reads become three operations each."""
        batch, phase = carried_marks(records)
        reads, single = _reads(records), _singles(records)
        read, one = records[reads], records[single]
        stamps_ns = stamps_of(read)
        zeros = np.zeros(len(read), dtype=np.int64)
        self.kind = np.concatenate([np.repeat(_READ_PARTS, len(read)), -one[:, 0]])
        self.start_ns = np.concatenate([*stamps_ns.T[:3], one[:, 1]])
        self.duration_ns = np.concatenate([*np.diff(stamps_ns).T, one[:, 2] - one[:, 1]])
        self.size_bytes = np.concatenate([zeros, read[:, 4], zeros, one[:, 3]])
        self.object = np.concatenate([read[:, 5]] * 3 + [one[:, 4]])
        self.error = np.concatenate([zeros, zeros, zeros, one[:, 5]])
        self.batch = np.concatenate([batch[reads]] * 3 + [batch[single]])
        self.phase = np.concatenate([phase[reads]] * 3 + [phase[single]])


_READ_PARTS = np.array([Kind.OPEN, Kind.READ, Kind.CLOSE], dtype=np.int64)
"""What an object read consists of, in the order of its stamps."""
_READ_OFFSETS = np.arange(len(_READ_PARTS)) * BUCKETS


def stamps_of(reads: Words) -> Words:
    """Return the stamps of object reads in ns, shape (n, 4)."""
    seconds = np.ascontiguousarray(reads[:, :4]).view(np.float64)
    return np.rint(seconds * 1e9).astype(np.int64)


def _reads(records: Words) -> NDArray[np.bool_]:
    return records[:, 0] > 0


def _singles(records: Words) -> NDArray[np.bool_]:
    return (records[:, 0] < 0) & (records[:, 0] > BATCH_MARK)


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


def add_to_counts(counts: Words, records: Words) -> list[int]:
    """Add ring records to one copy of the statistics, in place; return the slots that changed."""
    _, phase = carried_marks(records)
    reads, single = _reads(records), _singles(records)
    changed: set[int] = set()
    for part in _present(phase):
        of_part = phase == part
        changed.update(_add_reads(counts, part, records[reads & of_part]))
        one = records[single & of_part]
        for kind in _present(-one[:, 0]):
            of_kind = one[one[:, 0] == -kind]
            changed.add(_add_singles(counts, part, kind, of_kind))
    return sorted(changed)


def _present(values: Words) -> list[int]:
    """Return the distinct small non-negative values."""
    return [int(value) for value in np.flatnonzero(np.bincount(values))] if len(values) else []


def _add_reads(counts: Words, phase: int, reads: Words) -> list[int]:
    """Add object reads: their three operations in one pass, since this runs while a worker could be reading."""
    if not len(reads):
        return []
    durations = np.diff(stamps_of(reads))
    buckets = np.bincount((bucket_of(durations) + _READ_OFFSETS).ravel(), minlength=len(_READ_PARTS) * BUCKETS).reshape(
        len(_READ_PARTS), BUCKETS
    )
    shortest, longest, total = durations.min(axis=0), durations.max(axis=0), durations.sum(axis=0)
    slots = []
    for part, kind in enumerate(_READ_PARTS.tolist()):
        size_bytes = int(reads[:, 4].sum()) if kind == Kind.READ else 0
        facts = (len(reads), size_bytes, 0, int(total[part]), int(shortest[part]), int(longest[part]))
        slots.append(_add(counts, phase, kind, facts, buckets[part]))
    return slots


def _add_singles(counts: Words, phase: int, kind: int, records: Words) -> int:
    durations = records[:, 2] - records[:, 1]
    failed = int(np.count_nonzero(records[:, 5]))
    size_bytes, shortest, longest = int(records[:, 3].sum()), int(durations.min()), int(durations.max())
    facts = (len(records), size_bytes, failed, int(durations.sum()), shortest, longest)
    return _add(counts, phase, kind, facts, np.bincount(bucket_of(durations), minlength=BUCKETS))


def _add(counts: Words, phase: int, kind: int, facts: tuple[int, int, int, int, int, int], buckets: Words) -> int:
    """Add one kind's count, bytes, errors, total, min and max, and its buckets; return the slot."""
    slot = phase * len(KINDS) + int(SLOT_OF_KIND[kind])
    row = counts[slot]
    shortest = facts[4] if row[0] == 0 else min(int(row[4]), facts[4])
    longest = max(int(row[5]), facts[5])
    row[:4] += facts[:4]
    row[4:COUNTERS] = shortest, longest
    row[COUNTERS:] += buckets
    return slot


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
