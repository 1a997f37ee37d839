"""The trainers' callbacks in real trainings: a run directory comes of each, and nothing of the training changes."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from ioprof import load
from ioprof.trace.rundir import read_run_json

pytestmark = pytest.mark.filterwarnings("ignore")
SAMPLES = 96


class Files(Dataset[torch.Tensor]):
    """Reads a small file for each sample."""

    def __init__(self, folder: Path, broken: int = -1) -> None:
        self._folder, self._broken = folder, broken
        for number in range(SAMPLES):
            (folder / f"{number}.bin").write_bytes(bytes([number]) * 64)

    def __len__(self) -> int:
        return SAMPLES

    def __getitem__(self, number: int) -> torch.Tensor:
        if number == self._broken:
            raise LookupError(f"sample {number} is broken")
        content = bytearray((self._folder / f"{number}.bin").read_bytes())
        return torch.frombuffer(content, dtype=torch.uint8).float()


def _module(name: str) -> Any:  # noqa: ANN401 - a library without types
    return pytest.importorskip(name)


def _lightning_model(seen: list[list[float]]) -> Any:  # noqa: ANN401
    lightning = _module("lightning.pytorch")

    class Model(lightning.LightningModule):  # type: ignore[misc, name-defined]
        """One weight; keeps what it was given."""

        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))

        def training_step(self, batch: torch.Tensor, number: int) -> torch.Tensor:
            seen.append(batch[:, 0].tolist())
            return (batch.mean() * self.weight).sum()

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    return Model()


def _fit(folder: Path, callbacks: list[object], dataset: Files) -> list[list[float]]:
    lightning, seen = _module("lightning.pytorch"), list[list[float]]()
    trainer = lightning.Trainer(
        max_epochs=2, callbacks=callbacks, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        accelerator="cpu", default_root_dir=str(folder), enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(_lightning_model(seen), DataLoader(dataset, batch_size=8, num_workers=1))
    return seen


@pytest.mark.usefixtures("nothing_left")
def test_a_lightning_training_is_watched_and_stays_as_it_is(tmp_path: Path) -> None:
    """The same batches in the same order; every read is seen, and every step but the last of each epoch.

    Lightning knows from the loader's length that a batch is the last, and asks for no other: nothing tells of its end.
    """
    _module("lightning.pytorch")
    callback = importlib.import_module("ioprof.integrations.lightning").IoprofCallback(tmp_path / "results", warmup=2)
    (tmp_path / "data").mkdir()
    dataset = Files(tmp_path / "data")
    assert _fit(tmp_path, [callback], dataset) == _fit(tmp_path, [], dataset)
    run = load(callback.directory)
    assert (run.record.outcome, run.summary.steps + run.summary.warmup_steps) == ("complete", 2 * (SAMPLES // 8 - 1))
    assert run.summary.operations["read"].count >= SAMPLES
    assert run.summary.operations["read"].errors == 0


def test_an_exception_in_a_lightning_training_is_kept_with_the_run(tmp_path: Path) -> None:
    """It reaches the user as ever, and the run directory names it."""
    _module("lightning.pytorch")
    callback = importlib.import_module("ioprof.integrations.lightning").IoprofCallback(tmp_path / "results")
    (tmp_path / "data").mkdir()
    with pytest.raises(LookupError, match="sample 40 is broken"):
        _fit(tmp_path, [callback], Files(tmp_path / "data", broken=40))
    record = read_run_json(callback.directory)
    assert record.outcome == "failed" and "sample 40 is broken" in str(record.reason)


@pytest.mark.usefixtures("nothing_left")
def test_a_hugging_face_training_is_watched_and_stays_as_it_is(tmp_path: Path) -> None:
    """The same batches in the same order; the trainer's own loader is followed through accelerate."""
    transformers = _module("transformers")
    _module("accelerate")
    callbacks = importlib.import_module("ioprof.integrations.huggingface")
    (tmp_path / "data").mkdir()
    dataset = Files(tmp_path / "data")

    class Model(torch.nn.Module):
        """One weight; keeps what it was given."""

        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))
            self.seen: list[list[float]] = []

        def forward(self, batch: torch.Tensor) -> dict[str, torch.Tensor]:
            self.seen.append(batch[:, 0].tolist())
            return {"loss": (batch.mean() * self.weight).sum()}

    def trained(added: list[object]) -> list[list[float]]:
        arguments = transformers.TrainingArguments(
            output_dir=str(tmp_path / "out"), num_train_epochs=2, per_device_train_batch_size=8, report_to=[],
            logging_strategy="no", save_strategy="no", dataloader_num_workers=1, use_cpu=True,
            disable_tqdm=True, seed=3,
        )  # fmt: skip
        model = Model()
        transformers.Trainer(
            model, arguments, train_dataset=dataset, data_collator=lambda rows: {"batch": torch.stack(rows)},
            callbacks=added,
        ).train()  # fmt: skip
        return model.seen

    callback = callbacks.IoprofCallback(tmp_path / "results", warmup=2)
    assert trained([callback]) == trained([])
    run = load(callback.directory)
    assert (run.record.outcome, run.summary.steps + run.summary.warmup_steps) == ("complete", 2 * SAMPLES // 8)
    assert run.summary.operations["read"].count >= SAMPLES
    assert json.loads((callback.directory / "summary.json").read_text())["workload"] == "watched"
