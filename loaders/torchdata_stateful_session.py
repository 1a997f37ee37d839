"""Sessions over torchdata's StatefulDataLoader: those of torch's DataLoader, built of the other class."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ioprof.loaders.torch_iterable_session import TorchIterableSession
from ioprof.loaders.torch_map_session import TorchMapSession
from torchdata.stateful_dataloader import StatefulDataLoader

if TYPE_CHECKING:
    from ioprof.loaders.torch_params import TorchParams

    from ioprof.contract import LoadJob


def stateful_session(job: LoadJob, params: TorchParams) -> TorchMapSession | TorchIterableSession:
    """Return an open StatefulDataLoader over the job's samples, map-style where they have an order."""
    if job.order is not None:
        return TorchMapSession(job, params, StatefulDataLoader)
    return TorchIterableSession(job, params, StatefulDataLoader)
