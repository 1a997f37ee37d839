"""The files of the plug-in `stream_plugin` written by plain means, and the jobs that read them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ioprof.contract import LoadJob, WorkerJob
from ioprof.store.base import Store
from ioprof.store.local import LocalStore
from tests.small_dataset import KnownSizes
from tests.stream_plugin import SmallStream, SmallStreamParams


class SmallStreamDataset:
    """Files of `SmallStream` on a store."""

    def __init__(self, store: Store, **params: object) -> None:
        self.workload = SmallStream(SmallStreamParams.model_validate(params), 7)
        self.store = store
        layout = self.workload.layout()
        self.sizes = KnownSizes([int(size) for size in layout.sizes(0, layout.count)])
        for directory in layout.directories():
            store.make_dir(directory)
        for obj in range(layout.count):
            store.write(layout.path(obj), self.content(obj))

    def content(self, obj: int) -> bytes:
        """Return what a file holds, computed anew."""
        return bytes(self.workload.layout().render(obj, self.sizes.sizes_bytes[obj]))

    def job(
        self,
        trace_dir: Path,
        *,
        batch_size: int = 8,
        drop_last: bool = True,
        rank: int = 0,
        world_size: int = 1,
        stop_requested: Callable[[], bool] = lambda: False,
    ) -> LoadJob:
        """Return the job of reading it all, or one rank's share of it."""
        worker = WorkerJob(
            source=self.workload.stream(self.sizes),
            store=self.store,
            trace_dir=str(trace_dir),
            rank=rank,
            world_size=world_size,
            warmup_batches=1,
            span_budget=10**6,
            overhead_budget=1.0,
        )
        return LoadJob(
            worker=worker,
            order=None,
            samples=self.workload.samples(),
            batch_size=batch_size,
            drop_last=drop_last,
            stop_requested=stop_requested,
        )


def local_stream(folder: Path, **params: object) -> SmallStreamDataset:
    """Return a dataset in a new folder."""
    return SmallStreamDataset(LocalStore(str(folder / "store")), **params)
