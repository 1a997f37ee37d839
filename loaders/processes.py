"""`processes`: plain worker processes that read batches and send nothing but their stamps.

What is left of a loader when moving batches costs nothing: the store, the CPU, and a few microseconds per batch.
The machinery is in `processes_session` (the consumer's side) and `processes_worker`; torch is not imported.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, ClassVar

from ioprof.loaders.worker_process import warn_of_crowded_workers
from pydantic import Field

from ioprof.contract import START_METHODS, Access, Capabilities, LoadJob, PluginParams, StartMethod
from ioprof.spec.quantities import Count

if TYPE_CHECKING:
    from ioprof.loaders.processes_session import ProcessesSession


class ProcessesParams(PluginParams):
    """How many processes, how far ahead, and how they start."""

    workers: Count = Field(2, ge=1, le=1024, description="worker processes")
    prefetch: Count = Field(2, ge=1, le=300, description="batches each worker may be ahead of the consumer")
    start_method: StartMethod = Field("fork", description="how worker processes start")


class Processes:
    """Worker processes that read and decode batches and keep them: only stamps travel."""

    name: ClassVar[str] = "processes"
    summary: ClassVar[str] = "worker processes that send no samples: what the store and the CPU give"
    requires: ClassVar[tuple[str, ...]] = ()
    extra: ClassVar[str | None] = None
    reads_storage: ClassVar[bool] = True
    accepts: ClassVar[frozenset[Access]] = frozenset({"map", "stream"})
    capabilities: ClassVar[Capabilities] = Capabilities(
        reads_with="python", workers=("process",), start_methods=START_METHODS
    )
    moves_samples: ClassVar[bool] = False
    """Nothing of a batch lies in /dev/shm; loaders that do not say so hand batches over there."""
    Params: ClassVar[type[PluginParams]] = ProcessesParams

    def __init__(self, params: ProcessesParams) -> None:
        self._params = params

    def load(self) -> None:
        """Import the machinery."""
        importlib.import_module("ioprof.loaders.processes_session")

    def open(self, job: LoadJob) -> ProcessesSession:
        """Return the session; workers start with the first epoch."""
        from ioprof.loaders.processes_session import ProcessesSession

        warn_of_crowded_workers(self._params.workers, "where they compute, they wait for each other")
        return ProcessesSession(job, self._params)
