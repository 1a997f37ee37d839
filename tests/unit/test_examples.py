"""The examples of the documentation: every key exists and every value is in range."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from ioprof import plugin_files
from ioprof.compound.mixed_spec import is_mixed, raw_mixed, resolve_mixed
from ioprof.compound.suite_spec import suite_spec
from ioprof.runner.plan import plan_run
from ioprof.spec.resolve import resolve
from ioprof.spec.sources import read_toml

TRAINING = Path(__file__).parents[2] / "docs" / "examples" / "watched_training.py"
EXAMPLES = sorted((Path(__file__).parents[2] / "docs" / "examples").glob("*.toml"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_file_can_be_run_as_it_stands(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs, mixed runs and suites alike, those with a plug-in file included."""
    monkeypatch.setenv(plugin_files.VARIABLE, "")
    if "[[entry]]" in path.read_text():
        assert [entry.missing for entry in suite_spec(str(path), [], []).entries] == [None] * 3
    elif is_mixed(str(path)):
        specs = resolve_mixed(raw_mixed(str(path), [], [], [])).pipelines
        assert [plan_run(one).spec.run.duration for one in specs.values()] == [6 * 10**9] * 3
    else:
        assert plan_run(resolve(read_toml(path))).spec.run.duration == 20 * 10**9


def test_the_watched_training_prints_its_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The loop of the documentation runs as it stands, and the report tells what it waited for."""
    program = runpy.run_path(str(TRAINING))
    (tmp_path / "data").mkdir()
    program["train"](tmp_path / "data", tmp_path / "results")
    told = capsys.readouterr().out
    assert "watched · DataLoader · 1 worker" in told
    assert "accelerator idle" in told
    assert "workers read passed the taps" in " ".join(told.split())
