"""The operations file: records decode to operations, and a file that is none is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ioprof.trace.kinds import Kind, Phase
from ioprof.trace.opsfile import (
    BATCH_MARK,
    COUNTERS,
    FILE_BYTES,
    KINDS,
    MAGIC,
    RECORD_WORDS,
    RING_RECORDS,
    SLOT_WORDS,
    SLOTS,
    Header,
    Operations,
    add_to_counts,
    carried_marks,
    counts_of,
    open_words,
    ring_of,
    used_records,
)


def _read(*stamps_ns: int, size_bytes: int, obj: int) -> list[int]:
    seconds = np.array([stamp / 1e9 for stamp in stamps_ns])
    return [*seconds.view(np.int64).tolist(), size_bytes, obj]


def _mark(batch: int, phase: Phase) -> list[int]:
    return [BATCH_MARK, 0, batch, int(phase), 0, 0]


RECORDS = np.array(
    [
        [-Kind.LIST, 10, 30, 0, -1, 0],
        _mark(4, Phase.WARMUP),
        _read(1000, 1010, 1100, 1105, size_bytes=4096, obj=7),
        [-Kind.STAT, 2000, 2001, 0, 8, 2],
        _mark(5, Phase.STEADY),
        _read(3000, 3001, 3003, 3007, size_bytes=512, obj=9),
    ],
    dtype=np.int64,
)


def test_an_object_read_is_an_open_a_read_and_a_close() -> None:
    """Each ends where the next begins; the bytes belong to the read."""
    decoded = Operations(RECORDS)
    columns = ("kind", "batch", "start_ns", "duration_ns", "size_bytes", "object", "error")
    table = np.stack([getattr(decoded, name) for name in columns], axis=1).tolist()
    rows = {(kind, batch): tuple(rest) for kind, batch, *rest in table}
    assert rows == {
        (Kind.LIST, -1): (10, 20, 0, -1, 0),
        (Kind.OPEN, 4): (1000, 10, 0, 7, 0),
        (Kind.READ, 4): (1010, 90, 4096, 7, 0),
        (Kind.CLOSE, 4): (1100, 5, 0, 7, 0),
        (Kind.STAT, 4): (2000, 1, 0, 8, 2),
        (Kind.OPEN, 5): (3000, 1, 0, 9, 0),
        (Kind.READ, 5): (3001, 2, 512, 9, 0),
        (Kind.CLOSE, 5): (3003, 4, 0, 9, 0),
    }


def test_records_belong_to_the_last_mark_before_them() -> None:
    """Before any mark there is no batch, and the phase is discovery."""
    batch, phase = carried_marks(RECORDS)
    assert batch.tolist() == [-1, 4, 4, 4, 5, 5]
    assert phase.tolist() == [Phase.DISCOVERY, *[Phase.WARMUP] * 3, *[Phase.STEADY] * 2]


def test_statistics_are_kept_apart_by_phase_and_kind_and_the_changed_ones_are_named() -> None:
    """Only what changed has to be copied at the next flush."""
    counts = np.zeros((SLOTS, SLOT_WORDS), dtype=np.int64)
    changed = add_to_counts(counts, RECORDS)
    assert changed == sorted(set(np.flatnonzero(counts[:, 0]).tolist()))
    row = counts[Phase.WARMUP * len(KINDS) + KINDS.index(Kind.STAT)]
    assert row[:COUNTERS].tolist() == [1, 0, 1, 1, 1, 1]
    assert counts[:, 0].sum() == counts[:, COUNTERS:].sum() == 8
    assert counts[:, 1].sum() == 4096 + 512


@given(st.integers(0, len(RECORDS)))
def test_adding_in_two_parts_is_adding_at_once(cut: int) -> None:
    """Provided the second part begins with the mark that it belongs to, as every flush does."""
    marks = RECORDS[:cut][RECORDS[:cut, 0] == BATCH_MARK]
    again = np.concatenate([marks[-1:], RECORDS[cut:]])
    whole, parts = (np.zeros((SLOTS, SLOT_WORDS), dtype=np.int64) for _ in range(2))
    add_to_counts(whole, RECORDS)
    add_to_counts(parts, RECORDS[:cut])
    add_to_counts(parts, again)
    assert np.array_equal(whole, parts)


def test_nothing_adds_nothing() -> None:
    """An empty ring is no error."""
    counts = np.zeros((SLOTS, SLOT_WORDS), dtype=np.int64)
    nothing = np.zeros((0, RECORD_WORDS), dtype=np.int64)
    assert add_to_counts(counts, nothing) == []
    assert not counts.any()
    assert len(Operations(nothing).kind) == 0


@given(st.integers(0, RING_RECORDS))
def test_the_used_part_of_a_ring_ends_at_its_first_empty_record(used: int) -> None:
    """A full ring has no empty one."""
    ring = np.zeros((RING_RECORDS, RECORD_WORDS), dtype=np.int64)
    ring[:used, 0] = -Kind.OPEN
    assert len(used_records(ring)) == used


def test_the_regions_of_the_file_do_not_overlap() -> None:
    """Header, two copies, two halves, and nothing else."""
    words = np.zeros(FILE_BYTES // 8, dtype=np.int64)
    for region in (counts_of(words, 0), counts_of(words, 1), ring_of(words, 0), ring_of(words, 1)):
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
    path.write_bytes(MAGIC.to_bytes(8, "little") + b"\0" * (FILE_BYTES - 8))
    assert open_words(path)[Header.GENERATION] == 0
