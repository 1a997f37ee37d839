"""`ioprof run small-files` for real: small datasets, real workers, and what goes wrong under a run."""

from __future__ import annotations

import json
import os
import tomllib
from pathlib import Path

import pytest

from tests.e2e.driver import ioprof, leftovers, run_directories

QUICK = ["--files", "400", "--file-size", "4KiB", "--batch-size", "16", "--compute", "2ms", "--epochs", "2"]


def summary_of(tmp_path: Path, *words: str) -> dict[str, object]:
    """Run with --json and return the summary."""
    done = ioprof("run", "small-files", *QUICK, "--json", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("workers", ["0", "1", "2"])
def test_a_run_adds_up_for_any_number_of_workers(tmp_path: Path, workers: str) -> None:
    """Every sample is read once per epoch, idle parts sum to idle, busy and idle fill the window."""
    summary = summary_of(tmp_path, "--workers", workers, "--set", "run.warmup=0")
    assert summary["outcome"] == "complete"
    assert summary["samples"] == 2 * 400
    assert summary["operations"]["open"]["count"] == 2 * 400
    assert summary["operations"]["read"]["bytes"] == 2 * 400 * 4096
    assert sum(part or 0.0 for part in summary["idle_by_cause"].values()) == pytest.approx(summary["idle_s"], rel=1e-3)
    utilization = summary["accelerator_utilization"]
    assert utilization == pytest.approx(1 - summary["idle_s"] / summary["wall_s"], rel=1e-6)
    assert summary["coverage"]["ratio"] == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("start_method", ["spawn", "forkserver"])
def test_every_start_method_reads_the_same(tmp_path: Path, start_method: str) -> None:
    """Workers that do not inherit memory read what forked ones read."""
    summary = summary_of(tmp_path, "--start-method", start_method, "--set", "run.warmup=0")
    assert summary["operations"]["read"]["bytes"] == 2 * 400 * 4096


@pytest.mark.alone
def test_the_null_loader_costs_only_the_step_loop(tmp_path: Path) -> None:
    """Without storage there are no operations, and the accelerator is nearly always busy, or its host is late."""
    summary = summary_of(tmp_path, "--loader", "null", "--file-size", "uniform:1-9KiB")
    assert summary["operations"] == {}
    late_ratio = (summary["idle_by_cause"]["host_late"] or 0.0) / summary["wall_s"]
    assert summary["accelerator_utilization"] + late_ratio > 0.9


def test_a_dataset_that_no_loader_reads_is_not_prepared(tmp_path: Path) -> None:
    """Sizes come from the layout: the store stays as it was, even where it could not hold the dataset."""
    huge = ["--files", "100k", "--file-size", "1GiB", "--loader", "null", "--compute", "2ms", "--duration", "1s"]
    done = ioprof("run", "small-files", *huge, cwd=tmp_path)
    assert (done.returncode, "no dataset is prepared" in done.stderr) == (0, True), done.stderr
    assert not (tmp_path / "ioprof-data").exists()
    (directory,) = run_directories(tmp_path / "results")
    run = json.loads((directory / "run.json").read_text())
    assert (run["workload"]["total_bytes"], run["preparation"]) == (100_000 << 30, None)
    assert ioprof("report", str(directory), cwd=tmp_path).returncode == 0


def test_no_accelerator_gives_rates_and_says_why_there_is_no_utilisation(tmp_path: Path) -> None:
    """With `none` utilisation and idle are null, each with its reason."""
    done = ioprof(
        "run", "small-files", "--files", "400", "--accelerator", "none", "--epochs", "2", "--json", cwd=tmp_path
    )
    summary = json.loads(done.stdout)
    assert summary["accelerator_utilization"] is None
    assert "accelerator_utilization" in summary["reasons"]
    assert summary["samples_per_s"] > 0


@pytest.mark.parametrize("url", ["file://{}/store", "memory://ioprof-test"])
def test_fsspec_stores_are_traced_as_gets(tmp_path: Path, url: str) -> None:
    """A URL goes through fsspec; its reads are counted as get."""
    summary = summary_of(tmp_path, "--store", url.format(tmp_path), "--set", "run.warmup=0")
    assert summary["operations"]["get"]["count"] == 2 * 400
    assert summary["cache"]["client_hit_ratio"] is None


def test_more_workers_than_cpus_are_a_caveat_and_no_noise(tmp_path: Path) -> None:
    """The report says it with the numbers; stderr has no warning of torch's."""
    cpus = len(os.sched_getaffinity(0))
    done = ioprof("run", "small-files", *QUICK, "--workers", str(cpus + 1), "--json", cwd=tmp_path)
    told = [caveat for caveat in json.loads(done.stdout)["caveats"] if "CPU" in caveat and "torch advises" in caveat]
    assert told[0].startswith(f"{cpus + 1} workers on {cpus} CPU")
    assert "Warning" not in done.stderr


def test_missing_and_truncated_files_are_counted_and_the_run_goes_on(tmp_path: Path) -> None:
    """Each failure is counted under its kind and name; the other samples are delivered."""
    assert ioprof("prepare", "small-files", "--files", "400", "--file-size", "4KiB", cwd=tmp_path).returncode == 0
    files = sorted(path for path in tmp_path.glob("ioprof-data/*/0/*"))
    files[0].unlink()
    os.truncate(files[1], 100)
    summary = summary_of(tmp_path, "--set", "run.warmup=0")
    assert summary["outcome"] == "complete"
    assert summary["errors"]["open"] == {"count": 2, "by_name": {"ENOENT": 2}}
    assert summary["errors"]["read"] == {"count": 2, "by_name": {"short-read": 2}}
    assert summary["samples"] == 2 * 398


def test_too_many_errors_end_the_run_and_keep_what_was_measured(tmp_path: Path) -> None:
    """Beyond --max-errors the outcome is failed, exit code 1, and the directory reads."""
    assert ioprof("prepare", "small-files", "--files", "400", "--file-size", "4KiB", cwd=tmp_path).returncode == 0
    for path in sorted(tmp_path.glob("ioprof-data/*/0/*"))[:50]:
        path.unlink()
    done = ioprof("run", "small-files", *QUICK, "--max-errors", "10", cwd=tmp_path)
    assert done.returncode == 1
    assert "--max-errors 10" in done.stderr
    (directory,) = run_directories(tmp_path / "results")
    assert json.loads((directory / "summary.json").read_text())["outcome"] == "failed"
    assert not leftovers(tmp_path)


def test_a_dry_run_prints_a_spec_that_resolves_to_itself(tmp_path: Path) -> None:
    """The printed TOML is a spec file: run again from it, nothing changes."""
    first = ioprof(
        "run", "small-files", "--files", "1M", "--compute", "20ms", "--workers", "8", "--dry-run", cwd=tmp_path
    )
    assert tomllib.loads(first.stdout)["workload"]["files"] == 1_000_000
    (tmp_path / "my.toml").write_text(first.stdout)
    again = ioprof("run", "my.toml", "--dry-run", cwd=tmp_path)
    assert again.stdout == first.stdout
    assert not (tmp_path / "ioprof-data").exists()


@pytest.mark.parametrize("command", ["run", "prepare"])
def test_set_is_known_to_every_command_that_takes_a_spec(command: str, tmp_path: Path) -> None:
    """Under that very name, and with the nearest key offered."""
    done = ioprof(command, "small-files", "--set", "workload.flies=3", cwd=tmp_path)
    assert (done.returncode, "did you mean 'files'?" in done.stderr) == (2, True), done.stderr


def test_a_requirement_that_is_not_met_exits_3(tmp_path: Path) -> None:
    """The run is kept and reported; only the exit code and one line say so."""
    done = ioprof("run", "small-files", *QUICK, "--require", "samples_per_s>1e9", cwd=tmp_path)
    assert done.returncode == 3
    assert "not met" in done.stderr


def test_results_that_cannot_be_written_are_found_out_before_preparing(tmp_path: Path) -> None:
    """No dataset is written for a run that could not be recorded."""
    (tmp_path / "results").write_text("a file where a folder should be")
    done = ioprof("run", "small-files", *QUICK, cwd=tmp_path)
    assert done.returncode == 1
    assert "cannot write results" in done.stderr
    assert not (tmp_path / "ioprof-data").exists()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["small-flies"], "did you mean 'small-files'?"),
        (["small-files", "--loader", "torchmap"], "did you mean 'torch-map'?"),
        (["small-files", "--accelerator", "h10"], "did you mean 'h100'?"),
        (["small-files", "--files", "0"], "--files = 0"),
        (["small-files", "--file-size", "-4KiB"], "--file-size = '-4KiB'"),
        (["small-files", "--file-size", "99999TiB"], "more than 16 TiB"),
        (["small-files", "--files", "10"], "loader.batch_size = 64"),
        (["small-files", "--flies", "10"], "did you mean '--files'?"),
        (["small-files", "--set", "run.epocs=3"], "did you mean 'epochs'?"),
    ],
)
def test_bad_input_is_refused_in_one_line(tmp_path: Path, words: list[str], expected: str) -> None:
    """Exit code 2 and one line that names the value and the nearest right name."""
    done = ioprof("run", *words, cwd=tmp_path)
    assert done.returncode == 2
    assert expected in done.stderr
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
