"""`--plugin FILE` through the real command line: in the preparing pool, in workers of every start method."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.e2e.driver import ioprof

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
SMALL = ["--records", "4", "--record-size", "1KiB", "--batch-size", "50", "--compute", "1ms"]


@pytest.mark.parametrize("start_method", ["fork", "spawn", "forkserver"])
def test_a_workload_of_a_file_runs_with_every_start_method(tmp_path: Path, start_method: str) -> None:
    """4,000 objects are prepared by several processes; each worker reads with the file's own reader."""
    words = ["--plugin", str(EXAMPLES / "my_workload.py"), "--files", "4k", *SMALL, "--start-method", start_method]
    done = ioprof("run", "my-records", *words, "--epochs", "1", "--warmup", "0", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert (summary["workload"], summary["samples"]) == ("my-records", 16_000)
    assert summary["operations"]["read"]["bytes"] == 16_000 * 1024
    (directory,) = (tmp_path / "results").iterdir()
    assert any(name.startswith("plugin ") for name in json.loads((directory / "run.json").read_text())["versions"])
    report = ioprof("report", str(directory), cwd=tmp_path)  # without the file
    assert report.returncode == 0, report.stderr


def test_a_spec_file_with_a_plugin_runs_from_anywhere(tmp_path: Path) -> None:
    """Its plug-in lies beside it; a dry run prints what would give the same run again."""
    shutil.copytree(EXAMPLES, tmp_path / "moved")
    words = ["run", "moved/my_workload.toml", *SMALL, "--files", "2", "--epochs", "1", "--warmup", "0"]
    words += ["--set", "loader.batch_size=4", "--set", "run.duration=60s"]
    done = ioprof(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    dry = ioprof(*words, "--dry-run", cwd=tmp_path)
    (tmp_path / "again.toml").write_text(dry.stdout)
    again = ioprof("run", "again.toml", "--dry-run", cwd=tmp_path)
    assert (again.returncode, again.stdout) == (0, dry.stdout), again.stderr


def test_list_and_help_show_a_files_workload(tmp_path: Path) -> None:
    """With its parameters, as those of built-in ones."""
    plugin = ["--plugin", str(EXAMPLES / "my_workload.py")]
    listed = ioprof("list", "my-records", *plugin, cwd=tmp_path)
    assert (listed.returncode, "--record-size" in listed.stdout) == (0, True), listed.stderr
    assert "my-records" in ioprof("list", *plugin, cwd=tmp_path).stdout


def test_an_error_in_a_plugin_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    """No traceback of ioprof's own."""
    (tmp_path / "bad.py").write_text("x = 1\nraise ValueError('no such feature')\n")
    done = ioprof("run", "anything", "--plugin", "bad.py", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"ioprof: error: {tmp_path}/bad.py:2: ValueError: no such feature\n"


def test_a_spec_file_makes_a_workload_of_a_built_in_one(tmp_path: Path) -> None:
    """What it sets holds, flags win over it, and the rest is the built-in's default."""
    flags = ["--files", "96", "--duration", "2s", "--no-probe", "--warmup", "0", "--json"]
    words = ["run", str(EXAMPLES / "photos.toml"), *flags]
    done = ioprof(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (directory,) = (tmp_path / "results").iterdir()
    spec = json.loads((directory / "run.json").read_text())["spec"]
    assert (spec["workload"]["files"], spec["workload"]["decode"], spec["loader"]["batch_size"]) == (96, 2_000_000, 32)
