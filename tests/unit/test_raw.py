"""Raw files as processes leave them, however they died."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from ioprof.trace import opsfile
from ioprof.trace.opsfile import HALF_WORDS, MARK_WORDS, Header, half_start, marks_of
from ioprof.trace.raw import (
    kernel_io,
    lost_records,
    raw_batches,
    raw_epochs,
    raw_operations,
    raw_processes,
    raw_spans,
    raw_steps,
    sample_every,
    spans_traced,
    worker_time_ns,
)
from ioprof.trace.recorder import Recorder
from tests.recorded_batches import READS, check, record_batch

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


@pytest.mark.parametrize("words", range(MARK_WORDS + 1))
def test_a_batch_that_was_half_moved_when_the_process_died_is_left_out(trace_dir: Path, words: int) -> None:
    """The columns come first, then the mark from the left, its first word last; SIGKILL may stop it at any word."""
    target = Recorder(str(trace_dir), rank=0, worker=0, span_budget=10**6)
    record_batch(target, 0)
    record_batch(target, 1)
    target.close()
    written = np.memmap(next(trace_dir.glob("*.ops")), dtype=np.int64, mode="r+")
    mark = marks_of(written, 0)[1]
    assert mark[0] != 0
    mark[0] = 0
    mark[words:] = 0
    check(trace_dir, 1, 1)


def test_what_stands_beyond_the_marks_is_never_read(trace_dir: Path) -> None:
    """A half is used again without being cleared, apart from its marks."""
    target = Recorder(str(trace_dir), rank=0, worker=0, span_budget=10**6)
    written = np.memmap(next(trace_dir.glob("*.ops")), dtype=np.int64, mode="r+")
    columns = written[half_start(0) : half_start(0) + HALF_WORDS][marks_of(written, 0).size :]
    columns[:] = 12345
    record_batch(target, 0)
    target.close()
    check(trace_dir, 1, 1)


def test_a_process_killed_before_it_began_leaves_a_caveat_and_no_numbers(trace_dir: Path) -> None:
    """The file is reserved first and marked last."""
    (trace_dir / "ops-0-0-1.ops").write_bytes(b"\0" * opsfile.FILE_BYTES)
    (trace_dir / "ops-0-1-2.ops").write_bytes(b"short")
    processes, caveats = raw_processes(trace_dir)
    assert processes == []
    assert [caveat.split(":")[0] for caveat in caveats] == ["operations of one process are lost"] * 2


def test_one_torn_file_does_not_hide_the_others(trace_dir: Path) -> None:
    """What can be read is read."""
    target = Recorder(str(trace_dir), rank=0, worker=3, span_budget=10**6)
    record_batch(target, 0)
    target.close()
    (trace_dir / "ops-0-9-9.ops").write_bytes(b"\0" * 17)
    processes, caveats = raw_processes(trace_dir)
    assert [process.header(Header.WORKER) for process in processes] == [3]
    assert len(caveats) == 1


@pytest.mark.parametrize("cut_bytes", [1, 8, 47, 48, 5000])
def test_a_spans_file_that_lost_its_end_still_gives_what_is_whole(trace_dir: Path, cut_bytes: int) -> None:
    """A power cut may take the end of a file; a chunk that is not whole is left out, and counts stay."""
    target = Recorder(str(trace_dir), rank=0, worker=0, span_budget=10**6)
    for number in range(6):
        record_batch(target, number)
    target.close()
    spans = next(trace_dir.glob("*.spans"))
    os.truncate(spans, spans.stat().st_size - cut_bytes)
    processes, _ = raw_processes(trace_dir)
    rows = [obj for chunk in raw_spans(processes) for obj in chunk["object"].to_pylist()]
    assert 0 < len(rows) < 6 * READS * 3
    assert max(np.bincount(rows)) == 3
    assert spans_traced(processes) == 6 * READS * 3


def test_spans_without_their_file_are_those_of_the_ring(trace_dir: Path) -> None:
    """Published runs may drop the spans file."""
    target = Recorder(str(trace_dir), rank=0, worker=0, span_budget=10**6)
    record_batch(target, 0, 10)
    target.close()
    next(trace_dir.glob("*.spans")).unlink()
    assert sum(chunk.num_rows for chunk in raw_spans(raw_processes(trace_dir)[0])) == 30


def test_totals_of_all_processes_are_added(trace_dir: Path) -> None:
    """Worker time and kernel counters: the first reading is taken from the last, worker by worker."""
    for worker in (0, 1):
        target = Recorder(str(trace_dir), rank=0, worker=worker, span_budget=10**6)
        target.note_batch(500)
        target.note_batch(700)
        if worker:
            target.note_io(100, 4096, 1000, 4096, touched_page_bytes=4096)
            target.note_io(150, 8192, 1200, 4096)
            target.note_io(300, 12288, 1500, 8192, touched_page_bytes=20480)
        target.close()
    processes, _ = raw_processes(trace_dir)
    assert worker_time_ns(processes) == 2400
    assert lost_records(processes) == 0
    found = kernel_io(processes)
    assert found is not None
    assert [(io.worker, io.tapped_bytes, io.rchar_bytes, io.read_bytes) for io in found] == [(1, 200, 500, 4096)]
    assert [(io.tapped_page_bytes, io.touched_page_bytes) for io in found] == [(8192, 16384)]


def test_an_empty_folder_is_an_empty_trace(trace_dir: Path) -> None:
    """A run that was killed before its loader opened reads as a run without steps."""
    processes, caveats = raw_processes(trace_dir)
    assert (processes, caveats) == ([], [])
    assert raw_operations(processes).num_rows == raw_steps(trace_dir).num_rows == raw_batches(trace_dir).num_rows == 0
    assert list(raw_spans(processes)) == []
    assert raw_epochs(trace_dir) == []
    assert (sample_every(processes), kernel_io(processes)) == (1, None)
