"""`ioprof tune` in this process, with real runs of a real loader on a throttled store; and its report."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from ioprof import api
from ioprof.cli.main import main
from ioprof.cli.tune import run_words
from ioprof.report.tune import render_tune
from ioprof.runner.observer import Silent
from ioprof.runner.plan import plan_run
from ioprof.trace.json_record import read_record
from ioprof.tuning.record import TUNE_FORMAT, TUNE_JSON, TuneRecord
from ioprof.tuning.setting import Setting
from ioprof.tuning.workload import WorkloadRuns

FLAGS = (
    "--store", "throttle+./data?latency=4ms", "--files", "200", "--file-size", "1KiB", "--batch-size", "2",
    "--accelerator", "none", "--cache", "asis", "--duration", "300ms", "--loader", "processes",
)  # fmt: skip


def words(monkeypatch: pytest.MonkeyPatch, *given: str) -> int:
    """Run a command line in this process; return its exit code."""
    monkeypatch.setattr(sys, "argv", ["ioprof", *given])
    try:
        main()
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


def record_below(folder: Path) -> TuneRecord:
    """Return the only tuning's record."""
    (found,) = (folder / "results").glob("*-tune-*")
    return read_record(found / TUNE_JSON, TuneRecord, TUNE_FORMAT)


def test_real_runs_are_kept_and_the_report_of_the_folder_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Up to three workers, reads that wait: more than one win, every run reads on its own, `report` shows it again."""
    monkeypatch.chdir(tmp_path)
    assert words(monkeypatch, "tune", "small-files", *FLAGS, "--max-workers", "3", "--prefetch", "2", "--quiet") == 0
    told = capsys.readouterr()
    assert told.err == ""
    record = record_below(tmp_path)
    assert record.outcome == "complete"
    assert record.chosen is not None and record.chosen.setting.workers >= 2
    chosen = record.chosen
    assert chosen.command is not None and chosen.command.endswith(f"--workers {chosen.setting.workers} --prefetch 2")
    assert chosen.setting in [one.setting for one in record.runs] and chosen.why
    assert chosen.rate.samples_per_s >= 0.98 * max(one.rate.samples_per_s for one in record.runs if one.rate)
    (folder,) = (tmp_path / "results").glob("*-tune-*")
    for run in record.runs:
        assert run.rate is not None and run.directory is not None
        assert json.loads((folder / run.directory / "run.json").read_text())["outcome"] == "complete"
    assert words(monkeypatch, "report", str(folder)) == 0
    assert capsys.readouterr().out == told.out
    assert words(monkeypatch, "list", "--results", "results", "--json") == 0
    (listed,) = json.loads(capsys.readouterr().out)["runs"]
    assert listed["workload"] == "tune small-files"


def test_a_setting_that_the_run_refuses_is_a_finding(tmp_path: Path) -> None:
    """Eight workers share 64 samples: none of them has a batch of 16."""
    sections: dict[str, dict[str, str | int]] = {
        "workload": {"name": "streaming-shards", "shards": 8, "samples_per_shard": 8, "sample_size": "8KiB"},
        "store": {"url": str(tmp_path / "data")},
        "loader": {"batch_size": 16},
        "accelerator": {"name": "none"},
    }
    plan = plan_run(api.spec_of(sections))
    runs = WorkloadRuns(plan, None, tmp_path / "results", ["ioprof", "tune"], Silent())
    found = runs.measure(Setting(8, 2))
    assert found.samples_per_s is None
    assert found.problem is not None and "fewer workers" in found.problem
    assert not found.fits
    assert not (tmp_path / "results").exists()


def test_a_run_of_too_few_steps_is_made_again_longer(tmp_path: Path) -> None:
    """Batches of four files at 4 ms for an operation come a few in 250 ms."""
    sections: dict[str, dict[str, str | int | bool]] = {
        "workload": {"name": "small-files", "files": 200, "file_size": "1KiB"},
        "store": {"url": f"throttle+{tmp_path}/data?latency=4ms"},
        "loader": {"batch_size": 4, "name": "processes"},
        "accelerator": {"name": "none"},
        "run": {"cache": "asis", "duration": "250ms", "warmup": 2, "probe": False},
    }
    plan = plan_run(api.spec_of(sections))
    runs = WorkloadRuns(plan, api.prepare_plan(plan), tmp_path / "results", ["ioprof", "tune"], Silent())
    found = runs.measure(Setting(1, 2))
    assert found.problem is None and found.samples_per_s is not None
    assert len(list((tmp_path / "results").iterdir())) == 2
    assert found.trace is not None and found.trace.run.spec["run"]["duration"] == 4 * 250_000_000


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (("--loader", "null"), "loader null: has no workers to tune"),
        (("--workers", "2", "--prefetch", "2"), "--workers: with that given nothing is left to tune"),
        (
            ("--loader", "processes", "--max-workers", "0"),
            "--max-workers 0: the loader processes takes no such setting",
        ),
        (("--budget", "20"), "--budget: '20' has no unit"),
        (("--set", "loader.workers=x"), "not a count"),
    ],
)
def test_what_cannot_be_tuned_is_told_in_one_line(
    given: tuple[str, ...],
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Exit code 2, before anything is prepared."""
    monkeypatch.chdir(tmp_path)
    assert words(monkeypatch, "tune", "small-files", *given) == 2
    err = capsys.readouterr().err
    assert told in err and err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_says_which_settings_it_would_choose_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is made."""
    monkeypatch.chdir(tmp_path)
    assert words(monkeypatch, "tune", "small-files", *FLAGS, "--max-workers", "2", "--dry-run", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["workers"] for one in found["tune"]["settings"]] == [1] * 4 + [2] * 4
    assert found["workload"]["files"] == 200
    assert list(tmp_path.iterdir()) == []


def test_the_command_for_the_winner_keeps_what_describes_the_load() -> None:
    """What was about the tuning alone is left out."""
    command = [
        "ioprof",
        "tune",
        "small-files",
        "--files=1k",
        "--budget",
        "60s",
        "--duration=2s",
        "--json",
        "--cache",
        "asis",
    ]
    assert run_words(command, Setting(4, 2)) == (
        "ioprof run small-files --files=1k --cache asis --workers 4 --prefetch 2"
    )
    assert run_words(["ioprof", "tune", "x.toml", "-q"], Setting(0, None)) == "ioprof run x.toml --workers 0"


def test_a_report_fits_its_width_and_leads_with_the_answer(tmp_path: Path) -> None:
    """A record as a file of the format holds it; tables apart, no line is wider than asked for."""
    record = TuneRecord.model_validate_json(json.dumps(_RECORD))
    lines = [line.plain for line in render_tune(record, 80)]
    assert "  4 workers, prefetch 2: 980 samples/s (960 - 1,000), accelerator busy 97.0 %," in lines
    assert any("●" in line for line in lines) and any("○" in line for line in lines)
    assert any("8 workers, prefetch 2 failed: a worker was killed by SIGBUS" in line for line in lines)
    assert lines[-1] == "  Use it: ioprof run small-files --workers 4 --prefetch 2"
    assert max(map(len, lines)) <= 100


def _point(workers: int, rate: float, *, is_measured: bool) -> dict[str, object]:
    return {
        "setting": {"workers": workers, "prefetch": 2 if workers else None},
        "rate": _rate(rate),
        "is_measured": is_measured,
    }


def _rate(rate: float) -> dict[str, object]:
    return {"samples_per_s": rate, "samples_per_s_ci95": [rate - 20, rate + 20], "accelerator_utilization": 0.97}


_RECORD = {
    "format": 1, "ioprof_version": "0.1.0", "outcome": "complete", "started_utc": "2026-01-01T00:00:00Z",
    "command": ["ioprof", "tune"], "label": None, "workload": "small-files", "loader": "torch-map", "store": "./data",
    "accelerator": "h100", "cache": "cold", "cores": 2.0, "cores_told": "2 CPUs by affinity",
    "most_workers": 8, "budget_s": 60.0,
    "spent_s": 31.0, "predicted_by": "replay", "assumptions": ["the store stays as it was"],
    "runs": [
        {"setting": {"workers": 4, "prefetch": 2}, "why": "winner", "rate": _rate(980), "predicted": _rate(1000),
         "problem": None, "directory": "a", "seconds": 5.0},
        {"setting": {"workers": 8, "prefetch": 2}, "why": "best", "rate": None, "predicted": None,
         "problem": "a worker was killed by SIGBUS", "directory": "b", "seconds": 5.0},
    ],
    "curve": [_point(0, 200, is_measured=True), _point(2, 600, is_measured=False), _point(4, 980, is_measured=True),
              _point(5, 1000, is_measured=False)],
    "limits": [{"setting": {"workers": 8, "prefetch": 4}, "reason": "shared memory: 32 batches are too many"}],
    "chosen": {"setting": {"workers": 4, "prefetch": 2}, "rate": _rate(980), "of_best_ratio": 0.98,
               "gain_of_one_more_worker_ratio": 0.0204, "bound": "storage-latency", "why": "The store gives no more.",
               "command": "ioprof run small-files --workers 4 --prefetch 2"},
    "remarks": ["a prediction was wrong"],
}  # fmt: skip
