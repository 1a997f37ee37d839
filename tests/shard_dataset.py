"""Shards of a `streaming-shards` workload on a store, and what its parts give: for tests of formats and streams."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ioprof.contract import Part
from ioprof.plugins import find_workload
from ioprof.store.base import Store
from ioprof.store.local import LocalStore
from ioprof.store.local_tap import tap_store
from ioprof.trace.kinds import Kind, Phase, error_name
from ioprof.trace.raw import raw_processes, raw_spans
from ioprof.trace.recorder import Recorder
from tests.small_dataset import KnownSizes

FORMATS = ("tar", "parquet", "arrow", "raw", "tfrecord")
SEED = 7
SMALL = {
    "shards": 3, "samples_per_shard": 11, "sample_size": "1000B", "row_group": 4, "columns": 3,
    "shuffle_shards": False, "shuffle_buffer": 0, "read_size": "4KiB",
}  # fmt: skip


class ShardDataset:
    """Three shards of eleven samples, unless told otherwise, read through a recorder of its own."""

    def __init__(self, store: Store, trace_dir: Path, **params: object) -> None:
        workload = find_workload("streaming-shards")
        self.workload = workload(workload.Params.model_validate({**SMALL, **params}), SEED)
        self.store = store
        self.layout = self.workload.layout()
        self.sizes = KnownSizes([int(size) for size in self.layout.sizes(0, self.layout.count)])
        store.make_dir("")
        for shard in range(self.layout.count):
            store.write(self.layout.path(shard), bytes(self.content(shard)))
        self.stream = self.workload.stream(self.sizes)
        self._trace_dir = trace_dir
        self.recorder = Recorder(str(trace_dir), rank=0, worker=0, span_budget=10**6)
        self.recorder.begin(int(Phase.STEADY), batch=0)
        self.tap = tap_store(store, self.recorder)

    def content(self, shard: int) -> bytearray:
        """Return what a shard should hold, computed anew."""
        return bytearray(self.layout.render(shard, self.sizes.sizes_bytes[shard]))

    def change(self, shard: int, content: bytes | bytearray) -> None:
        """Put something else in a shard's place."""
        self.store.write(self.layout.path(shard), bytes(content))

    def samples(self, epoch: int = 0, index: int = 0, count: int = 1) -> list[bytes]:
        """Return the samples of a part."""
        return list(map(bytes, self.views(epoch, index, count)))

    def views(self, epoch: int = 0, index: int = 0, count: int = 1) -> Iterator[bytes | memoryview]:
        """Yield the samples of a part as the stream does."""
        return self.stream.samples(self.tap, epoch, Part(index=index, count=count))

    def operations(self) -> list[tuple[Kind, int, int, str]]:
        """Return kind, object, bytes and error of everything recorded, in the order of their start."""
        self.recorder.end()
        rows = [row for chunk in raw_spans(raw_processes(self._trace_dir)[0]) for row in chunk.to_pylist()]
        rows.sort(key=lambda row: row["start_ns"])
        return [(Kind(row["kind"]), row["object"], row["bytes"], error_name(row["error"])) for row in rows]

    def errors(self) -> list[tuple[str, int, str]]:
        """Return kind, object and name of every error recorded."""
        return [(kind.label, obj, error) for kind, obj, _, error in self.operations() if error]


def local_shards(folder: Path, **params: object) -> ShardDataset:
    """Return a dataset in a new folder, which also gets the trace."""
    trace_dir = folder / "trace"
    trace_dir.mkdir()
    return ShardDataset(LocalStore(str(folder / "store")), trace_dir, **params)
