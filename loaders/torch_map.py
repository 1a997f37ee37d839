"""`torch-map`: torch's DataLoader over a map-style dataset. The machinery is in `torch_map_session`."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, ClassVar

from ioprof.loaders.torch_params import TorchParams, check_pinning, warn_in_place_of_torch

from ioprof.contract import Access, LoadJob, PluginParams

if TYPE_CHECKING:
    from ioprof.loaders.torch_map_session import TorchMapSession


class TorchMap:
    """torch's DataLoader over a map-style dataset."""

    name: ClassVar[str] = "torch-map"
    summary: ClassVar[str] = "torch DataLoader, map-style: worker processes, one tensor per batch"
    requires: ClassVar[tuple[str, ...]] = ()
    extra: ClassVar[str | None] = None
    reads_storage: ClassVar[bool] = True
    accepts: ClassVar[frozenset[Access]] = frozenset({"map"})
    Params: ClassVar[type[PluginParams]] = TorchParams

    def __init__(self, params: TorchParams) -> None:
        """Check what only this host can tell.

        Raises:
            SpecError: pinning without a CUDA device.
        """
        check_pinning(params)
        self._params = params

    def load(self) -> None:
        """Import torch."""
        importlib.import_module("ioprof.loaders.torch_map_session")

    def open(self, job: LoadJob) -> TorchMapSession:
        """Build the DataLoader; workers start with the first epoch."""
        from ioprof.loaders.torch_map_session import TorchMapSession

        warn_in_place_of_torch(self._params.workers)
        return TorchMapSession(job, self._params)
