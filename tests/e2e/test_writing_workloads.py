"""`metadata-storm` and `etl` through the real command: what they report, and what they leave however they end."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.driver import ioprof, leftovers, signalled, start, wait_for

STORM = ["run", "metadata-storm", "--files", "300", "--files-per-dir", "50", "--operations", "20k"]
ETL = ["run", "etl", "--files", "120", "--file-size", "8KiB", "--shard-size", "128KiB", "--batch-size", "8"]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounts need root")


def summary_of(tmp_path: Path, *words: str) -> dict[str, object]:
    """Run with --json and return the summary."""
    done = ioprof(*words, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found


def scratch_of(tmp_path: Path) -> list[Path]:
    """Return the scratch directories of runs."""
    return list(tmp_path.glob("*/*/.ioprof/scratch/run-*"))


def runs(tmp_path: Path) -> list[Path]:
    """Return the run directories."""
    return sorted((tmp_path / "results").glob("*Z-*")) if (tmp_path / "results").exists() else []


def test_a_storm_reports_operations_per_kind_and_leaves_nothing(tmp_path: Path) -> None:
    """Counts are those of the mix, the bound is metadata, bytes are null with a reason, the walk stands apart."""
    summary = summary_of(tmp_path, *STORM, "--epochs", "2", "--set", "run.warmup=0")
    operations = summary["operations"]
    assert operations["stat"]["count"] == 2 * 10_000
    assert operations["close"]["count"] == operations["open"]["count"] + operations["create"]["count"]
    assert operations["stat"]["latency_ns"]["p50"] > 0
    assert (summary["verdict"]["bound"], summary["bandwidth_bytes_per_s"]) == ("metadata", None)
    assert summary["reasons"]["bandwidth_bytes_per_s"] == "no operation that reads was traced"
    assert summary["reasons"]["write_bandwidth_bytes_per_s"] == "nothing was written"
    assert summary["epoch_start"]["operations"]["list"]["count"] == 2 * 2 * (1 + 6)
    assert summary["errors"] == {}
    assert scratch_of(tmp_path) == []


@pytest.mark.parametrize("loader", ["torch-map", "processes"])
def test_a_storm_runs_under_any_loader_of_numbered_samples(tmp_path: Path, loader: str) -> None:
    """Spawned workers and those of one epoch included: an area is theirs, whoever they are."""
    words = ["--loader", loader, "--start-method", "spawn", "--epochs", "2", "--set", "run.warmup=0"]
    words += ["--persistent", "false"] if loader == "torch-map" else []
    summary = summary_of(tmp_path, *STORM, *words)
    assert (summary["samples"], summary["errors"]) == (40_000, {})
    assert scratch_of(tmp_path) == []


@pytest.mark.parametrize("words", [STORM, ETL])
def test_ctrl_c_leaves_a_readable_run_and_no_scratch(tmp_path: Path, words: list[str]) -> None:
    """What workers had made is gone with them."""
    process = start(*words, "--duration", "120s", cwd=tmp_path)
    wait_for(lambda: any(list(one.glob("worker-*")) for one in scratch_of(tmp_path)))
    returncode, _, err = signalled(process, signal.SIGINT, group=True)
    assert (returncode, "Traceback" in err) == (130, False), err
    assert scratch_of(tmp_path) == []
    assert json.loads((runs(tmp_path)[-1] / "run.json").read_text())["outcome"] == "interrupted"
    wait_for(lambda: not leftovers(tmp_path), timeout_s=10)


@pytest.mark.parametrize("words", [STORM, ETL])
def test_what_a_killed_run_left_goes_with_the_next_or_with_clean(tmp_path: Path, words: list[str]) -> None:
    """While it lives, clean refuses; after SIGKILL a run removes it, and so does clean."""
    for remover in ("run", "clean"):
        process = start(*words, "--duration", "120s", cwd=tmp_path)
        wait_for(lambda: any(list(one.glob("worker-*/*")) for one in scratch_of(tmp_path)))
        if remover == "clean":
            refused = ioprof("clean", "ioprof-data", "--yes", cwd=tmp_path)
            assert (refused.returncode, "a run is writing there" in refused.stderr) == (1, True)
        process.kill()
        process.communicate()
        wait_for(lambda: not leftovers(tmp_path), timeout_s=10)
        assert len(scratch_of(tmp_path)) == 1
        again = ioprof(*words, "--epochs", "1", cwd=tmp_path) if remover == "run" else None
        assert again is None or again.returncode == 0, again
        if remover == "run":
            assert scratch_of(tmp_path) == []
    assert ioprof("clean", "ioprof-data", "--yes", cwd=tmp_path).returncode == 0
    assert not list((tmp_path / "ioprof-data").glob("*"))


def test_etl_reports_both_ways_and_removes_its_output(tmp_path: Path) -> None:
    """Each file is read once and written once per epoch; archives are a little larger."""
    summary = summary_of(tmp_path, *ETL, "--epochs", "2", "--set", "run.warmup=0")
    operations, size_bytes = summary["operations"], 2 * 120 * 8192
    assert operations["read"]["bytes"] == size_bytes
    assert size_bytes < operations["write"]["bytes"] < 1.2 * size_bytes
    assert summary["write_bandwidth_bytes_per_s"] > summary["bandwidth_bytes_per_s"] > 0
    assert summary["samples"] == 240
    assert scratch_of(tmp_path) == []


def test_kept_output_is_named_and_goes_with_the_next_run(tmp_path: Path) -> None:
    """The report says where it is; all of it is whole archives."""
    done = ioprof(*ETL, "--epochs", "1", "--keep-output", "true", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (kept,) = scratch_of(tmp_path)
    assert kept.name in done.stdout.replace("\n", "").replace(" ", "")
    shards = list(kept.glob("worker-*/*"))
    assert shards
    assert all(shard.suffix == ".tar" for shard in shards)
    assert ioprof(*ETL, "--epochs", "1", cwd=tmp_path).returncode == 0
    assert scratch_of(tmp_path) == []


def test_a_memory_store_takes_both(tmp_path: Path) -> None:
    """Forked workers write into memory of their own; nothing fails, and the last, small shards are put as well."""
    mix = ["--mix", "stat:5,create:2,unlink:2,list:1"]
    for words in ([*STORM, *mix], ETL):
        summary = summary_of(tmp_path, *words, "--store", "memory://writing", "--epochs", "1", "--set", "run.warmup=0")
        assert (summary["outcome"], summary["errors"]) == ("complete", {})
    assert 120 * 8192 < summary["operations"]["put"]["bytes"] < 1.2 * 120 * 8192


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "ioprof-test", place], check=True)  # noqa: S607
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)  # noqa: S607


@pytest.mark.root
@needs_root
@pytest.mark.parametrize("words", [STORM, ETL])
def test_a_read_only_store_is_one_line_before_the_run(small_disk: Path, tmp_path: Path, words: list[str]) -> None:
    """Its dataset stands there, and nothing of the run is begun."""
    assert ioprof("prepare", *words[1:4], *(words[4:6]), "--store", "disk", cwd=tmp_path).returncode == 0
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)  # noqa: S607
    done = ioprof(*words[:6], "--store", "disk", "--duration", "1s", cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    assert "cannot be written (Read-only file system), and this workload writes" in done.stderr
    assert "Traceback" not in done.stderr
    assert runs(tmp_path) == []


@pytest.mark.root
@needs_root
def test_a_store_that_fills_up_ends_the_run_and_keeps_what_was_measured(small_disk: Path, tmp_path: Path) -> None:
    """One line names the place; the output is removed; the next run works."""
    words = ["run", "etl", "--files", "80", "--file-size", "64KiB", "--shard-size", "1MiB", "--batch-size", "2"]
    assert ioprof(*words, "--store", "disk", "--epochs", "1", cwd=tmp_path).returncode == 0
    process = start(*words, "--store", "disk", "--decode", "2ms", "--duration", "120s", cwd=tmp_path)
    wait_for(lambda: any(list(one.glob("worker-*/*")) for one in scratch_of(tmp_path)))
    filler = small_disk / "filler"
    with open(filler, "wb", buffering=0) as file:
        while shutil.disk_usage(small_disk).free > 200_000:
            file.write(b"\0" * 65_536)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 1, err
    assert "full (No space left on device) after" in err
    record = json.loads((runs(tmp_path)[-1] / "run.json").read_text())
    assert (record["outcome"], "No space left on device" in record["reason"]) == ("failed", True)
    assert json.loads((runs(tmp_path)[-1] / "summary.json").read_text())["operations"]
    assert scratch_of(tmp_path) == []
    filler.unlink()
    assert ioprof(*words, "--store", "disk", "--epochs", "1", cwd=tmp_path).returncode == 0


def test_input_that_makes_no_sense_is_one_line(tmp_path: Path) -> None:
    """It names what is wrong; the exit code is that of a wrong question."""
    for words, told in (
        (["run", "metadata-storm", "--mix", "stat:1,fly:2"], "no operation 'fly'"),
        (["run", "metadata-storm", "--mix", "stat:0"], "no operation has a weight above 0"),
        (["run", "metadata-storm", "--files", "0"], "--files = 0"),
        (["run", "etl", "--files", "0"], "--files = 0"),
        (["run", "metadata-storm", "--store", "memory://x", "--files", "10"], "not to be had on memory:// stores"),
    ):
        done = ioprof(*words, cwd=tmp_path)
        assert (done.returncode, told in done.stderr, "Traceback" in done.stderr) == (2, True, False), done.stderr
