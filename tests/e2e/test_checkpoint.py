"""Checkpoints through the real command: saved, synced, restored, and what goes wrong under a save."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from ioprof.trace.recordlog import read_log
from ioprof.trace.schema import CHECKPOINTS
from tests.e2e.driver import IOPROF, environment, ioprof, leftovers, signalled, start, wait_for

QUICK = ["run", "checkpoint", "--files", "200", "--epochs", "1", "--compute", "2ms", "--set", "run.warmup=0"]
"""A hundred steps of two samples."""
SMALL = ["--checkpoint-every", "20", "--checkpoint-size", "1MiB"]
ENDLESS = ["run", "checkpoint", "--compute", "1ms", "--duration", "100s", "--checkpoint-every", "20"]


def summary_of(tmp_path: Path, *words: str) -> dict[str, object]:
    """Run with --json and return the summary."""
    done = ioprof(*words, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found


def run_directory(tmp_path: Path) -> Path:
    """Return the only run directory."""
    (directory,) = (tmp_path / "results").iterdir()
    return directory


def saved(tmp_path: Path) -> list[Path]:
    """Return the whole checkpoint files on the store."""
    return sorted((tmp_path / "ioprof-data").glob("checkpoints-*/step-*.pt"))


def partial(tmp_path: Path) -> list[Path]:
    """Return the files that are being written."""
    return sorted((tmp_path / "ioprof-data").glob("checkpoints-*/*.partial"))


def test_a_run_of_checkpoints_adds_up(tmp_path: Path) -> None:
    """Saves, bytes, operations and idle time agree with each other, and nothing stays on the store."""
    summary = summary_of(tmp_path, *QUICK, *SMALL, "--checkpoint-shards", "2")
    found = summary["checkpoints"]
    assert (found["saves"], found["restores"], found["failed"]) == (5, 1, 0)
    assert 1 << 20 <= found["bytes_per_save"] < 1.1 * (1 << 20)
    counts = {kind: stats["count"] for kind, stats in found["operations"].items()}
    assert (counts["create"], counts["rename"], counts["fsync"], counts["unlink"]) == (10, 10, 10 + 5, 6)
    assert found["operations"]["write"]["bytes"] == 5 * found["bytes_per_save"]
    assert sum(part or 0.0 for part in summary["idle_by_cause"].values()) == pytest.approx(summary["idle_s"], rel=1e-3)
    assert summary["idle_by_cause"]["checkpoint"] == pytest.approx(found["blocked_s"], rel=1e-9)
    assert found["blocked_s"] == pytest.approx(found["share_of_wall"] * summary["wall_s"], rel=1e-9)
    assert summary["idle_by_cause"]["read"] == 0
    assert summary["operations"] == {}
    assert summary["mlperf_au"] > summary["accelerator_utilization"]
    assert list((tmp_path / "ioprof-data").iterdir()) == []


def test_checkpoints_beside_real_loading(tmp_path: Path) -> None:
    """In the background, while workers read: both are counted, apart, and the parts still sum."""
    summary = summary_of(
        tmp_path, "run", "small-files", "--files", "800", "--file-size", "4KiB", "--batch-size", "16", "--epochs", "2",
        "--compute", "4ms", "--checkpoint-mode", "background", "--checkpoint-keep-files", "true", *SMALL,
    )  # fmt: skip
    found = summary["checkpoints"]
    assert (found["saves"], found["mode"]) == (5, "background")
    assert summary["operations"].keys() == {"open", "read", "close"}
    assert sum(part or 0.0 for part in summary["idle_by_cause"].values()) == pytest.approx(summary["idle_s"], rel=1e-3)
    assert summary["coverage"]["ratio"] == pytest.approx(1.0, abs=0.05)
    assert any("Checkpoints are kept in " in caveat for caveat in summary["caveats"])
    kept = saved(tmp_path)
    assert [path.name for path in kept] == ["step-000000079-00000-of-00001.pt", "step-000000099-00000-of-00001.pt"]
    assert ioprof("clean", "ioprof-data", "--yes", cwd=tmp_path).returncode == 0
    assert list(tmp_path.glob("ioprof-data/*")) == []


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
@pytest.mark.parametrize("fsync", [True, False])
def test_the_kernel_sees_every_fsync_before_the_rename(tmp_path: Path, fsync: bool) -> None:
    """File, then name, then directory: what the spec says is what is called; without fsync, none of them."""
    words = [*QUICK, *SMALL, "--checkpoint-fsync", str(fsync).lower(), "--checkpoint-restore", "false", "-q"]
    strace = ["strace", "-f", "-y", "-e", "trace=fsync,fdatasync,rename", "-o", "calls"]
    done = subprocess.run(
        [*strace, *IOPROF, *words], cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True, timeout=120
    )
    if "ptrace" in done.stderr.lower():
        pytest.skip("this host forbids tracing")
    assert done.returncode == 0, done.stderr
    seen = []
    for line in (tmp_path / "calls").read_text().splitlines():
        if match := re.search(r"fsync\(\d+<.*/step-(\d+)-.*\.partial>\)", line):
            seen.append(f"file {int(match[1])}")
        elif match := re.search(r'rename\(".*/step-(\d+)-.*\.partial"', line):
            seen.append(f"name {int(match[1])}")
        elif re.search(r"fsync\(\d+</[^>]*/checkpoints-[^>/]*>\)", line):
            seen.append("directory")
    wanted = [["file {}", "name {}", "directory"], ["name {}"]][not fsync]
    assert seen == [word.format(step) for step in (19, 39, 59, 79, 99) for word in wanted]


@pytest.mark.parametrize("mode", ["sync", "background"])
@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_during_a_save_leaves_the_last_whole_one(
    tmp_path: Path, mode: str, signum: signal.Signals, code: int
) -> None:
    """The shell's exit code, no piece of the save that was dropped, and a run that reads and says so."""
    words = ["--checkpoint-size", "48MiB", "--checkpoint-mode", mode, "--checkpoint-keep-files", "true"]
    process = start(*ENDLESS, *words, cwd=tmp_path)
    wait_for(lambda: bool(saved(tmp_path) and partial(tmp_path)))
    returncode, _, err = signalled(process, signum, group=True)
    assert (returncode, "Traceback" in err) == (code, False), err
    assert partial(tmp_path) == []
    assert all(torch.load(path, weights_only=True)["model"] for path in saved(tmp_path))
    wait_for(lambda: not leftovers(tmp_path), timeout_s=10)
    summary = json.loads((run_directory(tmp_path) / "summary.json").read_text())
    assert (summary["outcome"], summary["checkpoints"]["failed"] <= 1) == ("interrupted", True)
    assert summary["checkpoints"]["saves"] >= len(saved(tmp_path)) >= 1


