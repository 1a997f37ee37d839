"""The folders of mixed runs and suites."""

from __future__ import annotations

from pathlib import Path

import pytest

from ioprof.compound.json_file import make_directory
from ioprof.errors import RunDirectoryError


def test_a_name_that_another_takes_meanwhile_gets_a_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two that start in the same second both get a folder, whoever asks or makes first."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run-2").symlink_to(tmp_path / "nowhere")
    monkeypatch.setattr(Path, "exists", lambda path: False)
    assert make_directory(tmp_path, "run") == tmp_path / "run-3"
    assert make_directory(tmp_path, "run") == tmp_path / "run-4"


def test_results_that_are_no_folder_are_told(tmp_path: Path) -> None:
    """In one line, with what to do."""
    (tmp_path / "file").touch()
    with pytest.raises(RunDirectoryError, match=r"file: cannot write results there: File exists; choose another"):
        make_directory(tmp_path / "file", "run")
