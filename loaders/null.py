"""`null`: no loader at all. Yields prepared batches from memory; exists to measure ioprof itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from ioprof.contract import Access, Batch, Capabilities, DeadWorker, LoadJob, PluginParams


class NullParams(PluginParams):
    """It has no knobs."""


class NullSession:
    """Batches without content, as fast as the consumer asks."""

    def __init__(self, job: LoadJob) -> None:
        self._job = job
        self._next_number = 0

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Yield the epoch's batches."""
        samples, size = self._job.samples, self._job.batch_size
        stop = samples - samples % size if self._job.drop_last else samples
        for start in range(0, stop, size):
            if self._job.stop_requested():
                return
            number, self._next_number = self._next_number, self._next_number + 1
            yield Batch(data=None, number=number, worker=-1, samples=min(size, stop - start), size_bytes=0)

    def process_ids(self) -> list[int]:
        """Return nothing: no process is started."""
        return []

    def dead_workers(self) -> list[DeadWorker]:
        """Return nothing: no process is started."""
        return []

    def close(self) -> None:
        """Nothing to release."""


class Null:
    """No loader: what remains is the cost of ioprof's own step loop."""

    name: ClassVar[str] = "null"
    summary: ClassVar[str] = "no loader: prepared batches from memory, to measure ioprof itself"
    requires: ClassVar[tuple[str, ...]] = ()
    extra: ClassVar[str | None] = None
    reads_storage: ClassVar[bool] = False
    accepts: ClassVar[frozenset[Access]] = frozenset({"map", "stream"})
    capabilities: ClassVar[Capabilities] = Capabilities(reads_with="nothing", workers=("none",))
    Params: ClassVar[type[PluginParams]] = NullParams

    def __init__(self, params: NullParams) -> None:
        self._params = params

    def load(self) -> None:
        """There is nothing to import."""

    def open(self, job: LoadJob) -> NullSession:
        """Return the session."""
        return NullSession(job)
