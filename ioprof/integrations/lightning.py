"""A callback for Lightning's Trainer.

from ioprof.integrations.lightning import IoprofCallback

trainer = Trainer(callbacks=[IoprofCallback()])
trainer.fit(model, train_loader)      # a run directory below results/, as by ioprof.watch
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from lightning.pytorch import Callback, LightningModule, Trainer

from ioprof.integrations.watching import TrainingWatch


class IoprofCallback(Callback):  # type: ignore[misc] # Lightning need not be installed where types are checked
    """Watches the loaders of a fit; batches, their order and exceptions stay as they are."""

    def __init__(
        self, results: Path | str = "results", label: str | None = None, warmup: int | Literal["auto"] = "auto"
    ) -> None:
        """Say where run directories go, what is added to their names, and how many first steps are left out."""
        self._watch = TrainingWatch(results, label, warmup)
        self.directory: Path | None = None
        """The run directory, once the training has ended."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Watch each loader from where the strategy has processed it: its iterator is made right after."""
        if stage != "fit":
            return
        strategy = trainer.strategy
        process = strategy.process_dataloader

        def processed(loader: object) -> object:
            found: object = process(loader)
            self._watch.attach(found)
            return found

        strategy.process_dataloader = processed

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Keep what was recorded until then, and what ended it."""
        self._close(trainer, exception)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Complete the run directory."""
        if stage == "fit":
            self._close(trainer, None)

    def _close(self, trainer: Trainer, error: BaseException | None) -> None:
        vars(trainer.strategy).pop("process_dataloader", None)
        self.directory = self._watch.close(error) or self.directory
