"""A disk of the results that fills up: told at once, in one line, and what was measured still reads."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

import ioprof
from ioprof.errors import ResultsFullError
from ioprof.runner import steps
from ioprof.selftest import suite
from ioprof.selftest.cases import cases
from ioprof.trace import finish
from ioprof.trace.rundir import read_run_json

pytestmark = [
    pytest.mark.usefixtures("nothing_left"),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]


def run(tmp_path: Path) -> None:
    """Run what would take an hour."""
    ioprof.run(
        {
            "workload": {"name": "small-files", "files": 64, "file_size": "4KiB"},
            "store": {"url": str(tmp_path / "store")},
            "loader": {"name": "processes", "workers": 1, "batch_size": 8},
            "accelerator": {"compute": "10ms"},
            "run": {"duration": "1h", "probe": False, "cache": "warm", "results": str(tmp_path / "results")},
        }
    )


def test_a_disk_that_fills_up_ends_the_run_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not when a log wants its next segment, thousands of steps later; the tables still found room."""
    monkeypatch.setattr(steps, "LEAST_ROOM_BYTES", 1 << 80)
    with pytest.raises(ResultsFullError) as stopped:
        run(tmp_path)
    told = str(stopped.value)
    for words in (str(tmp_path / "results"), "No space left", "free some space", "--results", "measured is kept"):
        assert words in told
    (directory,) = (tmp_path / "results").iterdir()
    left = ioprof.load(directory)
    assert left.record.outcome == "failed"
    assert left.record.epochs
    assert left.directory.joinpath("steps.parquet").is_file()


def test_what_a_full_disk_refuses_on_top_is_not_told_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither tables nor run.json could be written: one line says it all, and the raw trace reads."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(steps, "LEAST_ROOM_BYTES", 1 << 80)
    monkeypatch.setattr(finish, "finish_tables", full)
    with pytest.raises(ResultsFullError) as stopped:
        run(tmp_path)
    assert not getattr(stopped.value, "__notes__", [])
    (directory,) = (tmp_path / "results").iterdir()
    assert (directory / "trace").is_dir()
    assert read_run_json(directory).reason == "No space left on device"


def test_a_self_test_without_room_says_what_to_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its folder is temporary: TMPDIR is what the user can set, before and in the middle."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(suite, "ROOM_BYTES", 1 << 80)
    with pytest.raises(ResultsFullError, match=f"^{tmp_path}: no room for the self-test.*set TMPDIR"):
        list(suite.run_cases(cases(quick=True), lambda *_: None))
    assert not list(tmp_path.iterdir())
