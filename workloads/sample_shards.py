"""What benchmark configurations describe, where files are streams: TFRecord, and Parquet by row groups.

The formats, their readers and the split over workers are those of `streaming-shards`; here a configuration's sizes,
order and costs per sample are put on top.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from ioprof.workloads.sample_files import Finish
from ioprof.workloads.shards.format import ShardFormat
from ioprof.workloads.shards.layout import PREFIX, ShardLayout
from ioprof.workloads.shards.parquet import ParquetFormat
from ioprof.workloads.shards.shape import ShardShape
from ioprof.workloads.shards.stream import ShardStream
from ioprof.workloads.shards.tfrecord import TfrecordFormat

from ioprof.contract import MlperfRules, ObjectSizes, Part, SampleStream
from ioprof.dataset.sizes import Normal
from ioprof.store.base import Store
from ioprof.store.tap import Tap

ShardKind = Literal["tfrecord", "parquet"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardSet:
    """Shards of samples, and how a training job reads them."""

    format: ShardKind
    files: int
    samples_per_file: int
    record_bytes: int
    """Mean size of a sample; its container's own bytes come on top."""
    record_stdev_bytes: int = 0
    """Only TFRecord holds samples of differing sizes."""
    delivered_bytes: int | None = None
    """What of each sample goes into the batch, as after a resize; None: all that was read."""
    preprocess_ns: int = 0
    """Slept for each sample once it is read."""
    shuffle_files: bool = False
    """Another order of the files in each epoch."""
    shuffle_buffer: int = 0
    """Samples that each worker keeps to draw the next one from; 0: the order of the file."""
    read_bytes: int = 256 * 1024
    """The most that one read of a TFRecord file asks for."""
    columns: int = 1
    project: int = 1
    """Columns of Parquet that are read, from the first."""
    row_group: int = 64
    """Samples of a row group of Parquet."""
    threshold: float | None = None
    epochs: int | None = None
    deviations: tuple[str, ...] = ()
    """How this differs from what is published."""


class FinishedStream:
    """A stream of shards whose samples are finished as the configuration says; picklable."""

    def __init__(self, stream: ShardStream, finish: Finish) -> None:
        self._stream = stream
        self._finish = finish

    def samples(self, tap: Tap, epoch: int, part: Part) -> Iterator[bytes | memoryview]:
        """Yield what each sample of ``part`` delivers."""
        for sample in self._stream.samples(tap, epoch, part):
            yield self._finish(tap, sample, -1)


class SampleShards:
    """The machinery of a streamed workload over a `ShardSet`; plug-ins add their name and parameters."""

    def __init__(self, shards: ShardSet, seed: int) -> None:
        """Describe the shards.

        Raises:
            SpecError: the format cannot hold such samples.
        """
        self._shards = shards
        self._seed = seed
        self._format = _format(shards, seed)

    def layout(self) -> ShardLayout:
        """Return the shards to store."""
        return ShardLayout(self._format)

    def samples(self) -> int:
        """Return the samples of all shards."""
        return self._format.shape.samples

    def discover(self, store: Store, tap: Tap) -> int:
        """List the shards as a script does when it starts; return the samples that they should hold."""
        found = sum(not entry.is_dir and entry.name.startswith(PREFIX) for entry in tap.list(""))
        return found * self._shards.samples_per_file

    def stream(self, sizes: ObjectSizes) -> SampleStream:
        """Return what workers read."""
        shards = self._shards
        stream = ShardStream(
            format=self._format,
            sizes=sizes,
            seed=self._seed,
            read_bytes=shards.read_bytes,
            shuffle_shards=shards.shuffle_files,
            shuffle_buffer=shards.shuffle_buffer,
            transform=None,
        )
        if shards.delivered_bytes is None and not shards.preprocess_ns:
            return stream
        return FinishedStream(stream, Finish(shards.preprocess_ns, shards.delivered_bytes))

    def mlperf_rules(self) -> MlperfRules:
        """Return what MLPerf Storage would ask of a run."""
        return MlperfRules(
            record_bytes=self._shards.record_bytes,
            samples_per_file=self._shards.samples_per_file,
            threshold=self._shards.threshold,
            epochs=self._shards.epochs,
            deviations=self._shards.deviations,
        )


def _format(shards: ShardSet, seed: int) -> ShardFormat:
    shape = ShardShape(
        shards=shards.files,
        samples_per_shard=shards.samples_per_file,
        sample_sizes=Normal(shards.record_bytes, shards.record_stdev_bytes),
        seed=seed,
    )
    if shards.format == "tfrecord":
        return TfrecordFormat(shape)
    return ParquetFormat(shape, shards.columns, shards.project, min(shards.row_group, shards.samples_per_file))
