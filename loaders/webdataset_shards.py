"""`webdataset`: WebDataset over tar shards, in the workers of torch's DataLoader."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ioprof.loaders.torch_params import TorchLoader, TorchParams
from pydantic import Field

from ioprof.contract import START_METHODS, Access, Capabilities, LoadJob, PluginParams
from ioprof.spec.quantities import Bytes

if TYPE_CHECKING:
    from ioprof.loaders.torch_iterable_session import TorchIterableSession


class WebdatasetParams(TorchParams):
    """Knobs of torch's DataLoader, and WebDataset's own."""

    read_buffer: Bytes = Field(
        8192, ge=512, le=1 << 30, description="buffer of an open shard (GOPEN_BUFFER; Python's own default is 8 KiB)"
    )


class Webdataset(TorchLoader):
    """WebDataset's pipeline in each worker: shards, their members, samples of members, a shuffle buffer."""

    name: ClassVar[str] = "webdataset"
    summary: ClassVar[str] = "WebDataset: tar shards through tarfile, in torch DataLoader workers"
    requires: ClassVar[tuple[str, ...]] = ("webdataset",)
    extra: ClassVar[str | None] = "webdataset"
    accepts: ClassVar[frozenset[Access]] = frozenset({"stream"})
    capabilities: ClassVar[Capabilities] = Capabilities(
        reads_with="python",
        workers=("process", "none"),
        start_methods=START_METHODS,
        ordered="by choice",
        formats=frozenset({"tar"}),
    )
    Params: ClassVar[type[PluginParams]] = WebdatasetParams
    session_module: ClassVar[str] = "ioprof.loaders.webdataset_stream"

    def __init__(self, params: WebdatasetParams) -> None:
        super().__init__(params)
        self._read_buffer_bytes = params.read_buffer

    def open(self, job: LoadJob) -> TorchIterableSession:
        """Build the DataLoader; workers start with the first epoch."""
        from ioprof.loaders.webdataset_stream import webdataset_session

        self._warn_in_place_of_torch()
        return webdataset_session(job, self._params, self._read_buffer_bytes)
