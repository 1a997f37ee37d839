"""Batches of one shape, recorded and found again: what tests of dying recorders check."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from ioprof.trace.kinds import Kind, Phase
from ioprof.trace.raw import raw_operations, raw_processes, raw_spans
from ioprof.trace.recorder import READ_STAMPS, Recorder

READS = 3600
"""Per batch: three batches do not fit a ring, so every third one flushes."""


def record_batch(target: Recorder, number: int, reads: int = READS) -> None:
    """Record a batch of object reads whose objects go on where those of the batch before end."""
    target.begin(int(Phase.STEADY), batch=number, start_ns=1)
    at_s = (1000.0 + number + index / READS for index in range(reads))
    stamps = [at + part * 1e-6 for at in at_s for part in range(4)]
    add_reads(target, stamps, range(number * READS, number * READS + reads), [10] * reads)
    target.end()


def add_reads(target: Recorder, stamps_s: Sequence[float], objects: Sequence[int], sizes_bytes: Sequence[int]) -> None:
    """Record object reads of four stamps each, as a tap does."""
    at = target.room(len(objects))
    for read in range(len(objects)):
        READ_STAMPS.pack_into(target.mapping, at + read * READ_STAMPS.size, *stamps_s[read * 4 : read * 4 + 4])
    target.name_reads(objects, sizes_bytes, sum(stamps_s[3::4]) - sum(stamps_s[0::4]))


def check(folder: Path, least: int, most: int) -> int:
    """Check that the file tells of whole batches, all of them, none twice; return how many."""
    processes, caveats = raw_processes(folder)
    assert caveats == []
    counts = {row["kind"]: row for row in raw_operations(processes).to_pylist()}
    operations = {kind: row["count"] for kind, row in counts.items()}
    batches, rest = divmod(operations.get(int(Kind.READ), 0), READS)
    assert rest == 0
    assert least <= batches <= most
    assert set(operations.values()) <= {batches * READS}
    objects = [
        obj
        for chunk in raw_spans(processes)
        for kind, obj in zip(chunk["kind"].to_pylist(), chunk["object"].to_pylist(), strict=True)
        if kind == Kind.READ
    ]
    assert objects == list(range(batches * READS))
    for row in counts.values():
        assert row["min_ns"] >= 0
        assert row["total_ns"] == pytest.approx(1000 * row["count"], rel=0.01)
        assert sum(row["buckets"]) == row["count"]
    return batches
