"""A stream of small files, one sample each, and the jobs that read it: for tests of loaders that deliver streams."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from ioprof.contract import (
    Access,
    LoadJob,
    ObjectSizes,
    Part,
    PluginParams,
    SampleStream,
    Setting,
    WorkerJob,
)
from ioprof.dataset.layout import OpaqueLayout
from ioprof.dataset.size_text import parse_sizes
from ioprof.store.base import Store
from ioprof.store.local import LocalStore
from ioprof.store.tap import Tap
from tests.small_dataset import KnownSizes


class BrokenStreamError(ValueError):
    """What the stream of `SmallStreamParams.fail_at` raises."""


class SmallStreamParams(PluginParams):
    """What is stored, and what goes wrong."""

    files: int = 50
    file_size: str = "uniform:1-9KiB"
    buffer: int = 0
    """Samples read ahead of the first one that is yielded, as a shuffle buffer does."""
    fail_at: int = -1
    """Sample whose reading raises `BrokenStreamError`."""
    one_part: bool = False
    """Give all samples to the first part, as a single shard does."""


@dataclass(frozen=True)
class FileStream:
    """Every ``count``-th file from ``index`` on, turned by the epoch; picklable."""

    layout: OpaqueLayout
    sizes: ObjectSizes
    params: SmallStreamParams

    def samples(self, tap: Tap, epoch: int, part: Part) -> Iterator[bytes]:
        """Yield the files of a part."""
        ahead = list[bytes]()
        for sample in self._of_part(epoch, part):
            if sample == self.params.fail_at:
                raise BrokenStreamError(f"sample {sample} is broken")
            paths, sizes = self.layout.paths([sample], tap.root), self.sizes.of([sample])
            ahead.extend(tap.read_objects(paths, sizes, [sample]))
            if len(ahead) > self.params.buffer:
                yield ahead.pop(0)
        yield from ahead

    def _of_part(self, epoch: int, part: Part) -> range:
        if self.params.one_part:
            return range(self.layout.count if part.index == 0 else 0)
        return range((part.index + epoch) % part.count, self.layout.count, part.count)


class SmallStream:
    """A workload that is read front to back, one file per sample."""

    name: ClassVar[str] = "small-stream"
    summary: ClassVar[str] = "small files as a stream, for tests"
    Params: ClassVar[type[PluginParams]] = SmallStreamParams
    reference_model: ClassVar[str | None] = None
    access: ClassVar[Access] = "stream"
    defaults: ClassVar[Mapping[str, Setting]] = {"loader.name": "torch-iterable"}

    def __init__(self, params: SmallStreamParams, seed: int) -> None:
        self._params = params
        self._layout = OpaqueLayout(
            count=params.files, sizes=parse_sizes(params.file_size), files_per_dir=20, seed=seed, compress_ratio=1.0
        )

    def layout(self) -> OpaqueLayout:
        """Return the files."""
        return self._layout

    def samples(self) -> int:
        """Return the number of files."""
        return self._params.files

    def discover(self, store: Store, tap: Tap) -> int:
        """Look for nothing."""
        return self._params.files

    def stream(self, sizes: ObjectSizes) -> SampleStream:
        """Return what workers read."""
        return FileStream(self._layout, sizes, self._params)


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
