"""`grain`: Google's Grain, a dataset of samples batched and read ahead by threads. The machinery: `grain_session`."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, ClassVar

from ioprof.loaders.thread_params import ThreadLoader
from pydantic import Field

from ioprof.contract import Capabilities, LoadJob, PluginParams
from ioprof.spec.quantities import Count

if TYPE_CHECKING:
    from ioprof.loaders.grain_session import GrainSession


def _is_not_of_jax(record: logging.LogRecord) -> bool:
    return "jax profiler" not in record.getMessage()


class GrainParams(PluginParams):
    """Grain's read options, under the names that all loaders have for them."""

    workers: Count = Field(2, ge=1, le=1024, description="threads that read, in the consumer's process (num_threads)")
    prefetch: Count = Field(
        2, ge=1, le=10_000, description="batches under way or ready, per thread (prefetch_buffer_size / num_threads)"
    )
    stage_timing: bool = Field(
        False, description="have Grain time its own stages, which costs time of its own (execution_tracking_mode)"
    )


class Grain(ThreadLoader):
    """Grain's MapDataset, mapped to samples, batched, and read ahead by the threads of an IterDataset."""

    name: ClassVar[str] = "grain"
    summary: ClassVar[str] = "Grain: a MapDataset of samples, batched and read ahead by threads"
    requires: ClassVar[tuple[str, ...]] = ("grain",)
    extra: ClassVar[str | None] = "grain"
    capabilities: ClassVar[Capabilities] = Capabilities(reads_with="python", workers=("thread",), ordered="always")
    Params: ClassVar[type[PluginParams]] = GrainParams
    session_module: ClassVar[str] = "ioprof.loaders.grain_session"

    def __init__(self, params: GrainParams) -> None:
        self._knobs = params

    def load(self) -> None:
        """Import Grain; what it says of a profiler that only JAX would use is left out."""
        absl = logging.getLogger("absl")
        absl.addFilter(_is_not_of_jax)
        try:
            super().load()
        finally:
            absl.removeFilter(_is_not_of_jax)

    def open(self, job: LoadJob) -> GrainSession:
        """Return the session; a dataset is built for each epoch."""
        from ioprof.loaders.grain_session import GrainSession

        self._warn_of_crowd(self._knobs.workers)
        knobs = self._knobs
        return GrainSession(job, threads=knobs.workers, prefetch=knobs.prefetch, stage_timing=knobs.stage_timing)
