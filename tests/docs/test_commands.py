"""Every command of the documentation works as it is shown, with less data and less time."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.docs.commands import ROOT, Shown, elsewhere, runnable, shown
from tests.e2e.driver import ioprof

TRAINING = """
import sys
import torch
from torch.utils.data import DataLoader, TensorDataset

for batch in DataLoader(TensorDataset(torch.zeros(64, 4)), batch_size=8, num_workers=1):
    pass
"""
SPEC = """
[workload]
name = "small-files"
files = 160
file_size = "4KiB"
"""
SUITE = """
name = "nightly"

[run]
duration = "1s"

[[entry]]
workload.name = "small-files"
workload.files = 160
workload.file_size = "4KiB"
"""
MIXED = """
[pipeline.images]
workload.name = "small-files"
workload.files = 160
workload.file_size = "4KiB"
loader.batch_size = 8

[pipeline.storm]
workload.name = "metadata-storm"
workload.files = 200
workload.operations = 2000
"""
RUN = (
    "run", "small-files", "--files", "400", "--file-size", "4KiB", "--batch-size", "8", "--compute", "2ms",
    "--duration", "2s", "--quiet",
)  # fmt: skip


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a probe, for commands that read one."""
    folder = tmp_path_factory.mktemp("recorded")
    done = ioprof(*RUN, cwd=folder)
    assert done.returncode == 0, done.stderr
    return next((folder / "results").glob("*-small-files-*"))


def profiled(directory: Path) -> str:
    """Return a trace as torch's profiler writes them, with one operator while the run opened its loader."""
    run = json.loads((directory / "run.json").read_text())
    unix_ns = run["loader_open_ns"] + run["clock"]["wall_offset_ns"]
    operator = {"ph": "X", "name": "aten::mm", "pid": 4711, "tid": 4711, "ts": unix_ns / 1000, "dur": 50.0}
    return json.dumps({"schemaVersion": 1, "traceEvents": [operator]})


@pytest.fixture
def desk(tmp_path: Path, recorded: Path) -> Path:
    """A folder with all that the pages take for granted: runs, spec files, a training program, configurations."""
    for name in ("RUN", "20261124T000609Z-small-files-torch-map"):
        shutil.copytree(recorded, tmp_path / "results" / name)
    for name in ("A", "B"):
        shutil.copytree(recorded, tmp_path / "results" / name)
        path = tmp_path / "results" / name / "run.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"label": name}))
    for name in ("my.toml", "mine.toml"):
        (tmp_path / name).write_text(SPEC)
    (tmp_path / "my-mixed.toml").write_text(MIXED)
    (tmp_path / "nightly.toml").write_text(SUITE)
    (tmp_path / "train.py").write_text(TRAINING)
    (tmp_path / "sizes.csv").write_text("4096,1\n8192,2\n")
    (tmp_path / "torch_trace.json").write_text(profiled(recorded))
    (tmp_path / "other-store").mkdir()
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    (tmp_path / "my_loader.py").symlink_to(ROOT / "docs" / "examples" / "my_loader.py")
    for name in ("unet3d_h100.yaml", "resnet50_h100.yaml", "llama_8b_zero3.yaml"):
        shutil.copy(ROOT / "tests" / "data" / "dlio" / name, tmp_path)
    return tmp_path


@pytest.mark.parametrize("one", [one for one in shown() if elsewhere(one.words) is None], ids=lambda one: one.told)
def test_a_command_of_the_documentation_works(one: Shown, desk: Path) -> None:
    """It ends with exit code 0, and says nothing that looks like a defect."""
    done = ioprof(*runnable(one.words), cwd=desk)
    assert done.returncode in (0, 3 if "--require" in one.words else 0), done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
