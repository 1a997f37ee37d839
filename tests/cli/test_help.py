"""What the help of `run` tells beyond the common flags."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

WIDE = os.environ | {"COLUMNS": "200", "NO_COLOR": "1"}


def _help(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ioprof.cli.main", "run", *words, "--help"]
    return subprocess.run(command, cwd=cwd, env=WIDE, capture_output=True, text=True, timeout=60)


def _row(text: str, flag: str) -> str:
    """Return the row of a flag in the tables of parameters, which come last."""
    return " ".join([line for line in text.splitlines() if line.startswith(f"{flag} ")][-1].split())


def test_help_behind_a_workload_lists_its_flags_with_default_and_range(tmp_path: Path) -> None:
    """Those of the workload, of the loader that would be taken, and of every run."""
    told = _help("small-files", cwd=tmp_path)
    assert (told.returncode, told.stderr) == (0, "")
    assert _row(told.stdout, "--files").startswith("--files 20000 1 to 1G number of files")
    assert "fork, spawn or forkserver" in _row(told.stdout, "--start-method")
    assert "5 0 to 1M or auto" in _row(told.stdout, "--warmup")
    assert "h100" in _row(told.stdout, "--accelerator")


def test_help_follows_the_loader_and_the_spec_file(tmp_path: Path) -> None:
    """What is named decides which flags there are."""
    assert "--start-method" not in _help("small-files", "--loader", "null", cwd=tmp_path).stdout
    (tmp_path / "my.toml").write_text("[workload]\nname = 'small-files'\n")
    assert "--files-per-dir" in _help("my.toml", cwd=tmp_path).stdout


@pytest.mark.parametrize(("words", "code"), [([], 0), (["small-flies"], 2)])
def test_help_without_a_workload_is_the_common_one(words: list[str], code: int, tmp_path: Path) -> None:
    """A name that is not known is told as by the run itself."""
    told = _help(*words, cwd=tmp_path)
    assert told.returncode == code
    assert "--batch-size" in told.stdout and "--files-per-dir" not in told.stdout
    assert ("did you mean 'small-files'?" in told.stderr) == bool(code)
