"""The operations file: one fixed-size shared mapping per process, the home of counts, histograms and fresh operations.

Layout, all little-endian words of eight bytes:

    header      HEADER_WORDS words, named in `Header`
    counts[2]   two copies of the statistics, SLOTS x SLOT_WORDS words each
    half[2]     two halves of fresh operations, each column by column:
                marks     MARKS x MARK_WORDS     what was recorded together: phase + 1, epoch, batch, start,
                                                 first and number of object reads, first and number of singles
                stamps    READS x 4 float64      object reads: open start, read start, close start, close end
                objects   READS                  object index of each
                sizes     READS                  bytes of each, and what the page cache held of it (`ioprof.trace.hits`)
                singles   SINGLES x 6            other operations: kind (see `ioprof.trace.place_word`), start, end,
                                                 bytes (as above), object, error

One word decides what is true: copy and half ``generation % 2`` are current. A flush adds the fresh operations to
the other copy, appends those to be kept to the spans file, and only then raises the generation. Within a half,
operations exist once their mark does, and a mark once its first word does, which is written last. So a process that
is killed at any instant leaves whole batches, each of them once.

Stamps of object reads are seconds of the same clock as float64, exact to a nanosecond for the first hundred days after
boot: they are moved by one memory copy where integers would have to be converted one by one, which took longer than
taking them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ioprof.host.residency import METHODS
from ioprof.trace.durations import count_durations, durations_ns
from ioprof.trace.histogram import BUCKETS, SUB_BITS, bucket_of
from ioprof.trace.hits import BYTES_MASK, HIT_SHIFT
from ioprof.trace.kinds import Kind, Phase
from ioprof.trace.place_word import KIND_MASK, NOTE_SHIFT

Words = NDArray[np.int64]
Seconds = NDArray[np.float64]

MAGIC = 0x696F70726F660007
_READABLE = (MAGIC, MAGIC - 1)
"""The version before said less of its operations, in the same places."""
_VERSION_BITS = 16
"""The last of the magic: the layout's version."""
WORD = 8
HEADER_WORDS = 512
KINDS = tuple(Kind)
SLOT_OF_KIND = np.full(max(Kind) + 1, -1, dtype=np.int64)
SLOT_OF_KIND[list(KINDS)] = np.arange(len(KINDS))
SLOTS = len(Phase) * len(KINDS)
COUNTERS = 6
"""count, bytes, errors, total_ns, min_ns, max_ns."""
SLOT_WORDS = COUNTERS + BUCKETS
COUNTS_WORDS = SLOTS * SLOT_WORDS

READS = 8192
"""Object reads in a half: so many that what a flush costs whatever it moves is spread thin (half of what 2048 cost)."""
STAMPS = 4
SINGLES = 4096
"""Other operations in a half: batches of a thousand names each must not pay for a flush each."""
SINGLE_WORDS = 6
MARKS = 512
MARK_WORDS = 8
MARKS_AT = 0
STAMPS_AT = MARKS_AT + MARKS * MARK_WORDS
OBJECTS_AT = STAMPS_AT + READS * STAMPS
SIZES_AT = OBJECTS_AT + READS
SINGLES_AT = SIZES_AT + READS
HALF_WORDS = SINGLES_AT + SINGLES * SINGLE_WORDS
"""Where the columns of a half begin, and its length, in words."""
FILE_WORDS = HEADER_WORDS + 2 * COUNTS_WORDS + 2 * HALF_WORDS
FILE_BYTES = FILE_WORDS * WORD

