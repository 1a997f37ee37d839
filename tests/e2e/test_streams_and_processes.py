"""Streams, and workers without torch, through the real command: figures that add up, and runs that go wrong."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from ioprof.trace.recordlog import read_log
from ioprof.trace.schema import STEPS
from tests.e2e.command import Command
from tests.e2e.driver import ioprof, leftovers, signalled, start, wait_for

PLUGIN = str(Path(__file__).parents[1] / "stream_plugin.py")
STREAM = ["run", "small-stream", "--plugin", PLUGIN, "--files", "200", "--file-size", "4KiB", "--batch-size", "8"]
ENDLESS = [*STREAM, "--duration", "120s", "--warmup", "0", "--compute", "1ms", "--prep", "1ms"]


def summary_of(tmp_path: Path, *words: str) -> dict[str, object]:
    """Run with --json and return the summary."""
    done = ioprof(*words, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found


def _steps(tmp_path: Path) -> int:
    logs = sorted(tmp_path.glob("results/*/trace/steps-0.log"))
    return read_log(logs[-1], STEPS).num_rows if logs else 0


def _workers(process: Command) -> list[psutil.Process]:
    """Return the forked workers of a run: they show its own command line."""
    command = psutil.Process(process.pid).cmdline()
    return [child for child in psutil.Process(process.pid).children() if child.cmdline() == command]


def _partial_run(tmp_path: Path, outcome: str) -> dict[str, object]:
    """Return the summary of a run that ended early; nothing of it is left behind."""
    (path,) = tmp_path.glob("results/*/summary.json")
    summary: dict[str, object] = json.loads(path.read_text())
    assert summary["outcome"] == outcome
    assert not (path.parent / "trace").exists()
    wait_for(lambda: not leftovers(tmp_path), timeout_s=15)
    return summary


@pytest.mark.alone
@pytest.mark.parametrize(
    "words",
    [
        ["--loader", "torch-iterable", "--workers", "0"],
        ["--loader", "torch-iterable", "--workers", "2"],
        ["--loader", "torch-iterable", "--start-method", "spawn"],
        ["--loader", "torch-iterable", "--start-method", "forkserver"],
        ["--loader", "processes", "--workers", "2"],
        ["--loader", "processes", "--start-method", "spawn"],
        ["--loader", "processes", "--start-method", "forkserver"],
    ],
    ids=" ".join,
)
def test_a_stream_adds_up_and_the_injected_stage_is_found(tmp_path: Path, words: list[str]) -> None:
    """Parts sum to idle; 5 ms of preparing per sample outweigh any other; next to nothing matches no stage."""
    run = [*STREAM, "--compute", "1ms", "--prep", "5ms", "--epochs", "2", "--warmup", "2", "--cache", "warm", *words]
    summary = summary_of(tmp_path, *run)
    parts = 1 if words[-1] == "0" else 2
    steps = 2 * (200 // parts // 8 * parts) - 2
    assert (summary["samples"], summary["steps"]) == (8 * steps, steps)
    idle = summary["idle_by_cause"]
    assert isinstance(idle, dict)
    parts = {cause: part or 0.0 for cause, part in idle.items()}
    assert sum(parts.values()) == pytest.approx(summary["idle_s"], rel=1e-3)
    assert parts["decode"] == max(parts.values())
    assert parts["unexplained"] <= 0.02 * sum(parts.values())


@pytest.mark.parametrize("start_method", ["fork", "spawn"])
def test_processes_read_numbered_samples_as_torch_does(tmp_path: Path, start_method: str) -> None:
    """Every sample once an epoch; the taps saw what the kernel counted."""
    files = ["--files", "400", "--file-size", "4KiB", "--batch-size", "16", "--compute", "2ms", "--epochs", "2"]
    words = ["--loader", "processes", "--start-method", start_method, "--warmup", "0"]
    summary = summary_of(tmp_path, "run", "small-files", *files, *words)
    assert (summary["samples"], summary["outcome"]) == (2 * 400, "complete")
    assert summary["operations"]["read"]["bytes"] == 2 * 400 * 4096  # type: ignore[index]
    assert sum(part or 0.0 for part in summary["idle_by_cause"].values()) == pytest.approx(summary["idle_s"], rel=1e-3)  # type: ignore[attr-defined]
    assert summary["coverage"]["ratio"] == pytest.approx(1.0, abs=0.05)  # type: ignore[index]


def test_processes_need_no_torch(tmp_path: Path) -> None:
    """Neither the consumer nor, as they are forked from it, its workers import it."""
    script = (
        "import sys\nfrom ioprof.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
        "assert 'torch' not in sys.modules\n"
    )
    words = ["run", "small-files", "--files", "200", "--file-size", "4KiB", "--batch-size", "8", "--epochs", "1"]
    command = [sys.executable, "-c", script, *words, "--loader", "processes", "--quiet"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("loader", ["processes", "torch-iterable"])
def test_a_killed_worker_is_named(tmp_path: Path, loader: str) -> None:
    """One line, exit code 1, and what was measured reads."""
    process = start(*ENDLESS, "--loader", loader, cwd=tmp_path)
    wait_for(lambda: _steps(tmp_path) >= 4)
    victim = _workers(process)[1]
    victim.kill()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1, err
    assert f"error: worker 1 (pid {victim.pid}) was ended by SIGKILL; usually " in err.splitlines()[-1]
    assert "Traceback" not in err
    assert str(victim.pid) in str(_partial_run(tmp_path, "failed")["outcome_reason"])


@pytest.mark.parametrize("loader", ["processes", "torch-iterable"])
def test_ctrl_c_leaves_a_readable_run_and_nothing_else(tmp_path: Path, loader: str) -> None:
    """As a terminal sends it: to the consumer and all workers."""
    process = start(*ENDLESS, "--loader", loader, cwd=tmp_path)
    wait_for(lambda: _steps(tmp_path) >= 10)
    pids = {str(pid) for pid in (process.pid, *(worker.pid for worker in _workers(process)))}
    returncode, _, err = signalled(process, signal.SIGINT, group=True)
    assert (returncode, "Traceback" in err) == (130, False), err
    assert _partial_run(tmp_path, "interrupted")["steps"] >= 5  # type: ignore[operator]
    # torch and multiprocessing name shared memory after its maker's process.
    assert [name for name in os.listdir("/dev/shm") if pids & set(re.split("[_-]", name))] == []


@pytest.mark.parametrize("loader", ["processes", "torch-iterable"])
def test_nothing_outlives_a_consumer_that_was_killed(tmp_path: Path, loader: str) -> None:
    """The workers end by themselves."""
    process = start(*ENDLESS, "--loader", loader, cwd=tmp_path)
    wait_for(lambda: _steps(tmp_path) >= 10)
    assert signalled(process, signal.SIGKILL, group=False)[0] == -signal.SIGKILL
    wait_for(lambda: not leftovers(tmp_path), timeout_s=15)


@pytest.mark.parametrize("loader", ["processes", "torch-iterable"])
def test_a_stream_that_breaks_is_quoted_in_one_line(tmp_path: Path, loader: str) -> None:
    """Its own error, without a traceback, whichever loader read it."""
    done = ioprof(*ENDLESS, "--loader", loader, "--fail-at", "51", cwd=tmp_path)
    assert (done.returncode, "Traceback" in done.stderr) == (1, False), done.stderr
    message = done.stderr.splitlines()[-1]
    assert "BrokenStreamError: sample 51 is broken; what was measured is kept" in message
    _partial_run(tmp_path, "failed")


@pytest.mark.parametrize("loader", ["processes", "torch-iterable"])
def test_a_duration_ends_a_stream_in_the_middle_of_an_epoch(tmp_path: Path, loader: str) -> None:
    """An epoch of 20,000 samples at 1 ms each and 2 workers would take ten seconds."""
    words = [*STREAM, "--files", "20000", "--prep", "1ms", "--compute", "1ms", "--duration", "1s", "--loader", loader]
    summary = summary_of(tmp_path, *words)
    assert summary["outcome"] == "complete"
    assert summary["epochs"] == 1
    assert 0 < summary["samples"] < 10_000  # type: ignore[operator]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--loader", "torch-map"], "small-stream is read front to back, which torch-map does not do; use --loader "),
        (["--loader", "processes", "--workers", "0"], "--workers = 0"),
        (["--loader", "processes", "--prefetch", "501"], "--prefetch = 501"),
        (["--loader", "processes", "--in-order", "false"], "--in-order: no such flag of the loader processes"),
        (["--files", "15", "--batch-size", "10", "--epochs", "9"], "the 8 of 15 samples that each of 2 workers reads"),
    ],
)
def test_bad_input_is_refused_in_one_line(tmp_path: Path, words: list[str], expected: str) -> None:
    """Exit code 2, and nothing is prepared."""
    done = ioprof(*STREAM, *words, cwd=tmp_path)
    assert (done.returncode, expected in done.stderr, done.stderr.count("\n")) == (2, True, 1), done.stderr
    assert list(tmp_path.iterdir()) == []
