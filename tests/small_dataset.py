"""A dataset of small files written by plain means, and the jobs that read it: for tests of readers and loaders."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ioprof.contract import LoadJob, WorkerJob
from ioprof.plugins import find_workload
from ioprof.store.base import Store
from ioprof.store.local import LocalStore


@dataclass(frozen=True)
class KnownSizes:
    """Object sizes as a list; picklable."""

    sizes_bytes: list[int]

    def of(self, objects: Sequence[int]) -> list[int]:
        """Return the sizes of these objects."""
        return [self.sizes_bytes[obj] for obj in objects]


class SmallDataset:
    """Files of a `small-files` workload on a store."""

    def __init__(self, store: Store, *, files: int = 50, file_size: str = "uniform:1-9KiB", **params: object) -> None:
        workload = find_workload("small-files")
        values = {"files": files, "file_size": file_size, "files_per_dir": 20, **params}
        self.workload = workload(workload.Params.model_validate(values), 7)
        self.store = store
        layout = self.workload.layout()
        self.sizes = KnownSizes([int(size) for size in layout.sizes(0, layout.count)])
        for directory in layout.directories():
            store.make_dir(directory)
        for obj in range(layout.count):
            store.write(layout.path(obj), bytes(layout.render(obj, self.sizes.sizes_bytes[obj])))

    def path(self, obj: int) -> str:
        """Return where an object is, relative to the store."""
        return self.workload.layout().path(obj)

    def content(self, obj: int) -> bytes:
        """Return what an object holds, computed anew."""
        return bytes(self.workload.layout().render(obj, self.sizes.sizes_bytes[obj]))

    def job(
        self,
        trace_dir: Path,
        *,
        batch_size: int = 8,
        drop_last: bool = True,
        stop_requested: Callable[[], bool] = lambda: False,
    ) -> LoadJob:
        """Return the job of reading it all."""
        worker = WorkerJob(
            source=self.workload.reader(self.sizes),
            store=self.store,
            trace_dir=str(trace_dir),
            rank=0,
            warmup_batches=1,
            span_budget=10**6,
            overhead_budget=1.0,
        )
        return LoadJob(
            worker=worker,
            order=self.workload.order,
            samples=self.workload.samples(),
            batch_size=batch_size,
            drop_last=drop_last,
            stop_requested=stop_requested,
        )


def local_dataset(folder: Path, **params: object) -> SmallDataset:
    """Return a dataset in a new folder."""
    return SmallDataset(LocalStore(str(folder / "store")), **params)  # type: ignore[arg-type]
