"""A callback for the Trainer of Hugging Face's transformers.

from ioprof.integrations.huggingface import IoprofCallback

trainer = Trainer(model, args, train_dataset=dataset, callbacks=[IoprofCallback()])
trainer.train()                       # a run directory below results/, as by ioprof.watch
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ioprof.integrations.watching import TrainingWatch


class IoprofCallback(TrainerCallback):  # type: ignore[misc] # transformers need not be installed where types are checked
    """Watches the training's loader; batches, their order and exceptions stay as they are.

    The trainer tells its callbacks nothing of an exception: then the recording ends with the program, and says so.
    """

    def __init__(
        self, results: Path | str = "results", label: str | None = None, warmup: int | Literal["auto"] = "auto"
    ) -> None:
        """Say where run directories go, what is added to their names, and how many first steps are left out."""
        self._watch = TrainingWatch(results, label, warmup)
        self.directory: Path | None = None
        """The run directory, once the training has ended."""

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        *,
        train_dataloader: object = None,
        **others: object,
    ) -> None:
        """Watch the loader that the training is about to iterate over."""
        if train_dataloader is not None:
            self._watch.attach(train_dataloader)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **others: object
    ) -> None:
        """Complete the run directory."""
        self.directory = self._watch.close() or self.directory