CHUNK_MARK = -200
"""First word of a chunk's head in the spans file: mark, generation, marks, reads, singles, 0; the columns follow."""
CHUNK_HEAD_WORDS = 6


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
    HELD_SLOWER = 10
    """Operations that a throttle was to hold back, and whose real operation alone took longer."""
    IO_KNOWN = 16
    """1 once the words below hold a first and a last reading of /proc/PID/io, with the tapped bytes beside each."""
    IO_FIRST_TAPPED = 17
    IO_FIRST_RCHAR = 18
    IO_FIRST_READ = 19
    IO_LAST_TAPPED = 20
    IO_LAST_RCHAR = 21
    IO_LAST_READ = 22
    IO_FIRST_PAGES = 23
    IO_LAST_PAGES = 24
    IO_FIRST_MAPPED = 25
    IO_LAST_MAPPED = 26
    """Those of the tapped bytes that were copied out of mapped files."""
    IO_FIRST_TOUCHED = 27
    IO_LAST_TOUCHED = 28
    """Bytes of the pages that reads reached into; 0 in files from before they were counted."""
    FAULTS = 32
    """Page faults of copies out of mapped files: `FAULT_WORDS` words for each phase, in the order of `Phase`."""
    FLUSH_NS = 72
    """CPU time spent in folding halves into the statistics."""
    HOOKS_ACCOUNTED_NS = 73
    """CPU time of the hooks around the batches that the kernel's accounting was read for; their number follows."""
    HOOKS_ACCOUNTED = 74
    HOOKS_TIMED_NS = 75
    """The same for some of the other batches."""
    HOOKS_TIMED = 76
    LATENT_FILES = 80
    """Data files found mapped into the process, the most at any reading, and how long their mappings are together."""
    LATENT_BYTES = 81
    MAJOR_FAULTS_KNOWN = 82
    """1 once the words below hold the process's page faults that waited for a device, at a first and a last reading."""
    MAJOR_FAULTS_FIRST = 83
    MAJOR_FAULTS_LAST = 84
    OBJECT_BYTES = 85
    """Bytes that came from object stores, through sockets, by calls that were timed."""
    CACHE_METHOD = 127
    """How the page cache was asked: a number of `CACHE_METHODS`, 0 where nobody asked, -1 where nothing answers."""
    CACHE = 128
    """What the page cache held: a word for each `CacheWord`, for each phase in the order of `Phase`."""
    HELD = 256
    """What a throttle held back: `HELD_WORDS` words for each kind, in the order of `KINDS`; 0 without one."""


class CacheWord(IntEnum):
    """What is counted of the page cache in each phase; pages are those of the reads that were asked about."""

    BATCHES = 0
    ASKED_BATCHES = 1
    COST_NS = 2
    """What asking took."""
    UNANSWERED = 3
    """Reads about which the kernel gave no answer."""
    OBJECTS = 4
    """Reads of whole objects, and reads around the page cache."""
    OBJECT_PAGES = 5
    OBJECT_HITS = 6
    """Those of the pages that were in the page cache before the read."""
    RANGES = 7
    """Reads of a part of an object: what earlier ones made the kernel read ahead is among the hits."""
    RANGE_PAGES = 8
    RANGE_HITS = 9
    ALL_OBJECT_PAGES = 10
    """The same pages, each batch counted as often as there were batches for one that was asked about."""
    ALL_OBJECT_HITS = 11
    ALL_RANGE_PAGES = 12
    ALL_RANGE_HITS = 13


CACHE_METHODS = ("", *METHODS)
HELD_WORDS = 3
"""Operations, and the time that was asked for and given, in ns, over all of them."""
FAULT_WORDS = 3
"""Major faults, minor faults, and copies that had a major one."""


def faults_of(words: Words) -> Words:
    """Return the page faults of each phase, shape (phases, FAULT_WORDS), as a view."""
    return words[Header.FAULTS : Header.FAULTS + len(Phase) * FAULT_WORDS].reshape(len(Phase), FAULT_WORDS)


def cache_of(words: Words) -> Words:
    """Return what was counted of the page cache, shape (phases, len(CacheWord)), as a view."""
    return words[Header.CACHE : Header.CACHE + len(Phase) * len(CacheWord)].reshape(len(Phase), len(CacheWord))


def held_of(words: Words) -> Words:
    """Return what a throttle held back of each kind, shape (KINDS, HELD_WORDS), as a view."""
    return words[Header.HELD : Header.HELD + len(KINDS) * HELD_WORDS].reshape(len(KINDS), HELD_WORDS)


def counts_of(words: Words, copy: int) -> Words:
    """Return one copy of the statistics, shape (SLOTS, SLOT_WORDS), as a view."""
    start = HEADER_WORDS + copy * COUNTS_WORDS
    return words[start : start + COUNTS_WORDS].reshape(SLOTS, SLOT_WORDS)


def half_start(half: int) -> int:
    """Return the word of the file at which a half begins."""
    return HEADER_WORDS + 2 * COUNTS_WORDS + half * HALF_WORDS


