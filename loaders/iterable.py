"""`iterable`: anything of one's own that gives batches, over the datasets that ioprof prepares."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

import numpy as np
from ioprof.loaders.own_workers import stored_in
from pydantic import Field

from ioprof.contract import (
    Access,
    Batch,
    Capabilities,
    DeadWorker,
    LoadJob,
    PluginParams,
    StoredSamples,
    bytes_in,
    samples_in,
)
from ioprof.errors import SpecError


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the function that is named is called with, for each epoch."""

    epoch: int
    paths: Sequence[str]
    """The objects that hold the samples, as paths or URLs, in the order in which they are wanted."""
    format: str
    """``files``: an object is a sample; else the format of the shards, as in `StoredSamples.format`."""
    samples_per_object: int
    batch_size: int
    drop_last: bool


Factory = Callable[[Wanted], Iterable[object]]


class IterableParams(PluginParams):
    """Which function makes the batches."""

    factory: str = Field(
        "", description="MODULE:FUNCTION, called for each epoch with what is wanted; returns an iterable of batches"
    )


class IterableSession:
    """Takes batches from whatever the function returns, in the consumer's own thread."""

    def __init__(self, job: LoadJob, stored: StoredSamples, factory: Factory) -> None:
        self._job = job
        self._stored = stored
        self._factory = factory
        self._next_number = 0

    def _wanted(self, epoch: int) -> Wanted:
        job, stored = self._job, self._stored
        order = stored.order(epoch) if job.order is None else job.order(epoch)
        objects = np.asarray(order, dtype=np.int64).tolist()
        return Wanted(
            epoch=epoch,
            paths=[stored.full_path(job.worker.store, obj) for obj in objects],
            format=stored.format,
            samples_per_object=stored.samples_per_object,
            batch_size=job.batch_size,
            drop_last=job.drop_last,
        )

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Yield what comes until it ends, or the run does."""
        if self._job.stop_requested():
            return
        for data in self._factory(self._wanted(epoch)):
            number, self._next_number = self._next_number, self._next_number + 1
            yield Batch(data=data, number=number, worker=-1, samples=samples_in(data), size_bytes=bytes_in(data))
            del data
            if self._job.stop_requested():
                return

    def process_ids(self) -> list[int]:
        """Return nothing: what it starts is its own."""
        return []

    def dead_workers(self) -> list[DeadWorker]:
        """Return nothing, for the same reason."""
        return []

    def close(self) -> None:
        """What the iterable holds goes with it."""


class OwnIterable:
    """A function of the user's own, called with the dataset's objects."""

    name: ClassVar[str] = "iterable"
    summary: ClassVar[str] = "bring your own: MODULE:FUNCTION gives batches of the dataset's objects"
    requires: ClassVar[tuple[str, ...]] = ()
    extra: ClassVar[str | None] = None
    reads_storage: ClassVar[bool] = True
    accepts: ClassVar[frozenset[Access]] = frozenset({"map", "stream"})
    capabilities: ClassVar[Capabilities] = Capabilities(reads_with="native", workers=("engine",))
    Params: ClassVar[type[PluginParams]] = IterableParams

    def __init__(self, params: IterableParams) -> None:
        """Import the function: what is wrong with it is told before anything is prepared.

        Raises:
            SpecError: there is no such function.
        """
        self._name = params.factory
        self._factory = self._imported()

    def load(self) -> None:
        """It is imported."""

    def open(self, job: LoadJob) -> IterableSession:
        """Return the session."""
        return IterableSession(job, stored_in(job, self.name), self._factory)

    def _imported(self) -> Factory:
        module, _, function = self._name.partition(":")
        if not module or not function:
            raise SpecError(
                f"loader.factory = {self._name!r}: expected MODULE:FUNCTION, as in --factory my_loader:batches"
            )
        if "" not in sys.path:
            sys.path.insert(0, "")  # modules beside which the command was called, as with python -m
        try:
            found = getattr(importlib.import_module(module), function)
        except (ImportError, AttributeError) as error:
            raise SpecError(f"loader.factory = {self._name!r}: {error}") from error
        return cast("Factory", found)
