"""`tar-shards`: tar archives walked over large buffers, without a tar library and without copies."""

from __future__ import annotations

from typing import ClassVar

from ioprof.loaders.own_workers import OwnLoader, OwnParams, own_capabilities, stored_in, with_source
from pydantic import Field

from ioprof.contract import Access, Capabilities, LoadJob, PluginParams
from ioprof.spec.quantities import Bytes, Count


class TarShardsParams(OwnParams):
    """As of all our own loaders, and how large reads are."""

    tensors_per_batch: Count = Field(
        0,
        ge=0,
        le=65_536,
        description="tensors that threads make of a batch; 0: samples are views of the buffers they were read to",
    )
    read_buffer: Bytes = Field(1 << 20, ge=1 << 16, le=1 << 30, description="the most that one read asks for")


class TarShards(OwnLoader):
    """The samples of tar shards, in the order in which they stand."""

    name: ClassVar[str] = "tar-shards"
    summary: ClassVar[str] = "tar archives walked over large buffers: what WebDataset's shards can give"
    accepts: ClassVar[frozenset[Access]] = frozenset({"stream"})
    capabilities: ClassVar[Capabilities] = own_capabilities("python", frozenset({"tar"}))
    Params: ClassVar[type[PluginParams]] = TarShardsParams
    imports: ClassVar[tuple[str, ...]] = ("ioprof.loaders.tar_stream",)

    def __init__(self, params: TarShardsParams) -> None:
        super().__init__(params)
        self._read_bytes = params.read_buffer

    def prepared(self, job: LoadJob) -> LoadJob:
        """Return the job, read by a walk of its own."""
        from ioprof.loaders.tar_stream import TarStream

        return with_source(job, TarStream(stored_in(job, self.name), self._read_bytes))
