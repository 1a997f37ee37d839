"""A recording process killed at any line: its file holds the old state or the new one, never a mixture."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from types import FrameType

import pytest

from ioprof.trace import opsfile, recorder
from ioprof.trace.recorder import Recorder
from tests.recorded_batches import check, record_batch

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


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
            record_batch(target, number)
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
        check(folder, ended, batches)
        (next(folder.glob("*.ops"))).unlink()
        if status == 0:
            break
        assert status == signal.SIGKILL
        killed, line = killed + 1, line + 5
    assert killed > 20
