"""The raw files of a run, as its processes left them, read as tables.

A process may have been killed at any instant; what it had committed is here, and nothing half-written is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from ioprof.trace import opsfile
from ioprof.trace.hits import ALL_CACHED, UNKNOWN
from ioprof.trace.kinds import Kind, Phase
from ioprof.trace.opsfile import COUNTERS, KINDS, Block, CacheWord, Header, Operations, Words
from ioprof.trace.place_word import DIRECT_OPEN, NOTE_SHIFT
from ioprof.trace.recordlog import read_log
from ioprof.trace.run_record import CacheCounts, EpochRecord, HeldKind, HeldOperations, KernelIo, PageFaults
from ioprof.trace.sampling import sampled
from ioprof.trace.schema import BATCHES, CHECKPOINTS, OPERATIONS, SPANS, STEPS

EPOCHS = pa.schema(
    [
        pa.field("epoch", pa.int64(), nullable=False),
        pa.field("at_end", pa.int64(), nullable=False),
        pa.field("time_ns", pa.int64(), nullable=False),
    ]
)
"""Internal: an epoch's start (at_end = 0) and end (1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RawProcess:
    """What one recording process left."""

    path: Path
    words: Words

    @property
    def spans_path(self) -> Path:
        """The file of its kept spans."""
        return self.path.with_suffix(".spans")

    def header(self, word: Header) -> int:
        """Return one header word."""
        return int(self.words[word])

    def fresh_block(self) -> Block:
        """Return the operations not yet folded into statistics and spans file."""
        return opsfile.fresh_block(self.words, self.header(Header.GENERATION) & 1)

    def counts(self) -> Words:
        """Return the statistics with the fresh operations added, shape (SLOTS, SLOT_WORDS)."""
        counts = opsfile.counts_of(self.words, self.header(Header.GENERATION) & 1).copy()
        opsfile.add_to_counts(counts, self.fresh_block())
        return counts


def raw_processes(raw: Path) -> tuple[list[RawProcess], list[str]]:
    """Return the recording processes of a run, and a caveat for each file that could not be read."""
    processes, caveats = [], []
    for path in sorted(raw.glob("ops-*.ops")):
        try:
            processes.append(RawProcess(path=path, words=opsfile.open_words(path)))
        except (ValueError, OSError) as error:
            caveats.append(f"operations of one process are lost: {error}")
    return processes, caveats


def raw_steps(raw: Path) -> pa.Table:
    """Return the steps of all ranks."""
    return _ranked(raw, "steps", STEPS)


def raw_batches(raw: Path) -> pa.Table:
    """Return the batches of all ranks."""
    return _ranked(raw, "batches", BATCHES)


def raw_checkpoints(raw: Path) -> pa.Table:
    """Return the saves and restores of all ranks; none where none was asked for."""
    return _ranked(raw, "checkpoints", CHECKPOINTS)


def _ranked(raw: Path, table: str, schema: pa.Schema) -> pa.Table:
    tables = [read_log(path, schema) for path in sorted(raw.glob(f"{table}-*.log"))]
    return pa.concat_tables(tables) if tables else schema.empty_table()


def raw_epochs(raw: Path) -> list[EpochRecord]:
    """Return the epochs of rank 0; one that never ended, ends with its last step."""
    return epochs_with(raw, read_log(raw / "steps-0.log", STEPS))


def epochs_with(raw: Path, steps: pa.Table) -> list[EpochRecord]:
    """Return the same for who has read the steps of rank 0 already."""
    events = read_log(raw / "epochs-0.log", EPOCHS).to_pylist()
    return epochs_from(events, steps["busy_end_ns"][-1].as_py() if len(steps) else None)


def epochs_from(events: list[dict[str, int]], last_ns: int | None) -> list[EpochRecord]:
    """Return the epochs that events tell of.

    Args:
        events: rows of `EPOCHS`.
        last_ns: when the last step ended; None: there was none.
    """
    ends = {event["epoch"]: event["time_ns"] for event in events if event["at_end"]}
    return [
        EpochRecord(epoch=event["epoch"], start_ns=event["time_ns"], end_ns=end_ns)
        for event in events
        if not event["at_end"]
        and (end_ns := ends.get(event["epoch"], last_ns)) is not None
        and end_ns >= event["time_ns"]
    ]


