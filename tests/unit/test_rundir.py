"""Run directories: their names, and run.json as it is written and refused."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from trace_builder import run_record

from ioprof.errors import RunDirectoryError
from ioprof.trace.results_folder import check_results
from ioprof.trace.rundir import RAW, RUN_JSON, create_run_directory, read_run_json, write_run_json
from ioprof.trace.schema import FORMAT


def _create(results: Path, label: str | None = None) -> Path:
    return create_run_directory(
        results, started_utc="2026-11-23T10:00:00Z", workload="small-files", loader="torch-map", label=label
    )


def test_the_name_says_when_what_how_and_the_label(tmp_path: Path) -> None:
    """Sorted by name they are sorted by time; a second run of the same second gets a number."""
    assert _create(tmp_path / "new" / "results").name == "20261123T100000Z-small-files-torch-map"
    names = [_create(tmp_path, "a").name for _ in range(3)]
    assert names == [f"20261123T100000Z-small-files-torch-map-a{suffix}" for suffix in ("", "-2", "-3")]
    assert (tmp_path / names[0] / RAW).is_dir()


def test_a_path_in_the_name_of_a_plug_in_stays_inside_of_results(tmp_path: Path) -> None:
    """A workload may be named by a path."""
    made = create_run_directory(tmp_path, started_utc="t", workload="../../x:y", loader="l", label=None)
    assert made.parent == tmp_path


@pytest.mark.parametrize("act", [check_results, _create])
def test_results_that_cannot_be_written_are_refused_in_one_line(act: object, tmp_path: Path) -> None:
    """The folder, the reason, and the flag that helps."""
    (tmp_path / "file").touch()
    with pytest.raises(
        RunDirectoryError, match=r"cannot write results there: .*; choose another folder with --results"
    ):
        act(tmp_path / "file" / "results")  # type: ignore[operator]


def test_checking_results_leaves_nothing_behind(tmp_path: Path) -> None:
    """Only the folder itself is made."""
    check_results(tmp_path / "results")
    assert list((tmp_path / "results").iterdir()) == []


def test_a_record_comes_back_as_it_was_written(tmp_path: Path) -> None:
    """And it is replaced in one step: no other file is left."""
    record = run_record()
    write_run_json(tmp_path, record)
    write_run_json(tmp_path, record.model_copy(update={"outcome": "failed", "reason": "disk full"}))
    found = read_run_json(tmp_path)
    assert (found.outcome, found.reason) == ("failed", "disk full")
    assert found.model_copy(update={"outcome": "complete", "reason": None}) == record
    assert [path.name for path in tmp_path.iterdir()] == [RUN_JSON]


def test_a_record_that_cannot_be_replaced_leaves_the_old_one(tmp_path: Path) -> None:
    """A failed write costs the news, not the run."""
    write_run_json(tmp_path, run_record())
    (tmp_path / f"{RUN_JSON}.new").mkdir()
    with pytest.raises(OSError, match="directory"):
        write_run_json(tmp_path, run_record(busy_ns=None))
    assert read_run_json(tmp_path) == run_record()


def _written(folder: Path, **changes: object) -> str:
    write_run_json(folder, run_record())
    return json.dumps(json.loads((folder / RUN_JSON).read_text()) | changes)


def test_unknown_keys_of_a_newer_minor_version_are_passed_over(tmp_path: Path) -> None:
    """The format number guards what would be misread."""
    (tmp_path / RUN_JSON).write_text(_written(tmp_path, added_later={"a": 1}))
    assert read_run_json(tmp_path) == run_record()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "corrupt: not what ioprof writes"),
        ("{", "corrupt: not what ioprof writes"),
        ("[]", "corrupt: not what ioprof writes"),
        ("[" * 100_000, "corrupt: not what ioprof writes"),
        ("{}", "corrupt: not what ioprof writes"),
        ('{"format": 1}', "corrupt: "),
        ('{"format": "one"}', "format 'one' is newer than"),
        (f'{{"format": {FORMAT + 1}}}', f"format {FORMAT + 1} is newer than {FORMAT}, .*upgrade ioprof"),
        ("\udcff", "cannot be read"),
    ],
)
def test_a_run_json_that_is_none_is_refused_in_one_line(content: str, message: str, tmp_path: Path) -> None:
    """Path and reason; a newer format names the way out."""
    (tmp_path / RUN_JSON).write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(RunDirectoryError, match=message) as caught:
        read_run_json(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("key", "value"), [("outcome", "splendid"), ("seed", "x"), ("workload", None), ("epochs", 3)])
def test_a_wrong_value_is_named(key: str, value: object, tmp_path: Path) -> None:
    """So that a file that was edited by hand can be mended."""
    (tmp_path / RUN_JSON).write_text(_written(tmp_path, **{key: value}))
    with pytest.raises(RunDirectoryError, match=f"corrupt: {key}"):
        read_run_json(tmp_path)


def test_a_truncated_run_json_is_refused_wherever_it_was_cut(tmp_path: Path) -> None:
    """Never a traceback, never half a record."""
    write_run_json(tmp_path, run_record())
    whole = (tmp_path / RUN_JSON).read_text().rstrip()
    for length in range(0, len(whole), 37):
        (tmp_path / RUN_JSON).write_text(whole[:length])
        with pytest.raises(RunDirectoryError, match=re.escape(str(tmp_path))):
            read_run_json(tmp_path)


def test_a_folder_that_is_no_run_directory_is_refused(tmp_path: Path) -> None:
    """A mistyped path says so."""
    with pytest.raises(RunDirectoryError, match=r"not a run directory \(it has no run\.json\)"):
        read_run_json(tmp_path / "absent")
