"""Ctrl-C, SIGTERM and SIGKILL in every phase of a run: right exit code, readable run, nothing left behind."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path

import pytest

from ioprof.cli.report import past_runs
from tests.e2e.driver import ioprof, leftovers, run_directories, signalled, start, steps_recorded, wait_for
from tests.shared_memory import segments, segments_left

SMALL = ["--files", "600", "--file-size", "4KiB", "--compute", "20ms", "--batch-size", "16"]


@pytest.mark.alone
@pytest.mark.parametrize(
    ("signum", "code", "group"),
    [(signal.SIGINT, 130, True), (signal.SIGINT, 130, False), (signal.SIGTERM, 143, False)],
)
@pytest.mark.parametrize("start_method", ["fork", "forkserver"])
def test_a_signal_while_measuring_leaves_a_readable_partial_run(
    tmp_path: Path, signum: signal.Signals, code: int, group: bool, start_method: str
) -> None:
    """The exit code is the shell's, the partial run reads, and no process or shared memory stays."""
    before = segments()
    process = start("run", "small-files", *SMALL, "--start-method", start_method, "--duration", "120s", cwd=tmp_path)
    wait_for(lambda: steps_recorded(tmp_path / "results") >= 20)
    returncode, _, err = signalled(process, signum, group=group)
    assert returncode == code, err
    assert "partial run kept" in err
    assert "Traceback" not in err
    (directory,) = run_directories(tmp_path / "results")
    summary = json.loads((directory / "summary.json").read_text())
    assert summary["outcome"] == "interrupted"
    assert summary["steps"] >= 10
    assert not (directory / "trace").exists()
    wait_for(lambda: not leftovers(tmp_path), timeout_s=10)
    assert not segments_left(before)


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_while_preparing_ends_quietly_and_the_next_run_resumes(
    tmp_path: Path, signum: signal.Signals, code: int
) -> None:
    """What was written stays; the next preparation goes on and completes."""
    words = ["prepare", "small-files", "--files", "60k", "--file-size", "4KiB"]
    process = start(*words, cwd=tmp_path)
    wait_for(lambda: len(list(tmp_path.glob("ioprof-data/*/.ioprof/done/*"))) >= 2)
    returncode, _, err = signalled(process, signum, group=True)
    assert returncode == code, err
    assert "Traceback" not in err
    wait_for(lambda: not leftovers(tmp_path), timeout_s=10)
    again = ioprof(*words, cwd=tmp_path)
    assert again.returncode == 0, again.stderr


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_keeps_its_exit_code_where_the_results_are_gone(
    tmp_path: Path, signum: signal.Signals, code: int
) -> None:
    """A script that asks whether it was stopped gets the right answer; what became of the results is told beside it."""
    process = start("run", "small-files", *SMALL, "--duration", "120s", cwd=tmp_path)
    wait_for(lambda: steps_recorded(tmp_path / "results") >= 5)
    shutil.rmtree(tmp_path / "results")
    returncode, _, err = signalled(process, signum, group=False)
    assert (returncode, "Traceback" in err) == (code, False), err
    assert "ioprof: interrupted\nioprof: error: " in err
    assert "run.json cannot be written" in err
    wait_for(lambda: not leftovers(tmp_path), timeout_s=10)


@pytest.mark.alone
@pytest.mark.parametrize("start_method", ["fork", "forkserver"])
def test_a_killed_run_reads_and_nothing_outlives_it(tmp_path: Path, start_method: str) -> None:
    """After SIGKILL the workers, the sampler and the live view end by themselves; `list` and `report` tell what is."""
    before = segments()
    process = start("run", "small-files", *SMALL, "--start-method", start_method, "--duration", "120s", cwd=tmp_path)
    wait_for(lambda: steps_recorded(tmp_path / "results") >= 20)
    assert [run.outcome for run in past_runs(tmp_path / "results")] == ["running"]
    assert signalled(process, signal.SIGKILL, group=False)[0] == -signal.SIGKILL
    wait_for(lambda: not leftovers(tmp_path), timeout_s=10)
    assert [run.outcome for run in past_runs(tmp_path / "results")] == ["interrupted"]
    (directory,) = run_directories(tmp_path / "results")
    report = ioprof("report", str(directory), "--json", cwd=tmp_path)
    assert report.returncode == 0, report.stderr
    summary = json.loads(report.stdout)
    assert summary["outcome"] == "interrupted"
    assert summary["operations"]["read"]["count"] >= (20 - 5) * 16
    assert "killed" in summary["outcome_reason"]
    assert not segments_left(before)