def test_a_signal_removes_the_folder_unless_it_is_to_be_kept(tmp_path: Path) -> None:
    """Nothing of an interrupted run stays on the store."""
    process = start(*ENDLESS, "--checkpoint-size", "48MiB", cwd=tmp_path)
    wait_for(lambda: bool(saved(tmp_path) and partial(tmp_path)))
    returncode, _, err = signalled(process, signal.SIGINT, group=False)
    assert returncode == 130, err
    assert list((tmp_path / "ioprof-data").iterdir()) == []


@pytest.mark.parametrize("mode", ["sync", "background"])
def test_a_killed_run_leaves_whole_checkpoints_that_read_and_clean_removes(tmp_path: Path, mode: str) -> None:
    """What stands under its name is whole; the rows of finished saves are in the trace; no process outlives it."""
    process = start(*ENDLESS, "--checkpoint-size", "48MiB", "--checkpoint-mode", mode, cwd=tmp_path)
    wait_for(lambda: len(saved(tmp_path)) >= 2 and bool(partial(tmp_path)))
    assert signalled(process, signal.SIGKILL, group=False)[0] == -signal.SIGKILL
    wait_for(lambda: not leftovers(tmp_path), timeout_s=10)
    assert all(torch.load(path, weights_only=True)["model"] for path in saved(tmp_path))
    directory = run_directory(tmp_path)
    assert read_log(directory / "trace" / "checkpoints-0.log", CHECKPOINTS).num_rows >= 1
    report = ioprof("report", str(directory), "--json", cwd=tmp_path)
    assert report.returncode == 0, report.stderr
    assert json.loads(report.stdout)["checkpoints"]["saves"] >= 1
    assert ioprof("clean", "ioprof-data", "--yes", cwd=tmp_path).returncode == 0
    assert list(tmp_path.glob("ioprof-data/*")) == []


