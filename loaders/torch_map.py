"""`torch-map`: torch's DataLoader over a map-style dataset. The machinery is in `torch_map_session`."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ioprof.loaders.torch_params import TorchLoader

from ioprof.contract import Access, LoadJob

if TYPE_CHECKING:
    from ioprof.loaders.torch_map_session import TorchMapSession


class TorchMap(TorchLoader):
    """torch's DataLoader over a map-style dataset."""

    name: ClassVar[str] = "torch-map"
    summary: ClassVar[str] = "torch DataLoader, map-style: worker processes, one tensor per batch"
    accepts: ClassVar[frozenset[Access]] = frozenset({"map"})
    session_module: ClassVar[str] = "ioprof.loaders.torch_map_session"

    def open(self, job: LoadJob) -> TorchMapSession:
        """Build the DataLoader; workers start with the first epoch."""
        from ioprof.loaders.torch_map_session import TorchMapSession

        self._warn_in_place_of_torch()
        return TorchMapSession(job, self._params)
