"""The operations file: blocks decode to operations, and a file that is none is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ioprof.trace.kinds import Kind, Phase
from ioprof.trace.opsfile import (
    COUNTERS,
    FILE_BYTES,
    HALF_WORDS,
    KINDS,
    MAGIC,
    SLOT_OF_KIND,
    SLOT_WORDS,
    SLOTS,
    Block,
    Header,
    Operations,
    add_to_counts,
    counts_of,
    fresh_block,
    half_start,
    open_words,
    packed_block,
    packed_words,
)
from ioprof.trace.place_word import DIRECT_OPEN, kind_at


def _mark(phase: Phase, batch: int, reads: int, singles: int) -> list[int]:
    return [int(phase) + 1, 0, batch, 0, 0, reads, 0, singles]


def _block() -> Block:
    """Discovery lists once; batch 4 reads object 7 and stats 8, which fails; batch 5 reads object 9."""
    marks = [_mark(Phase.DISCOVERY, -1, 0, 1), _mark(Phase.WARMUP, 4, 1, 1), _mark(Phase.STEADY, 5, 1, 0)]
    stamps_ns = [[1000, 1010, 1100, 1105], [3000, 3001, 3003, 3007]]
    singles = [[Kind.LIST, 10, 30, 0, -1, 0], [Kind.STAT, 2000, 2001, 0, 8, 2]]
    return Block(np.array(marks), np.array(stamps_ns) / 1e9, np.array([7, 9]), np.array([4096, 512]), np.array(singles))


def _rows(block: Block) -> set[tuple[int, ...]]:
    decoded = Operations(block)
    columns = ("kind", "batch", "phase", "start_ns", "duration_ns", "size_bytes", "object", "error")
    return {tuple(row) for row in np.stack([getattr(decoded, name) for name in columns], axis=1).tolist()}


def test_an_object_read_is_an_open_a_read_and_a_close() -> None:
    """Each ends where the next begins; the bytes belong to the read; the mark says batch and phase."""
    assert _rows(_block()) == {
        (Kind.LIST, -1, Phase.DISCOVERY, 10, 20, 0, -1, 0),
        (Kind.OPEN, 4, Phase.WARMUP, 1000, 10, 0, 7, 0),
        (Kind.READ, 4, Phase.WARMUP, 1010, 90, 4096, 7, 0),
        (Kind.CLOSE, 4, Phase.WARMUP, 1100, 5, 0, 7, 0),
        (Kind.STAT, 4, Phase.WARMUP, 2000, 1, 0, 8, 2),
        (Kind.OPEN, 5, Phase.STEADY, 3000, 1, 0, 9, 0),
        (Kind.READ, 5, Phase.STEADY, 3001, 2, 512, 9, 0),
        (Kind.CLOSE, 5, Phase.STEADY, 3003, 4, 0, 9, 0),
    }


def test_what_is_noted_of_an_operation_changes_nothing_else_of_it() -> None:
    """Decoded and counted it is the same kind as the bare one; the note is beside it."""
    singles = [
        [kind_at(Kind.READ, 1 << 50), 0, 5, 10, 7, 0],
        [Kind.READ, 5, 9, 10, 7, 0],
        [DIRECT_OPEN, 9, 11, 0, 7, 0],
    ]
    marks, nothing = np.array([_mark(Phase.STEADY, 0, 0, 3)]), np.zeros(0, dtype=np.int64)
    block = Block(marks, np.zeros((0, 4)), nothing, nothing, np.array(singles))
    decoded = Operations(block)
    assert decoded.kind.tolist() == [Kind.READ, Kind.READ, Kind.OPEN]
    assert decoded.note.tolist() == [(1 << 50) + 1, 0, 2]
    counts = np.zeros((SLOTS, SLOT_WORDS), dtype=np.int64)
    add_to_counts(counts, block)
    steady = counts[int(Phase.STEADY) * len(KINDS) :]
    assert [int(steady[SLOT_OF_KIND[kind], 0]) for kind in (Kind.OPEN, Kind.READ)] == [1, 2]
    assert counts[:, 0].sum() == 3


@pytest.mark.parametrize("chosen", [[True, False, False], [False, True, False], [True, False, True], [False] * 3])
def test_a_choice_of_marks_takes_their_operations_along(chosen: list[bool]) -> None:
    """Whole batches, and none of another."""
    block = _block()
    batches = {int(batch) for batch, kept in zip(block.marks[:, 2], chosen, strict=True) if kept}
    assert _rows(block.where(np.array(chosen))) == {row for row in _rows(block) if row[1] in batches}


def test_statistics_are_kept_apart_by_phase_and_kind_and_the_changed_ones_are_named() -> None:
    """Only what changed has to be copied at the next flush."""
    counts = np.zeros((SLOTS, SLOT_WORDS), dtype=np.int64)
    changed = add_to_counts(counts, _block())
    assert changed == sorted(set(np.flatnonzero(counts[:, 0]).tolist()))
    row = counts[Phase.WARMUP * len(KINDS) + KINDS.index(Kind.STAT)]
    assert row[:COUNTERS].tolist() == [1, 0, 1, 1, 1, 1]
    assert counts[:, 0].sum() == counts[:, COUNTERS:].sum() == 8
    assert counts[:, 1].sum() == 4096 + 512


def test_adding_in_parts_is_adding_at_once() -> None:
    """However the batches fall into blocks."""
    block = _block()
    whole, parts = (np.zeros((SLOTS, SLOT_WORDS), dtype=np.int64) for _ in range(2))
    add_to_counts(whole, block)
    for mark in range(3):
        add_to_counts(parts, block.where(np.arange(3) == mark))
    assert np.array_equal(whole, parts)


def test_nothing_adds_nothing() -> None:
    """An empty half is no error."""
    counts = np.zeros((SLOTS, SLOT_WORDS), dtype=np.int64)
    nothing = fresh_block(np.zeros(FILE_BYTES // 8, dtype=np.int64), 0)
    assert add_to_counts(counts, nothing) == []
    assert not counts.any()
    assert len(Operations(nothing).kind) == 0


def test_a_packed_block_reads_back_as_itself() -> None:
    """The spans file holds columns one after the other, without gaps."""
    block = _block()
    words = np.frombuffer(b"".join(part.tobytes() for part in block.parts()), dtype=np.int64)
    assert len(words) == packed_words(3, 2, 2)
    assert _rows(packed_block(words, 3, 2, 2)) == _rows(block)


def test_the_regions_of_the_file_do_not_overlap() -> None:
    """Header, two copies, two halves, and nothing else."""
    words = np.zeros(FILE_BYTES // 8, dtype=np.int64)
    halves = [words[half_start(half) : half_start(half) + HALF_WORDS] for half in (0, 1)]
    for region in (counts_of(words, 0), counts_of(words, 1), *halves):
        np.add(region, 1, out=region)
    assert set(np.unique(words)) == {0, 1}
    assert words[: max(Header) + 1].sum() == 0
    assert words[-1] == 1


def test_a_file_that_is_no_operations_file_is_refused(tmp_path: Path) -> None:
    """Truncated, of another kind, or reserved and never begun."""
    path = tmp_path / "ops-0-0-1.ops"
    path.write_bytes(b"\0" * 100)
    with pytest.raises(ValueError, match="100 bytes, an operations file has"):
        open_words(path)
    path.write_bytes(b"\0" * FILE_BYTES)
    with pytest.raises(ValueError, match="not an operations file"):
        open_words(path)
    for readable in (MAGIC, MAGIC - 1):
        path.write_bytes(readable.to_bytes(8, "little") + b"\0" * (FILE_BYTES - 8))
        assert open_words(path)[Header.GENERATION] == 0


@pytest.mark.parametrize("size_bytes", [FILE_BYTES, FILE_BYTES - 8192])
def test_a_file_of_another_version_is_called_that(tmp_path: Path, size_bytes: int) -> None:
    """A run that was killed before an update: its operations are not damaged, only of another layout."""
    path = tmp_path / "ops-0-0-1.ops"
    path.write_bytes((MAGIC - 2).to_bytes(8, "little"))
    with path.open("r+b") as file:
        file.truncate(size_bytes)
    with pytest.raises(ValueError, match="written by another version of ioprof"):
        open_words(path)
