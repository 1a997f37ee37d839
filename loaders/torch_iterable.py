"""`torch-iterable`: torch's DataLoader over an iterable dataset. The machinery is in `torch_iterable_session`."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ioprof.loaders.torch_params import TorchLoader

from ioprof.contract import Access, LoadJob

if TYPE_CHECKING:
    from ioprof.loaders.torch_iterable_session import TorchIterableSession


class TorchIterable(TorchLoader):
    """torch's DataLoader over an iterable dataset; each worker reads its own part of the stream."""

    name: ClassVar[str] = "torch-iterable"
    summary: ClassVar[str] = "torch DataLoader, iterable-style: each worker streams its own part"
    accepts: ClassVar[frozenset[Access]] = frozenset({"stream"})
    session_module: ClassVar[str] = "ioprof.loaders.torch_iterable_session"

    def open(self, job: LoadJob) -> TorchIterableSession:
        """Build the DataLoader; workers start with the first epoch."""
        from ioprof.loaders.torch_iterable_session import TorchIterableSession

        self._warn_in_place_of_torch()
        return TorchIterableSession(job, self._params)
