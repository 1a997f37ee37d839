"""`ioprof.tune(make_loader)`: real DataLoaders with real workers, and what is no matter of a setting."""

from __future__ import annotations

import gc
import json
import os
import traceback
from collections.abc import Iterable
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader, Dataset, get_worker_info

import ioprof
from ioprof.contract import bytes_in
from ioprof.errors import RunError, SpecError, UsageError
from ioprof.runner.interrupt import Interrupted
from ioprof.tuning.own_loader import OwnLoaderRuns, check_setting
from ioprof.tuning.setting import Setting
from tests.watched_loaders import Numbers

pytestmark = [
    pytest.mark.usefixtures("nothing_left"),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]


def plain_loader(workers: int, prefetch: int | None) -> DataLoader[torch.Tensor]:
    """A loader of nothing but waiting, which workers divide among themselves."""
    return DataLoader(
        Numbers(400, slow_s=0.001), batch_size=4, num_workers=workers, prefetch_factor=prefetch,
        persistent_workers=workers > 0,
    )  # fmt: skip


def nothing_told(line: str) -> None:
    """Ignore it."""


def test_the_answer_is_a_setting_that_was_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every measurement is a run directory below the tuning's, and the report names the call to make."""
    lines: list[str] = []
    used: list[int] = []
    found = ioprof.tune(
        plain_loader, lambda batch: used.append(len(batch)), duration_s=1.0, budget_s=60, max_workers=2,
        results=tmp_path, label="mine", on_progress=lines.append,
    )  # fmt: skip
    chosen = found.record.chosen
    assert chosen is not None
    measured = [run for run in found.record.runs if run.rate is not None]
    assert chosen.setting in [run.setting for run in measured]
    assert (found.workers, found.prefetch) == (chosen.setting.workers, chosen.setting.prefetch)
    assert chosen.command == f"plain_loader({found.workers}, {found.prefetch})"
    assert found.record.outcome == "complete"
    assert set(used) == {4}
    for run in measured:
        assert run.directory is not None
        summary = json.loads((found.directory / run.directory / "summary.json").read_text())
        assert run.rate is not None
        assert summary["samples_per_s"] == run.rate.samples_per_s
        assert run.rate.accelerator_utilization == summary["accelerator_utilization"]
    assert len([line for line in lines if line.startswith("run ")]) == len(found.record.runs)
    assert found.directory.name.endswith("-tune-plain_loader-mine")
    found.report()
    shown = capsys.readouterr().out
    assert f"Use it: {chosen.command}" in shown
    assert found.record.predicted_by is not None
    assert found.record.predicted_by.startswith("replay")


def runs_of(make: object, folder: Path, train_step: object = None) -> OwnLoaderRuns[object]:
    """Return short runs of a loader."""
    assert callable(make)
    assert train_step is None or callable(train_step)
    return OwnLoaderRuns(make, train_step, directory=folder, duration_s=1.0)


def test_a_short_dataset_is_gone_through_again_and_again(tmp_path: Path) -> None:
    """Twelve batches a pass, and a run needs more: the passes are the run's epochs."""
    runs = runs_of(lambda workers, prefetch: DataLoader(Numbers(24), batch_size=2), tmp_path)
    found = runs.measure(Setting(0, None))
    assert found.problem is None
    assert found.trace is not None
    assert len(set(found.trace.steps["epoch"].to_pylist())) > 1
    assert found.steps >= 20
    assert found.accelerator_utilization is None, "nothing used the batches"


def test_batches_and_workers_are_held_against_what_the_host_has(tmp_path: Path) -> None:
    """A batch of four samples of three integers, and what a worker has for itself."""
    found = runs_of(plain_loader, tmp_path).measure(Setting(1, 1))
    assert found.batch_bytes == 4 * 3 * 8
    assert found.worker_bytes is not None
    assert found.worker_bytes > 0
    tensor = torch.zeros(5, dtype=torch.int16)
    assert bytes_in({"x": [tensor, (tensor, "name")], "y": tensor.numpy(), "n": 3}) == 30


def test_any_iterable_of_batches_can_be_tuned(tmp_path: Path) -> None:
    """What makes its batches cannot be seen; how fast they came can."""
    found = runs_of(lambda workers, prefetch: [[1, 2], [3, 4]] * 50, tmp_path).measure(Setting(1, 2))
    assert found.samples_per_s is not None
    assert found.worker_bytes is None


class _Dies(Dataset[int]):
    """A worker of it ends as one that the kernel killed for memory."""

    def __len__(self) -> int:
        return 40

    def __getitem__(self, index: int) -> int:
        if get_worker_info() is not None and index == 8:
            os.kill(os.getpid(), 9)
        return index


