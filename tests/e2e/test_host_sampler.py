"""A real sampler beside real processes: it records, it ends with its parent, and its file always reads."""

from __future__ import annotations

import contextlib
import mmap
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from ioprof.host.metrics import METRICS
from ioprof.host.sampler import RAW_NAME, HostSampler, missing_metrics, read_host_raw


def series(table: pa.Table, metric: str) -> list[float]:
    """Values of one metric of the host, by time."""
    return [row["value"] for row in table.to_pylist() if row["metric"] == metric]


def await_true(claim: Callable[[], bool], timeout_s: float = 5.0) -> bool:
    """Wait until a claim holds; False when it did not in time."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if claim():
            return True
        time.sleep(0.01)
    return claim()


def is_gone(pid: int) -> bool:
    """Tell whether a process ended, also when nobody has waited for it yet."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True
    return stat.rpartition(")")[2].split()[0] == "Z"


def test_work_between_start_and_stop_is_in_the_series(tmp_path: Path) -> None:
    """CPU time, memory and open files of the watched process show, up to the reading taken at the end."""
    with HostSampler().start(tmp_path, os.getpid(), 0.05) as sampler:
        start_s = time.process_time()
        # A mapping of its own: what the heap gives may be memory that this process holds already.
        ballast = mmap.mmap(-1, 40 << 20)
        ballast.write(os.urandom(1 << 20) * 40)
        while time.process_time() - start_s < 0.4:
            pass
    assert sampler.failure is None
    assert len(ballast) == 40 << 20
    table = read_host_raw(tmp_path / RAW_NAME)
    cpu_s, rss_bytes = series(table, "tree_cpu_s_total"), series(table, "tree_rss_bytes")
    assert cpu_s[-1] - cpu_s[0] == pytest.approx(0.4, abs=0.1)
    assert max(rss_bytes) - rss_bytes[0] > 35 << 20
    assert min(series(table, "tree_open_fds")) > 2
    assert pc.min(table["value"]).as_py() >= 0
    times_ns = pc.unique(table["time_ns"]).to_pylist()
    assert times_ns == sorted(times_ns)
    assert times_ns[-1] <= time.perf_counter_ns()


def test_children_of_the_watched_process_count(tmp_path: Path) -> None:
    """A worker that starts after the sampler did is found within about a second."""
    sampler = HostSampler().start(tmp_path, os.getpid(), 0.1)
    child = subprocess.Popen(["sleep", "60"])  # noqa: S607 - any sleeping program does
    try:
        time.sleep(1.3)
    finally:
        child.kill()
        child.wait()
        sampler.stop()
    processes = series(read_host_raw(tmp_path / RAW_NAME), "tree_processes")
    # What an earlier test left for the rest of the session, a fork server for one, is there as well.
    assert max(processes) == processes[0] + 1


def test_every_series_is_described_and_every_description_is_a_series(tmp_path: Path) -> None:
    """Readers of host.parquet find the meaning of each metric; none that this kernel gives is left out."""
    HostSampler().start(tmp_path, os.getpid(), 0.05).stop()
    sampled = set(pc.unique(read_host_raw(tmp_path / RAW_NAME)["metric"].cast(pa.string())).to_pylist())
    families = {name.strip().rstrip("*") for key in missing_metrics(tmp_path / RAW_NAME) for name in key.split(",")}
    given = {metric for metric in METRICS if not metric.startswith(tuple(families))}
    assert sampled <= METRICS.keys()
    # A host may have used no disk at all so far, and an older kernel knows no cpu "full".
    assert {metric for metric in given - sampled if not metric.startswith(("disk_", "psi_cpu_full"))} == set()


PARENT = """
import os, sys, time
from ioprof.host.sampler import HostSampler
sampler = HostSampler().start(sys.argv[1], os.getpid(), 0.05)
if os.fork() == 0:      # a worker that outlives its parent and holds a copy of every pipe
    os.write(1, b"%d\\n" % os.getpid())      # a line at once: the other process writes to the same pipe
    time.sleep(60)
os.write(1, b"%d\\n" % sampler.pid)
time.sleep(60)
"""


def test_the_sampler_dies_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    """Not even a forked worker that still holds the pipe keeps it alive, and what was written reads."""
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path)], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    pids = [int(parent.stdout.readline()), int(parent.stdout.readline())]
    try:
        commands = {pid: Path(f"/proc/{pid}/cmdline").read_bytes() for pid in pids}
        (sampler_pid,) = [pid for pid, command in commands.items() if b"sampler_process" in command]
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        assert await_true(lambda: is_gone(sampler_pid), timeout_s=2.0)
        (worker_pid,) = set(pids) - {sampler_pid}
        assert not is_gone(worker_pid)
    finally:
        parent.kill()
        parent.wait()
        parent.stdout.close()
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    assert read_host_raw(tmp_path / RAW_NAME).num_rows > 0


def test_a_sampler_that_was_killed_is_reported_and_its_file_reads(tmp_path: Path) -> None:
    """The run goes on, `failure` says what happened, and stopping twice is harmless."""
    sampler = HostSampler().start(tmp_path, os.getpid(), 0.02)
    time.sleep(0.1)
    assert sampler.pid is not None
    pid = sampler.pid
    os.kill(pid, signal.SIGKILL)
    assert await_true(lambda: is_gone(pid))
    sampler.stop()
    sampler.stop()
    assert sampler.failure == "the host sampler ended early (exit status -9)"
    assert read_host_raw(tmp_path / RAW_NAME).num_rows > 10


def test_a_torn_last_record_is_ignored(tmp_path: Path) -> None:
    """Half a record at the end costs that record only."""
    path = tmp_path / RAW_NAME
    HostSampler().start(tmp_path, os.getpid(), 0.05).stop()
    whole = read_host_raw(path).num_rows
    content = path.read_bytes()
    path.write_bytes(content + content[8:40])
    assert read_host_raw(path).num_rows == whole
    assert all(missing_metrics(path).values())


def test_a_trace_directory_that_is_missing_fails_the_sampler_only(tmp_path: Path) -> None:
    """Without a place to write there is no series and a reason, and no exception."""
    with HostSampler().start(tmp_path / "missing", os.getpid()) as sampler:
        pass
    assert sampler.failure is not None
    assert "No such file or directory" in sampler.failure


def test_a_forked_worker_cannot_stop_its_parents_sampler(tmp_path: Path) -> None:
    """A worker that leaves the block by exception must not end the recording of the run."""
    sampler = HostSampler().start(tmp_path, os.getpid(), 0.05)
    child = os.fork()
    if child == 0:
        sampler.stop()
        os._exit(0)
    os.waitpid(child, 0)
    assert sampler.pid is not None
    assert not is_gone(sampler.pid)
    sampler.stop()
    assert sampler.failure is None


def test_stopping_does_not_wait_for_workers_that_hold_the_pipe(tmp_path: Path) -> None:
    """Workers forked after the start have copies of the pipe; stopping takes milliseconds all the same."""
    sampler = HostSampler().start(tmp_path, os.getpid(), 0.2)
    child = os.fork()
    if child == 0:
        time.sleep(60)
        os._exit(0)
    start_s = time.monotonic()
    sampler.stop()
    elapsed_s = time.monotonic() - start_s
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert elapsed_s < 2
    assert sampler.failure is None


def test_an_interval_of_zero_is_refused(tmp_path: Path) -> None:
    """A sampler without a pause would take a whole core."""
    with pytest.raises(ValueError, match="interval_s"):
        HostSampler().start(tmp_path, os.getpid(), 0)
