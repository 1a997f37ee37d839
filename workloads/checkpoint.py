"""`checkpoint`: an accelerator that computes and saves its state, and no data to load."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from ioprof.workloads.small_files import SmallFiles, SmallFilesParams
from pydantic import Field

from ioprof.contract import PluginParams, Setting
from ioprof.spec.quantities import Count

SAMPLE_SIZE = "4KiB"


class CheckpointParams(PluginParams):
    """What an epoch is made of; what is saved, and when, stands in the section ``[checkpoint]``."""

    files: Count = Field(
        20_000,
        ge=1,
        le=10**9,
        description="samples of an epoch; files of 4 KiB, written only for a loader that reads them",
    )


class Checkpoint(SmallFiles):
    """Saves beside steps that wait for nothing: whatever idle time there is, the checkpoints made."""

    name: ClassVar[str] = "checkpoint"
    summary: ClassVar[str] = "no data to load, a checkpoint every so many steps: large synced writes"
    Params: ClassVar[type[PluginParams]] = CheckpointParams
    reference_model: ClassVar[str | None] = "unet3d"
    defaults: ClassVar[Mapping[str, Setting]] = {
        "loader.name": "null",
        "loader.batch_size": 2,
        "checkpoint.every": 50,
        "checkpoint.restore": True,
    }

    def __init__(self, params: CheckpointParams, seed: int) -> None:
        # The samples only stand for steps: small and equal, so that reading them, where asked for, hardly shows.
        values = {"files": params.files, "file_size": SAMPLE_SIZE, "discovery": "none"}
        super().__init__(SmallFilesParams.model_validate(values), seed)
