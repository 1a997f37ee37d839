"""`fsspec-objects`: objects fetched whole through an fsspec client, several requests at a time."""

from __future__ import annotations

from typing import ClassVar

from ioprof.loaders.own_workers import OwnLoader, OwnParams, own_capabilities, stored_in, with_source
from pydantic import Field

from ioprof.contract import Access, Capabilities, LoadJob, PluginParams
from ioprof.spec.quantities import Count


class FsspecObjectsParams(OwnParams):
    """As of all our own loaders, and how many requests are under way."""

    in_flight: Count = Field(16, ge=1, le=1024, description="requests that each worker has under way at a time")


class FsspecObjects(OwnLoader):
    """Concurrent requests for whole objects, by whatever client fsspec has for the store."""

    name: ClassVar[str] = "fsspec-objects"
    summary: ClassVar[str] = "whole objects through fsspec, many requests in flight per worker"
    accepts: ClassVar[frozenset[Access]] = frozenset({"map"})
    capabilities: ClassVar[Capabilities] = own_capabilities("fsspec", frozenset({"files"}))
    Params: ClassVar[type[PluginParams]] = FsspecObjectsParams
    imports: ClassVar[tuple[str, ...]] = ("ioprof.loaders.object_gets",)

    def __init__(self, params: FsspecObjectsParams) -> None:
        super().__init__(params)
        self._in_flight = params.in_flight

    def prepared(self, job: LoadJob) -> LoadJob:
        """Return the job, read through fsspec."""
        from ioprof.loaders.object_gets import ObjectGets

        return with_source(job, ObjectGets(stored_in(job, self.name), self._in_flight))
