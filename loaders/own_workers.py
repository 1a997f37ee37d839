"""What the loaders of our own have in common: their knobs, and which workers make their batches."""

from __future__ import annotations

import importlib
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Literal

from ioprof.loaders.joining import join_of
from ioprof.loaders.worker_process import warn_of_crowded_workers
from pydantic import Field, ValidationInfo, field_validator

from ioprof.contract import (
    START_METHODS,
    Access,
    Capabilities,
    LoaderSession,
    LoadJob,
    PluginParams,
    ReadsWith,
    SampleReader,
    SampleStream,
    StartMethod,
    StoredSamples,
)
from ioprof.errors import SpecError
from ioprof.spec.quantities import Count

if TYPE_CHECKING:
    from ioprof.loaders.processes import ProcessesParams

WorkerType = Literal["thread", "process"]


class OwnParams(PluginParams):
    """How many workers, of which type, how far ahead, and what they hand over."""

    workers: Count = Field(2, ge=0, le=1024, description="workers; 0 reads in the consumer's own thread")
    worker_type: WorkerType = Field(
        "thread", description="thread: hands its samples over; process: sends no samples, only when and what it read"
    )
    prefetch: Count = Field(2, ge=1, le=300, description="batches each worker may be ahead of the consumer")
    start_method: StartMethod = Field("fork", description="how worker processes start")
    tensors_per_batch: Count = Field(
        1,
        ge=0,
        le=65_536,
        description="tensors that threads make of a batch, of samples that follow each other; 0: none, samples are "
        "handed on as they were read",
    )

    @field_validator("worker_type")
    @classmethod
    def _has_workers(cls, worker_type: WorkerType, info: ValidationInfo) -> WorkerType:
        if worker_type == "process" and info.data.get("workers") == 0:
            raise ValueError("there are no workers; use --workers 1 or more")
        return worker_type


def own_capabilities(reads_with: ReadsWith, formats: frozenset[str] = frozenset()) -> Capabilities:
    """Return what all of them can do."""
    return Capabilities(
        reads_with=reads_with, workers=("thread", "process", "none"), start_methods=START_METHODS, formats=formats
    )


class OwnLoader:
    """A loader whose workers are ours; a subclass says what they read with."""

    requires: ClassVar[tuple[str, ...]] = ()
    extra: ClassVar[str | None] = None
    reads_storage: ClassVar[bool] = True
    accepts: ClassVar[frozenset[Access]]
    moves_samples: ClassVar[bool] = False
    """Nothing of a batch lies in /dev/shm."""
    Params: ClassVar[type[PluginParams]] = OwnParams
    imports: ClassVar[tuple[str, ...]] = ()
    """What reading needs, imported before the clock starts."""

    def __init__(self, params: OwnParams) -> None:
        self._params = params

    def load(self) -> None:
        """Import what makes batches."""
        is_process = self._params.worker_type == "process" and self._params.workers
        importlib.import_module(f"ioprof.loaders.{'processes' if is_process else 'threads'}_session")
        for module in self.imports:
            importlib.import_module(module)
        if not is_process:
            join_of(self._params.tensors_per_batch)

    def open(self, job: LoadJob) -> LoaderSession:
        """Return the session; workers start with the first epoch."""
        params = self._params
        job = self.prepared(job)
        if params.workers:
            warn_of_crowded_workers(params.workers, "where they compute, they wait for each other")
        if params.worker_type == "process" and params.workers:
            from ioprof.loaders.processes_session import ProcessesSession

            return ProcessesSession(job, _as_processes(params))
        from ioprof.loaders.threads_session import InlineSession, ThreadsSession

        join = join_of(params.tensors_per_batch)
        if not params.workers:
            return InlineSession(job, join=join)
        return ThreadsSession(job, workers=params.workers, prefetch=params.prefetch, join=join)

    def prepared(self, job: LoadJob) -> LoadJob:
        """Return the job with what workers read with; here it is the workload's own reader."""
        return job


def _as_processes(params: OwnParams) -> ProcessesParams:
    from ioprof.loaders.processes import ProcessesParams

    return ProcessesParams(workers=params.workers, prefetch=params.prefetch, start_method=params.start_method)


def stored_in(job: LoadJob, loader: str) -> StoredSamples:
    """Return how the samples stand.

    Raises:
        SpecError: nobody said so.
    """
    if job.stored is None:
        raise SpecError(
            f"loader.name = {loader!r}: it reads a format itself, and the workload does not say which it has"
        )
    return job.stored


def with_source(job: LoadJob, source: SampleReader | SampleStream) -> LoadJob:
    """Return the job, read with something else."""
    return replace(job, worker=replace(job.worker, source=source))
