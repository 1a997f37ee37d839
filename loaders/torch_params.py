"""What all loaders made of torch's DataLoader have in common before torch is imported: knobs and their checks.

torch is imported when a loader is opened, not before: listing loaders must not cost the seconds that takes.
"""

from __future__ import annotations

import importlib
import warnings
from typing import ClassVar

from ioprof.loaders.worker_process import warn_of_crowded_workers
from pydantic import Field

from ioprof.contract import START_METHODS, Capabilities, PluginParams, StartMethod
from ioprof.errors import SpecError
from ioprof.spec.quantities import Count


class TorchParams(PluginParams):
    """Knobs of torch's DataLoader, under its own names where it has one."""

    workers: Count = Field(2, ge=0, le=1024, description="worker processes; 0 loads in the consumer's process")
    prefetch: Count = Field(2, ge=1, le=10_000, description="batches each worker may be ahead (prefetch_factor)")
    persistent: bool = Field(True, description="keep workers from one epoch to the next")
    pin: bool = Field(False, description="copy batches into page-locked memory (needs a CUDA device)")
    start_method: StartMethod = Field("fork", description="how worker processes start")
    in_order: bool = Field(True, description="deliver batches in the order they were asked for")


class TorchLoader:
    """What the plug-ins made of torch's DataLoader share; each adds its name and opens its own session."""

    requires: ClassVar[tuple[str, ...]] = ()
    extra: ClassVar[str | None] = None
    reads_storage: ClassVar[bool] = True
    capabilities: ClassVar[Capabilities] = Capabilities(
        reads_with="python", workers=("process", "none"), start_methods=START_METHODS, ordered="by choice"
    )
    Params: ClassVar[type[PluginParams]] = TorchParams
    session_module: ClassVar[str]
    """Where the session is; importing it imports torch."""

    def __init__(self, params: TorchParams) -> None:
        """Check what only this host can tell.

        Raises:
            SpecError: pinning without a CUDA device.
        """
        if params.pin and not _has_cuda():
            raise SpecError("loader.pin = true: page-locked memory needs a CUDA device, and this host has none")
        self._params = params

    def load(self) -> None:
        """Import torch."""
        importlib.import_module(self.session_module)

    def _warn_in_place_of_torch(self) -> None:
        """Say in our words, once, what torch would say on stderr when a DataLoader is built and when it starts."""
        warnings.filterwarnings("ignore", r"This DataLoader will create \d+ worker processes", UserWarning)
        warn_of_crowded_workers(
            self._params.workers,
            "torch advises no more workers than CPUs; where they compute, they wait for each other",
        )


def _has_cuda() -> bool:
    import torch

    return torch.cuda.is_available()
