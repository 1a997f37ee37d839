"""`raw`: threads, or processes, over plain os calls, and nothing else: how fast the workload can be read at all."""

from __future__ import annotations

from typing import ClassVar

from ioprof.loaders.own_workers import OwnLoader, OwnParams, own_capabilities
from pydantic import Field

from ioprof.contract import Access, Capabilities, PluginParams
from ioprof.spec.quantities import Count


class RawParams(OwnParams):
    """As of all our own loaders; batches are not joined unless that is asked for."""

    tensors_per_batch: Count = Field(
        0,
        ge=0,
        le=65_536,
        description="tensors that threads make of a batch; 0: samples are handed on as they were read",
    )


class Raw(OwnLoader):
    """The workload's own reader in threads or processes, without a library in the way."""

    name: ClassVar[str] = "raw"
    summary: ClassVar[str] = "threads or processes over plain os calls: the speed of light for a workload"
    accepts: ClassVar[frozenset[Access]] = frozenset({"map", "stream"})
    capabilities: ClassVar[Capabilities] = own_capabilities("python")
    Params: ClassVar[type[PluginParams]] = RawParams