def dying_loader(workers: int, prefetch: int | None) -> DataLoader[int]:
    """Works without workers alone."""
    return DataLoader(_Dies(), batch_size=2, num_workers=workers, prefetch_factor=prefetch)


# torch makes temporary files when a connection to a worker breaks, and tells of its death from a signal handler,
# which may strike just then: the file is left to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_setting_whose_workers_are_killed_is_a_finding(tmp_path: Path) -> None:
    """The run tells the signal, and the loader still works without workers."""
    failed = OwnLoaderRuns(dying_loader, None, directory=tmp_path, duration_s=60).measure(Setting(1, 2))
    assert not failed.fits
    assert failed.samples_per_s is None
    assert "SIGKILL" in (failed.problem or "")
    gc.collect()
    assert runs_of(dying_loader, tmp_path).measure(Setting(0, None)).fits


# torch makes temporary files when a connection to a worker breaks, and tells of its death from a signal handler,
# which may strike just then: the file is left to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_workers_that_are_killed_whatever_the_setting_end_the_tuning(tmp_path: Path) -> None:
    """One line says how; what was tried is kept."""
    with pytest.raises(RunError, match=r"^no setting could be measured: 1 worker.*SIGKILL"):
        ioprof.tune(dying_loader, duration_s=60, max_workers=1, results=tmp_path, on_progress=nothing_told)
    (folder,) = tmp_path.iterdir()
    assert len(json.loads((folder / "tune.json").read_text())["runs"]) == 2
    gc.collect()


def broken_loader(workers: int, prefetch: int | None) -> DataLoader[torch.Tensor]:
    """Its dataset has a mistake."""
    return DataLoader(Numbers(fails_at=6), batch_size=2, num_workers=workers, prefetch_factor=prefetch)


def test_a_mistake_in_the_dataset_goes_on_to_the_caller(tmp_path: Path) -> None:
    """It is no matter of the setting; the tuning says why it ended."""
    with pytest.raises(KeyError, match="sample 6 is broken") as caught:
        ioprof.tune(broken_loader, duration_s=60, results=tmp_path, max_workers=1, on_progress=nothing_told)
    traceback.clear_frames(caught.tb)  # torch's own are in a circle with the error: the workers would stay
    (folder,) = tmp_path.iterdir()
    record = json.loads((folder / "tune.json").read_text())
    assert record["outcome"] == "failed"
    assert "sample 6 is broken" in record["reason"]


def test_what_the_training_step_raises_goes_on_to_the_caller(tmp_path: Path) -> None:
    """Even what a loader that lacks memory would raise."""

    def step(batch: object) -> None:
        raise RuntimeError("out of the device's memory")

    with pytest.raises(RuntimeError, match="out of the device's memory"):
        runs_of(plain_loader, tmp_path, step).measure(Setting(1, 1))
    (folder,) = tmp_path.iterdir()
    assert json.loads((folder / "run.json").read_text())["outcome"] == "failed"


def test_a_signal_keeps_what_was_measured(tmp_path: Path) -> None:
    """The run that it came in is marked as well."""

    def step(batch: object) -> None:
        raise Interrupted(2)

    with pytest.raises(Interrupted):
        ioprof.tune(plain_loader, step, duration_s=0.1, results=tmp_path, max_workers=1, on_progress=nothing_told)
    (folder,) = tmp_path.iterdir()
    assert json.loads((folder / "tune.json").read_text())["outcome"] == "interrupted"


def test_a_loader_of_another_setting_is_refused() -> None:
    """A function that drops its arguments would measure one setting under the names of all."""
    with pytest.raises(UsageError, match=r"make_loader\(3, 2\).*num_workers=0; pass the first argument"):
        check_setting(DataLoader(Numbers()), Setting(3, 2))
    with pytest.raises(UsageError, match=r"make_loader\(1, 4\).*prefetch_factor=2; pass the second argument"):
        check_setting(DataLoader(Numbers(), num_workers=1), Setting(1, 4))
    check_setting(DataLoader(Numbers(), num_workers=1, prefetch_factor=4), Setting(1, 4))


def test_a_loader_without_batches_is_refused(tmp_path: Path) -> None:
    """It would be gone through for ever."""
    with pytest.raises(UsageError, match="no batches"):
        runs_of(lambda workers, prefetch: [], tmp_path).measure(Setting(0, None))


def test_what_makes_no_sense_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    """A loader in the place of a function above all."""
    loader: Iterable[object] = [1]
    with pytest.raises(SpecError, match="give a function of"):
        ioprof.tune(loader, results=tmp_path)
    with pytest.raises(SpecError, match="budget_s = 0"):
        ioprof.tune(plain_loader, budget_s=0, results=tmp_path)
    with pytest.raises(SpecError, match="max_workers = -1"):
        ioprof.tune(plain_loader, max_workers=-1, results=tmp_path)
    assert not list(tmp_path.iterdir())