def marks_of(words: Words, half: int) -> Words:
    """Return all marks of a half, shape (MARKS, MARK_WORDS), as a view."""
    start = half_start(half) + MARKS_AT
    return words[start : start + MARKS * MARK_WORDS].reshape(MARKS, MARK_WORDS)


@dataclass(frozen=True, slots=True)
class Block:
    """Operations that were recorded together, column by column."""

    marks: Words
    """Shape (batches, MARK_WORDS); first reads and singles are relative to this block."""
    stamps: Seconds
    """Shape (reads, STAMPS)."""
    objects: Words
    sizes: Words
    singles: Words
    """Shape (singles, SINGLE_WORDS)."""

    @property
    def records(self) -> int:
        """Number of object reads and single operations."""
        return len(self.stamps) + len(self.singles)

    def of_reads(self, column: int) -> Words:
        """Return a mark's column (1 epoch, 2 batch) for every object read; column 0 is the phase."""
        return np.repeat(self.marks[:, column] - (column == 0), self.marks[:, 5])

    def of_singles(self, column: int) -> Words:
        """Return the same for every single operation."""
        return np.repeat(self.marks[:, column] - (column == 0), self.marks[:, 7])

    def where(self, chosen: NDArray[np.bool_]) -> Block:
        """Return the block of the chosen marks alone; the marks' own numbers of first operations are void then."""
        reads = np.repeat(chosen, self.marks[:, 5])
        singles = np.repeat(chosen, self.marks[:, 7])
        return Block(
            self.marks[chosen], self.stamps[reads], self.objects[reads], self.sizes[reads], self.singles[singles]
        )

    def parts(self) -> tuple[Words | Seconds, ...]:
        """Return the columns in the order in which files hold them."""
        return self.marks, self.stamps, self.objects, self.sizes, self.singles


def fresh_block(words: Words, half: int) -> Block:
    """Return the committed operations of a half."""
    marks = marks_of(words, half)
    empty = np.flatnonzero(marks[:, 0] == 0)
    marks = marks[: empty[0]] if len(empty) else marks
    reads, singles = int(marks[:, 5].sum()), int(marks[:, 7].sum())
    start = half_start(half)
    return _block(words[start:], marks, reads, singles, (STAMPS_AT, OBJECTS_AT, SIZES_AT, SINGLES_AT))


def packed_block(words: Words, marks: int, reads: int, singles: int) -> Block:
    """Return the block whose columns follow each other without gaps, as chunks of the spans file hold them."""
    at = np.cumsum([marks * MARK_WORDS, reads * STAMPS, reads, reads]).tolist()
    return _block(words, words[: at[0]].reshape(marks, MARK_WORDS), reads, singles, (at[0], at[1], at[2], at[3]))


def packed_words(marks: int, reads: int, singles: int) -> int:
    """Return the length of such a block in words."""
    return marks * MARK_WORDS + reads * (STAMPS + 2) + singles * SINGLE_WORDS


def _block(words: Words, marks: Words, reads: int, singles: int, at: tuple[int, int, int, int]) -> Block:
    stamps = words[at[0] : at[0] + reads * STAMPS].view(np.float64).reshape(reads, STAMPS)
    single = words[at[3] : at[3] + singles * SINGLE_WORDS].reshape(singles, SINGLE_WORDS)
    return Block(marks, stamps, words[at[1] : at[1] + reads], words[at[2] : at[2] + reads], single)


class Operations:
    """Decoded operations, column by column; one row per operation."""

    __slots__ = ("batch", "duration_ns", "error", "hit", "kind", "note", "object", "phase", "size_bytes", "start_ns")

    def __init__(self, block: Block) -> None:
        """Decode a block; object reads become three operations each."""
        reads, one = len(block.stamps), block.singles
        nothing = np.zeros(reads, dtype=np.int64)
        starts = np.rint(block.stamps[:, :3] * 1e9).astype(np.int64)
        self.kind = np.concatenate([np.repeat(_READ_PARTS, reads), one[:, 0] & KIND_MASK])
        self.note = np.concatenate([np.repeat(_READ_NOTES, reads), one[:, 0] >> NOTE_SHIFT])
        self.start_ns = np.concatenate([starts.T.ravel(), one[:, 1]])
        self.duration_ns = np.concatenate([durations_ns(block.stamps).astype(np.int64).ravel(), one[:, 2] - one[:, 1]])
        sizes = np.concatenate([nothing, block.sizes, nothing, one[:, 3]])
        self.size_bytes, self.hit = sizes & BYTES_MASK, sizes >> HIT_SHIFT
        self.object = np.concatenate([*[block.objects] * 3, one[:, 4]])
        self.error = np.concatenate([*[nothing] * 3, one[:, 5]])
        self.batch = np.concatenate([*[block.of_reads(2)] * 3, block.of_singles(2)])
        self.phase = np.concatenate([*[block.of_reads(0)] * 3, block.of_singles(0)])


