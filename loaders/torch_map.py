"""`torch-map`: torch's DataLoader over a map-style dataset. The machinery is in `torch_map_session`.

torch is imported when a loader is opened, not before: listing loaders must not cost the seconds that takes.
"""

from __future__ import annotations

import importlib
import os
import warnings
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from ioprof.contract import Access, LoadJob, PluginParams
from ioprof.errors import CaveatWarning, SpecError
from ioprof.spec.quantities import Count

if TYPE_CHECKING:
    from ioprof.loaders.torch_map_session import TorchMapSession

StartMethod = Literal["fork", "spawn", "forkserver"]


class TorchMapParams(PluginParams):
    """Knobs of torch's DataLoader, under its own names where it has one."""

    workers: Count = Field(2, ge=0, le=1024, description="worker processes; 0 loads in the consumer's process")
    prefetch: Count = Field(2, ge=1, le=10_000, description="batches each worker may be ahead (prefetch_factor)")
    persistent: bool = Field(True, description="keep workers from one epoch to the next")
    pin: bool = Field(False, description="copy batches into page-locked memory (needs a CUDA device)")
    start_method: StartMethod = Field("fork", description="how worker processes start")
    in_order: bool = Field(True, description="deliver batches in the order they were asked for")


class TorchMap:
    """torch's DataLoader over a map-style dataset."""

    name: ClassVar[str] = "torch-map"
    summary: ClassVar[str] = "torch DataLoader, map-style: worker processes, one tensor per batch"
    requires: ClassVar[tuple[str, ...]] = ()
    extra: ClassVar[str | None] = None
    reads_storage: ClassVar[bool] = True
    accepts: ClassVar[frozenset[Access]] = frozenset({"map"})
    Params: ClassVar[type[PluginParams]] = TorchMapParams

    def __init__(self, params: TorchMapParams) -> None:
        """Check what only this host can tell.

        Raises:
            SpecError: pinning without a CUDA device.
        """
        if params.pin and not _has_cuda():
            raise SpecError("loader.pin = true: page-locked memory needs a CUDA device, and this host has none")
        self._params = params

    def load(self) -> None:
        """Import torch."""
        importlib.import_module("ioprof.loaders.torch_map_session")

    def open(self, job: LoadJob) -> TorchMapSession:
        """Build the DataLoader; workers start with the first epoch."""
        from ioprof.loaders.torch_map_session import TorchMapSession

        _warn_of_crowded_workers(self._params.workers)
        return TorchMapSession(job, self._params)


def _warn_of_crowded_workers(workers: int) -> None:
    """Say in our words, once, what torch would say on stderr when the DataLoader is built and again when it starts."""
    cpus = len(os.sched_getaffinity(0))
    if workers > cpus:
        warnings.filterwarnings("ignore", r"This DataLoader will create \d+ worker processes", UserWarning)
        are = "1 CPU that this process may use" if cpus == 1 else f"{cpus} CPUs that this process may use"
        warnings.warn(
            f"{workers} workers on {are}: torch advises no more workers than CPUs; where they compute, "
            "they wait for each other.",
            CaveatWarning,
            stacklevel=2,
        )


def _has_cuda() -> bool:
    import torch

    return torch.cuda.is_available()