def raw_operations(processes: list[RawProcess]) -> pa.Table:
    """Return the exact statistics, a row per process, phase and kind that occurred."""
    rows: dict[str, list[object]] = {name: [] for name in OPERATIONS.names}
    for process in processes:
        counts = process.counts()
        for slot in np.flatnonzero(counts[:, 0]):
            phase, kind = divmod(int(slot), len(KINDS))
            values = [process.header(Header.RANK), process.header(Header.WORKER), int(Phase(phase)), int(KINDS[kind])]
            values += [int(value) for value in counts[slot, :COUNTERS]]
            for name, value in zip(OPERATIONS.names, [*values, counts[slot, COUNTERS:]], strict=True):
                rows[name].append(value)
    arrays = [pa.array(rows[field.name], type=field.type) for field in OPERATIONS]
    return pa.Table.from_arrays(arrays, schema=OPERATIONS)


def sample_every(processes: list[RawProcess]) -> int:
    """Return the N of "1 in N batches traced in full" that holds for the whole run."""
    return max((process.header(Header.SAMPLE_EVERY) for process in processes), default=1)


def raw_spans(processes: list[RawProcess]) -> Iterator[pa.RecordBatch]:
    """Yield the spans of all processes, evenly thinned to the run's final sampling."""
    every = sample_every(processes)
    for process in processes:
        for block in _kept_blocks(process):
            spans = _spans_of(process, sampled(block, every))
            if spans.num_rows:
                yield spans


def _kept_blocks(process: RawProcess) -> Iterator[Block]:
    """Yield the committed chunks of the spans file, then the fresh operations."""
    committed = process.header(Header.GENERATION)
    words = np.zeros(0, dtype=np.int64)
    if process.spans_path.exists() and process.spans_path.stat().st_size >= opsfile.WORD:
        whole = process.spans_path.stat().st_size // opsfile.WORD
        words = np.memmap(process.spans_path, dtype=np.int64, mode="r", shape=(whole,))
    position = 0
    while len(words) - position >= opsfile.CHUNK_HEAD_WORDS and words[position] == opsfile.CHUNK_MARK:
        _, generation, *counted, _ = (int(word) for word in words[position : position + opsfile.CHUNK_HEAD_WORDS])
        marks, reads, singles = counted
        position += opsfile.CHUNK_HEAD_WORDS
        stop = position + opsfile.packed_words(marks, reads, singles)
        # A chunk of the current generation was written by a flush that never finished: the half still has it.
        if generation >= committed or stop > len(words):
            break
        yield opsfile.packed_block(words[position:stop], marks, reads, singles)
        position = stop
    yield process.fresh_block()


def _spans_of(process: RawProcess, block: Block) -> pa.RecordBatch:
    operations = Operations(block)
    count = len(operations.kind)
    columns = {
        "rank": np.full(count, process.header(Header.RANK)),
        "worker": np.full(count, process.header(Header.WORKER)),
        "batch": operations.batch,
        "kind": operations.kind,
        "start_ns": operations.start_ns,
        "duration_ns": operations.duration_ns,
        "bytes": operations.size_bytes,
        "object": operations.object,
        "error": operations.error,
    }
    told = {"client_hit": pa.array(operations.hit == ALL_CACHED, mask=operations.hit == UNKNOWN), **_noted(operations)}
    arrays = [
        told[field.name] if field.name in told else pa.array(columns[field.name]).cast(field.type) for field in SPANS
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=SPANS)


def _noted(operations: Operations) -> dict[str, pa.Array]:
    """Return the columns that are known of some operations only."""
    unknown = operations.note == 0
    opened = operations.kind == Kind.OPEN
    return {
        "offset": pa.array(operations.note - 1, mask=unknown | opened),
        "direct": pa.array(operations.note == DIRECT_OPEN >> NOTE_SHIFT, mask=unknown | ~opened),
    }


def kernel_io(processes: list[RawProcess]) -> list[KernelIo] | None:
    """Return each worker's /proc/PID/io between its first and last reading; None where there was no reading."""
    return [
        KernelIo(
            worker=process.header(Header.WORKER),
            tapped_bytes=process.header(Header.IO_LAST_TAPPED) - process.header(Header.IO_FIRST_TAPPED),
            tapped_page_bytes=process.header(Header.IO_LAST_PAGES) - process.header(Header.IO_FIRST_PAGES),
            touched_page_bytes=process.header(Header.IO_LAST_TOUCHED) - process.header(Header.IO_FIRST_TOUCHED) or None,
            mapped_bytes=process.header(Header.IO_LAST_MAPPED) - process.header(Header.IO_FIRST_MAPPED),
            rchar_bytes=process.header(Header.IO_LAST_RCHAR) - process.header(Header.IO_FIRST_RCHAR),
            read_bytes=process.header(Header.IO_LAST_READ) - process.header(Header.IO_FIRST_READ),
            latent_files=process.header(Header.LATENT_FILES),
            latent_bytes=process.header(Header.LATENT_BYTES),
            object_bytes=process.header(Header.OBJECT_BYTES),
            major_faults=_major_faults(process),
        )
        for process in processes
        if process.header(Header.IO_KNOWN)
    ] or None


