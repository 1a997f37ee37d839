"""A recording process killed at any line: its file holds the old state or the new one, never a mixture."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from types import FrameType

import pytest

from ioprof.trace import opsfile, recorder
from ioprof.trace.kinds import Kind, Phase
from ioprof.trace.raw import raw_operations, raw_processes, raw_spans
from ioprof.trace.recorder import Recorder

READS = 900
"""Per batch: three batches do not fit a ring, so every third one flushes."""

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


def _record_batch(target: Recorder, number: int, reads: int = READS) -> None:
    target.begin(int(Phase.STEADY), batch=number, start_ns=1)
    for index in range(reads):
        at_s = 1000.0 + number + index / READS
        target.stamps.extend((at_s, at_s + 1e-6, at_s + 2e-6, at_s + 3e-6))
        target.name_reads([number * READS + index], [10])
    target.end()


def _check(folder: Path, least: int, most: int) -> int:
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


def _die_at_line(number: int) -> None:
    """Let this process kill itself before the ``number``-th line that the recorder runs from now on."""
    files = {recorder.__file__, opsfile.__file__}
    left = number

    def on_line(frame: FrameType, event: str, argument: object) -> object:
        nonlocal left
        if frame.f_code.co_filename not in files:
            return None
        left -= event == "line"
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return on_line

    sys.settrace(on_line)


def _recording_child(folder: Path, line: int, batches: int) -> tuple[int, int]:
    """Record batches in a child that dies at a line; return how many it had ended, and its exit status."""
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        target = Recorder(str(folder), rank=0, worker=0, span_budget=10**6)
        for number in range(batches):
            if number == batches - 2:
                _die_at_line(line)
            _record_batch(target, number)
            os.write(tell, b".")
        os._exit(0)
    os.close(tell)
    _, status = os.waitpid(child, 0)
    with os.fdopen(told, "rb") as reader:
        return len(reader.read()), status


def test_a_process_killed_at_any_line_of_a_flush_leaves_the_old_state_or_the_new(tmp_path: Path) -> None:
    """Cut at every fifth line, loops unrolled: batches are there whole, once, and none that was ended is gone."""
    line, killed, batches = 0, 0, 5
    while True:
        folder = tmp_path / str(line)
        folder.mkdir()
        ended, status = _recording_child(folder, line, batches)
        _check(folder, ended, batches)
        (next(folder.glob("*.ops"))).unlink()
        if status == 0:
            break
        assert status == signal.SIGKILL
        killed, line = killed + 1, line + 5
    assert killed > 20
