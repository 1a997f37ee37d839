"""`torch-iterable`: torch's DataLoader over an iterable dataset. The machinery is in `torch_iterable_session`."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, ClassVar

from ioprof.loaders.torch_params import TorchParams, check_pinning, warn_in_place_of_torch

from ioprof.contract import Access, LoadJob, PluginParams

if TYPE_CHECKING:
    from ioprof.loaders.torch_iterable_session import TorchIterableSession


class TorchIterable:
    """torch's DataLoader over an iterable dataset; each worker reads its own part of the stream."""

    name: ClassVar[str] = "torch-iterable"
    summary: ClassVar[str] = "torch DataLoader, iterable-style: each worker streams its own part"
    requires: ClassVar[tuple[str, ...]] = ()
    extra: ClassVar[str | None] = None
    reads_storage: ClassVar[bool] = True
    accepts: ClassVar[frozenset[Access]] = frozenset({"stream"})
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
        importlib.import_module("ioprof.loaders.torch_iterable_session")

    def open(self, job: LoadJob) -> TorchIterableSession:
        """Build the DataLoader; workers start with the first epoch."""
        from ioprof.loaders.torch_iterable_session import TorchIterableSession

        warn_in_place_of_torch(self._params.workers)
        return TorchIterableSession(job, self._params)