def _major_faults(process: RawProcess) -> int | None:
    if not process.header(Header.MAJOR_FAULTS_KNOWN):
        return None
    return process.header(Header.MAJOR_FAULTS_LAST) - process.header(Header.MAJOR_FAULTS_FIRST)


def page_faults(processes: list[RawProcess]) -> list[PageFaults]:
    """Return the page faults of copies out of mapped files, for each worker and phase that made such copies."""
    touched = opsfile.SLOT_OF_KIND[Kind.TOUCH]
    return [
        PageFaults(
            worker=process.header(Header.WORKER),
            phase=phase.label,
            major=major,
            minor=minor,
            waiting_touches=waiting,
        )
        for process in processes
        for counts in (process.counts(),)
        for phase, (major, minor, waiting) in zip(Phase, opsfile.faults_of(process.words).tolist(), strict=True)
        if counts[int(phase) * len(KINDS) + touched, 0]
    ]


def held_operations(processes: list[RawProcess]) -> HeldOperations | None:
    """Return how many operations a throttle held back; None where there was none, or nothing to hold."""
    sums = sum((opsfile.held_of(process.words) for process in processes), np.zeros((len(KINDS), opsfile.HELD_WORDS)))
    by_kind = {
        kind.label: HeldKind(operations=int(operations), asked_ns=int(asked_ns), given_ns=int(given_ns))
        for kind, (operations, asked_ns, given_ns) in zip(KINDS, sums.tolist(), strict=True)
        if operations
    }
    slower = sum(process.header(Header.HELD_SLOWER) for process in processes)
    held = sum(one.operations for one in by_kind.values())
    return HeldOperations(operations=held, slower=slower, by_kind=by_kind) if held else None


def cache_counts(processes: list[RawProcess]) -> list[CacheCounts]:
    """Return what was counted of the page cache, for each worker and phase that made batches."""
    return [
        CacheCounts(
            worker=process.header(Header.WORKER),
            phase=phase.label,
            method=opsfile.CACHE_METHODS[max(0, process.header(Header.CACHE_METHOD))] or None,
            **{word.name.lower(): counts[word] for word in CacheWord},
        )
        for process in processes
        for phase, counts in zip(Phase, opsfile.cache_of(process.words).tolist(), strict=True)
        if counts[CacheWord.BATCHES]
    ]


def spans_traced(processes: list[RawProcess]) -> int:
    """Return how many operations were recorded, kept in full or not."""
    return sum(int(process.counts()[:, 0].sum()) for process in processes)


def worker_time_ns(processes: list[RawProcess]) -> int:
    """Return the time spent on batches, fetch start to collate end, summed over workers."""
    return sum(process.header(Header.WORKER_TIME_NS) for process in processes)


def hooks_ns(processes: list[RawProcess]) -> int | None:
    """Return the CPU time of the hooks around all batches, judged by those in which it was measured; None: in none."""
    found = [_hooks_ns(process) for process in processes if process.header(Header.BATCHES)]
    return sum(one for one in found if one is not None) if any(one is not None for one in found) else None


def _hooks_ns(process: RawProcess) -> int | None:
    accounted, timed = process.header(Header.HOOKS_ACCOUNTED), process.header(Header.HOOKS_TIMED)
    accounted_ns, timed_ns = process.header(Header.HOOKS_ACCOUNTED_NS), process.header(Header.HOOKS_TIMED_NS)
    if not accounted and not timed:
        return None
    of_others_ns = timed_ns / timed if timed else accounted_ns / accounted
    return accounted_ns + round((process.header(Header.BATCHES) - accounted) * of_others_ns)


def flush_ns(processes: list[RawProcess]) -> int:
    """Return the CPU time spent on folding operations into statistics."""
    return sum(process.header(Header.FLUSH_NS) for process in processes)


def lost_records(processes: list[RawProcess]) -> int:
    """Return the span records lost because the results disk was full."""
    return sum(process.header(Header.LOST_RECORDS) for process in processes)