def test_a_save_that_is_refused_ends_the_run_in_one_line(tmp_path: Path) -> None:
    """Files may not grow that large: exit code 1, what was measured is kept, no piece is left."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20 << 20, 20 << 20))

    words = [*QUICK, "--checkpoint-every", "20", "--checkpoint-size", "32MiB", "-q"]
    done = subprocess.run(
        [*IOPROF, *words], cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True, preexec_fn=limit
    )
    assert done.returncode == 1
    assert "the checkpoint after step 19 could not be saved: File too large; free some space" in done.stderr
    assert "Traceback" not in done.stderr
    assert list((tmp_path / "ioprof-data").iterdir()) == []
    summary = json.loads((run_directory(tmp_path) / "summary.json").read_text())
    assert (summary["outcome"], summary["steps"], summary["checkpoints"]["failed"]) == ("failed", 20, 1)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Return a file system of 48 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["/bin/mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(disk)], check=True)
    yield disk
    subprocess.run(["/bin/umount", str(disk)], check=True)


@pytest.mark.root
@pytest.mark.parametrize("mode", ["sync", "background"])
def test_a_store_that_fills_up_during_the_run_ends_it_in_one_line(tmp_path: Path, small_disk: Path, mode: str) -> None:
    """The last whole checkpoint stays intact, the piece of the one that failed is removed."""
    words = ["--store", str(small_disk), "--checkpoint-size", "16MiB", "--checkpoint-keep", "1"]
    process = start(
        *ENDLESS, *words, "--checkpoint-mode", mode, "--checkpoint-keep-files", "true", cwd=tmp_path
    )  # fmt: skip
    wait_for(lambda: bool(list(small_disk.glob("*/step-*.pt"))))
    # The space that a removed save gives back is taken as well, until the next save finds too little.
    with (small_disk / "filler").open("wb", buffering=0) as filler:
        while process.poll() is None:
            try:
                filler.write(bytes(1 << 20))
            except OSError:
                continue
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1, err
    assert re.search(r"could not be saved: No space left on device; free some space", err), err
    assert list(small_disk.glob("*/*.partial")) == []
    assert [bool(torch.load(path, weights_only=True)) for path in small_disk.glob("*/step-*.pt")] == [True]
    assert json.loads((run_directory(tmp_path) / "summary.json").read_text())["outcome"] == "failed"


@pytest.mark.root
def test_a_store_that_cannot_be_written_or_is_too_small_is_told_at_once(tmp_path: Path, small_disk: Path) -> None:
    """One line each, before the first step."""
    words = [*QUICK, "--store", f"{small_disk}/x", "--checkpoint-every", "20", "-q"]
    done = ioprof(*words, "--checkpoint-size", "20MiB", cwd=tmp_path)
    assert (done.returncode, "need 60 MiB, 48 MiB are free" in done.stderr) == (1, True), done.stderr
    subprocess.run(["/bin/mount", "-o", "remount,ro", str(small_disk)], check=True)
    done = ioprof(*words, "--checkpoint-size", "1MiB", cwd=tmp_path)
    assert (done.returncode, "Read-only file system; give another --store" in done.stderr) == (1, True), done.stderr


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--checkpoint-size", "1PiB"], "--checkpoint-size = '1PiB'"),
        (["--checkpoint-size", "10TiB"], "use a smaller --checkpoint-size"),
        (["--checkpoint-size", "big"], "--checkpoint-size = 'big'"),
        (["--checkpoint-mode", "async"], "should be 'sync' or 'background'"),
        (["--checkpoint-shards", "0"], "--checkpoint-shards = 0"),
        (["--checkpoint-every", "-5"], "--checkpoint-every = -5"),
        (["--checkpoint-evry", "5"], "did you mean '--checkpoint-every'?"),
        (["--set", "checkpoint.sise=1MiB"], "did you mean 'size'?"),
        (["--checkpoint-every", "0", "--checkpoint-mode", "sync"], "has no effect without checkpoints"),
    ],
)
def test_bad_input_is_refused_in_one_line(tmp_path: Path, words: list[str], expected: str) -> None:
    """Exit code 2, the value, and what to do; nothing is made."""
    done = ioprof("run", "checkpoint", *words, cwd=tmp_path)
    assert (done.returncode, expected in done.stderr) == (2, True), done.stderr
    assert done.stderr.count("\n") == 1
    assert os.listdir(tmp_path) == []


def test_a_run_too_short_for_a_checkpoint_says_so(tmp_path: Path) -> None:
    """It completes, and its report has the caveat."""
    done = ioprof(*QUICK, "--checkpoint-every", "1000", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "No checkpoint was saved: one is due every 1,000 steps" in " ".join(done.stdout.split())
