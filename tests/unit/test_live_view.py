"""What the live view shows of a moment, and what it knows of worker processes and clocks."""

from __future__ import annotations

import io
import itertools
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from ioprof.cli.live_view import WorkerLine, view
from ioprof.host.process_state import process_state
from ioprof.host.wall_clock import wall_clock_at_end, wall_clock_at_start, wall_offset_ns
from ioprof.trace.follow import KindRate, Snapshot

SNAPSHOT = Snapshot(
    elapsed_ns=9_130_000_000,
    epoch=26,
    steps=2069,
    done_ratio=0.6,
    left_ns=5.7e9,
    utilization_now=0.4,
    utilization=0.5,
    idle_by_cause={"storage": 0.45, "decode": 0.1, "loader": 0.001, "hand-over": 0.049},
    samples_per_s=16_808,
    iops=43_208,
    bytes_per_s=59e6,
    kinds=[KindRate(label="open", per_s=14_403, p50_ns=1880, p99_ns=6180)],
    workers=[],
)


def shown(workers: list[WorkerLine], width: int = 80) -> list[str]:
    """Return the lines of the screen."""
    console = Console(file=io.StringIO(), width=width, no_color=True)
    console.print(view(SNAPSHOT, workers))
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined, no-any-return]


def worker(number: int, state: str = "waiting") -> WorkerLine:
    """Return a worker that is busy most of the time."""
    return WorkerLine(worker=number, state=state, busy_ratio=0.96, cpu_ratio=0.31)


@pytest.mark.parametrize("width", [80, 140])
def test_idle_bars_are_on_the_scale_of_the_gauge(width: int) -> None:
    """Largest first; what is less than half a percent is left out; the estimate is called one."""
    lines = shown([], width)
    bars = {line.split()[0]: line.count("█") for line in lines if "█" in line}
    assert list(bars) == ["accelerator", "storage", "decode", "hand-over"]
    # 30 columns are all of the time: 40 %, 45 %, 10 % and 4.9 % of it.
    assert list(bars.values()) == [12, 14, 3, 1]
    assert any("estimated" in line for line in lines)
    assert max(map(len, lines)) <= width


def test_many_workers_are_told_in_a_screen() -> None:
    """Four by name, the others by what they do: a screen of 24 lines must hold all."""
    states = itertools.cycle(["waiting", "blocked in I/O", "running"])
    lines = shown([worker(number, next(states)) for number in range(64)])
    assert "worker 3 makes batches 96.0 % CPU 31.0 % waiting" in [" ".join(line.split()) for line in lines]
    assert lines[-1].strip() == "and 60 more: 20 blocked in I/O, 20 running, 20 waiting"
    assert len(lines) < 24


def test_a_process_is_told_by_what_it_does_now(tmp_path: Path) -> None:
    """This one runs; one that has ended, or is a zombie, is none; a name with brackets does not mislead."""
    own = process_state(os.getpid())
    assert own is not None and own.word == "running" and own.cpu_s > 0
    child = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert process_state(child.pid) is None
    child.wait()
    assert process_state(child.pid) is None
    (tmp_path / "7").mkdir()
    fields = "7 (a) D (b)) D 1 2 3 4 5 6 7 8 9 10 100 250 0 0"
    (tmp_path / "7" / "stat").write_text(fields)
    found = process_state(7, tmp_path)
    assert found is not None and found.word == "blocked in I/O"
    assert found.cpu_s == 350 / os.sysconf("SC_CLK_TCK")


def test_the_wall_clock_is_read_where_the_run_clock_passed_least() -> None:
    """Of 15 tries the one that nothing came between counts; half its length is the error."""
    stamps = iter([0, 900, *[value for start in range(1000, 2400, 100) for value in (start, start + 40)]])
    assert wall_offset_ns(lambda: next(stamps), lambda: 5000) == (5000 - 1020, 20)
    offset_ns, error_ns = wall_clock_at_start().values()
    assert abs(time.time_ns() - time.perf_counter_ns() - offset_ns) < 10**8
    assert 0 <= error_ns < 10**7
    assert wall_clock_at_end().keys() == {"wall_offset_end_ns", "wall_offset_end_error_ns"}