_READ_PARTS = np.array([Kind.OPEN, Kind.READ, Kind.CLOSE], dtype=np.int64)
"""What an object read consists of, in the order of its stamps."""
_READ_NOTES = np.array([1, 1, 0], dtype=np.int64)
"""What is known of each: opened plainly, read from the first byte."""


def add_to_counts(counts: Words, block: Block) -> list[int]:
    """Add a block to one copy of the statistics, in place; return the slots that changed."""
    changed: set[int] = set()
    # Not numpy.unique: its first call imports numpy.ma, 30 ms in the middle of some worker's batch.
    phases = sorted(set(block.marks[:, 0].tolist()))
    for phase in phases:
        part = block if len(phases) == 1 else block.where(block.marks[:, 0] == phase)
        if len(part.stamps):
            changed.update(_add_reads(counts, phase - 1, part))
        if len(part.singles):
            changed.update(_add_singles(counts, phase - 1, part.singles))
    return sorted(changed)


def _add_reads(counts: Words, phase: int, block: Block) -> list[int]:
    """Add object reads: their three operations in one pass, since this runs while a worker could be reading."""
    counted = np.zeros(len(_READ_PARTS) * BUCKETS, dtype=np.int64)
    total, shortest, longest = count_durations()(np.ascontiguousarray(block.stamps), counted, SUB_BITS)
    slots = []
    for part, kind in enumerate(_READ_PARTS.tolist()):
        size_bytes = int((block.sizes & BYTES_MASK).sum()) if kind == Kind.READ else 0
        facts = (len(block.stamps), size_bytes, 0, total[part], shortest[part], longest[part])
        slots.append(_add(counts, phase, kind, facts, counted[part * BUCKETS : (part + 1) * BUCKETS]))
    return slots


def _add_singles(counts: Words, phase: int, singles: Words) -> list[int]:
    """Add other operations, sorted by kind once: a mask for each kind would go over all of them again."""
    order = np.argsort(singles[:, 0].astype(np.uint8), kind="stable")
    kinds, start_ns, end_ns, size_bytes, _, error = np.ascontiguousarray(singles[order].T)
    kinds &= KIND_MASK
    durations, failed, size_bytes = end_ns - start_ns, error != 0, size_bytes & BYTES_MASK
    buckets = bucket_of(durations)
    bounds = [0, *(np.flatnonzero(np.diff(kinds)) + 1).tolist(), len(kinds)]
    slots = []
    for start, stop in pairwise(bounds):
        took = durations[start:stop]
        facts = (
            stop - start,
            int(size_bytes[start:stop].sum()),
            int(np.count_nonzero(failed[start:stop])),
            int(took.sum()),
            int(took.min()),
            int(took.max()),
        )
        histogram = np.bincount(buckets[start:stop], minlength=BUCKETS)
        slots.append(_add(counts, phase, int(kinds[start]), facts, histogram))
    return slots


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


def open_words(path: Path) -> Words:
    """Map an operations file for reading.

    Raises:
        ValueError: the file is not a whole operations file, or of another version.
    """
    size_bytes = path.stat().st_size
    magic = int(np.fromfile(path, dtype=np.int64, count=1)[0]) if size_bytes >= WORD else 0
    if magic not in _READABLE and magic >> _VERSION_BITS == MAGIC >> _VERSION_BITS:
        raise ValueError(f"{path}: written by another version of ioprof: report the run with that one")
    if size_bytes != FILE_BYTES:
        raise ValueError(f"{path}: {size_bytes} bytes, an operations file has {FILE_BYTES}")
    if magic not in _READABLE:
        raise ValueError(f"{path}: not an operations file")
    words: Words = np.memmap(path, dtype=np.int64, mode="r")
    return words
