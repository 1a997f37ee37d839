"""`ioprof profile` around a training script that knows nothing of it: real processes, however they end."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.e2e.driver import IOPROF, environment, leftovers

SCRIPT = """
import os, signal, sys, time
import torch
from torch.utils.data import DataLoader, Dataset

class Squares(Dataset):
    def __len__(self):
        return 240
    def __getitem__(self, index):
        if index == 100 and sys.argv[1:] == ["bad-sample"]:
            raise ValueError("sample 100 is bad")
        time.sleep(0.001)
        return torch.tensor(index * index)

if __name__ == "__main__":
    how = sys.argv[1]
    train = DataLoader(Squares(), batch_size=8, num_workers=2)
    total = 0
    for step, batch in enumerate(train):
        total += int(batch.sum())
        if step == 20 and how == "no-goodbye":
            os._exit(5)
        if step == 20 and how == "wait":
            print("waiting", flush=True)
            time.sleep(60)
    if how == "two-loaders":
        for batch in DataLoader(Squares(), batch_size=8):
            total += int(batch.sum())
    print("total", total)
    sys.exit(3)
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """A training script."""
    path = tmp_path / "train.py"
    path.write_text(SCRIPT)
    return path


def profiled(script: Path, *words: str, launcher: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Profile the script as its user would."""
    command = [*IOPROF, "profile", "--", sys.executable, *launcher, str(script), *words]
    return subprocess.run(
        command, cwd=script.parent, env=environment(script.parent), capture_output=True, text=True, timeout=120
    )


def runs(folder: Path) -> list[tuple[Path, dict[str, object], dict[str, object]]]:
    """Return each run directory with its run.json and summary.json, those of further loaders included."""
    found = sorted({*folder.glob("results/*/run.json"), *folder.glob("results/*/loaders/*/run.json")})
    return [
        (path.parent, json.loads(path.read_text()), json.loads((path.parent / "summary.json").read_text()))
        for path in found
    ]


def frames(errors: str) -> list[tuple[str, str]]:
    """Return file and function of each frame; which line of torch's hands a batch over depends on who is first."""
    return re.findall(r'File "(.*)", line \d+, in (.*)', errors)


def test_a_script_keeps_its_output_and_exit_code_and_its_loaders_are_told_apart(script: Path) -> None:
    """The report goes to stderr, with the command for each loader."""
    done = profiled(script, "two-loaders")
    assert (done.returncode, done.stdout) == (3, f"total {2 * sum(n * n for n in range(240))}\n")
    assert "accelerator idle" in done.stderr
    first, second = runs(script.parent)
    assert {first[1]["outcome"], second[1]["outcome"]} == {"complete"}
    assert [summary["steps"] for _, _, summary in (first, second)] == [25, 25], "5 of each 30 are warm-up"
    assert f"ioprof report {second[0].relative_to(script.parent)}" in done.stderr
    assert leftovers(script.parent) == []
    assert not list(script.parent.glob("ioprof-profile-*"))


def test_a_samples_error_is_the_scripts_own(script: Path) -> None:
    """Its traceback names torch and the script, as without the profiler, and the run says what ended it."""
    plain = subprocess.run([sys.executable, str(script), "bad-sample"], capture_output=True, text=True, timeout=120)
    done = profiled(script, "bad-sample")
    assert done.returncode == plain.returncode == 1
    assert frames(done.stderr) == frames(plain.stderr)
    assert "\nValueError: sample 100 is bad\n" in done.stderr
    (_, record, _), *_ = runs(script.parent)
    assert record["outcome"] == "failed"
    assert "sample 100 is bad" in str(record["reason"])


def test_a_script_that_leaves_without_goodbye_is_recorded_up_to_then(script: Path) -> None:
    """``os._exit`` runs no handler of ours: whoever profiles completes the run."""
    done = profiled(script, "no-goodbye")
    assert done.returncode == 5
    ((directory, record, summary),) = runs(script.parent)
    assert record["outcome"] == "failed"
    assert "exit code 5" in str(record["reason"])
    assert int(str(summary["steps"])) > 10
    assert not (directory / "trace").exists()


def test_each_rank_of_torchrun_has_its_run(script: Path) -> None:
    """Named after its rank."""
    done = profiled(script, "plain", launcher=("-m", "torch.distributed.run", "--nproc_per_node", "2"))
    assert done.returncode == 1, done.stderr
    assert sorted(str(record["label"]) for _, record, _ in runs(script.parent)) == ["rank0", "rank1"]


def test_ctrl_c_ends_the_script_and_leaves_a_run(script: Path) -> None:
    """The terminal tells both; only the script decides, and the profiler waits for it."""
    child = subprocess.Popen(
        [*IOPROF, "profile", "--", sys.executable, str(script), "wait"],
        cwd=script.parent, env=environment(script.parent), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert child.stdout is not None
    assert child.stdout.readline() == "waiting\n"
    time.sleep(0.1)
    child.send_signal(signal.SIGINT)
    _, errors = child.communicate(timeout=60)
    assert child.returncode == 130, errors
    ((_, record, _),) = runs(script.parent)
    assert record["outcome"] == "interrupted"
    assert leftovers(script.parent) == []


def test_a_program_without_loaders_is_told_so(tmp_path: Path) -> None:
    """Nothing is recorded, and nothing is made up."""
    command = [*IOPROF, "profile", "--", sys.executable, "-c", "print('hello')"]
    done = subprocess.run(command, cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "hello\n")
    assert done.stderr == "ioprof: nothing was watched: the program iterated over no torch DataLoader\n"
