"""`torchdata-stateful`: torchdata's StatefulDataLoader, in place of torch's DataLoader."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, ClassVar

from ioprof.loaders.torch_params import TorchLoader

from ioprof.contract import Access, LoadJob

if TYPE_CHECKING:
    from ioprof.loaders.torch_session import TorchSession


class TorchdataStateful(TorchLoader):
    """torchdata's StatefulDataLoader: torch's DataLoader whose workers also send their state with each batch."""

    name: ClassVar[str] = "torchdata-stateful"
    summary: ClassVar[str] = "torchdata's StatefulDataLoader: torch's, with a state to resume from within an epoch"
    requires: ClassVar[tuple[str, ...]] = ("torchdata.stateful_dataloader",)
    extra: ClassVar[str | None] = "torchdata"
    accepts: ClassVar[frozenset[Access]] = frozenset({"map", "stream"})
    session_module: ClassVar[str] = "ioprof.loaders.torchdata_stateful_session"

    def open(self, job: LoadJob) -> TorchSession:
        """Build the StatefulDataLoader; workers start with the first epoch."""
        from ioprof.loaders.torchdata_stateful_session import stateful_session

        self._warn_in_place_of_torch()
        # torchdata 0.11 calls what torch has since renamed; nothing that whoever runs ioprof could mend.
        warnings.filterwarnings("ignore", "'set_vital' is deprecated", UserWarning)
        return stateful_session(job, self._params)
