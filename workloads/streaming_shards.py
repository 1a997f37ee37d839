"""`streaming-shards`: large objects of many samples each, read front to back. The formats are in `shards`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from ioprof.workloads.checked_text import SizesText
from ioprof.workloads.decode import calibrated_transform
from ioprof.workloads.shards.arrow import ArrowFormat
from ioprof.workloads.shards.format import ShardFormat
from ioprof.workloads.shards.layout import PREFIX, ShardLayout
from ioprof.workloads.shards.parquet import MAX_COLUMNS, ParquetFormat
from ioprof.workloads.shards.raw import RawFormat
from ioprof.workloads.shards.shape import MAX_SHARD_SAMPLES, MAX_SHARDS, ShardShape
from ioprof.workloads.shards.stream import ShardStream
from ioprof.workloads.shards.tar import TarFormat
from ioprof.workloads.shards.tfrecord import TfrecordFormat
from pydantic import Field

from ioprof.contract import Access, ObjectSizes, PluginParams, SampleStream, Setting, StoredSamples
from ioprof.dataset.size_text import parse_sizes
from ioprof.errors import SpecError
from ioprof.spec.quantities import Bytes, Count, DurationNs
from ioprof.store.base import Store
from ioprof.store.tap import Tap
from ioprof.units import format_bytes

MAX_SHUFFLE_BYTES = 4 << 30
"""What a shuffle buffer may hold in each worker: more is taken for an oversight, and ends in a killed worker."""

Readahead = Literal["sequential", "normal"]
FormatName = Literal["tar", "parquet", "arrow", "raw", "tfrecord"]


class StreamingShardsParams(PluginParams):
    """What is stored, how it is read, and what a sample costs."""

    format: FormatName = Field(
        "tar", description="tar (as WebDataset names it), parquet, arrow (IPC file), raw (fixed-size records), tfrecord"
    )
    shards: Count = Field(16, ge=1, le=MAX_SHARDS, description="number of shards")
    samples_per_shard: Count = Field(1024, ge=1, le=MAX_SHARD_SAMPLES, description="samples in each shard")
    sample_size: SizesText = Field(
        "112KiB",
        description="4KiB (all equal); tar and tfrecord also uniform:LOW-HIGH, lognormal:MEAN:CV, or a CSV file of "
        "size,weight",
    )
    columns: Count = Field(4, ge=1, le=MAX_COLUMNS, description="parquet: columns that a sample's bytes are cut into")
    project: Count | None = Field(
        None, ge=1, le=MAX_COLUMNS, description="parquet: columns that are read, from the first; default: all"
    )
    row_group: Count = Field(
        64, ge=1, le=MAX_SHARD_SAMPLES, description="parquet, arrow: samples in a row group or record batch"
    )
    check_crc: bool = Field(True, description="tfrecord: readers check the records' checksums")
    compress_ratio: float = Field(1.0, ge=1.0, le=100.0, description="how far the content compresses; 1 = not at all")
    shuffle_shards: bool = Field(True, description="a new random order of shards each epoch")
    shuffle_buffer: Count = Field(
        256, ge=0, le=10**8, description="samples each worker keeps to draw the next one from; 0 = order of the shard"
    )
    read_size: Bytes = Field(1024**2, ge=512, le=1 << 30, description="the most that one read asks for")
    readahead: Readahead = Field(
        "sequential",
        description="sequential: the kernel is told that files are read front to back, and reads further ahead; "
        "normal: it is not. Local paths only",
    )
    decode: DurationNs = Field(0, ge=0, le=60 * 10**9, description="CPU time one sample costs to decode; 0 = none")


class StreamingShards:
    """Large shards of many samples, each read front to back by one worker."""

    name: ClassVar[str] = "streaming-shards"
    summary: ClassVar[str] = "many samples per shard, read front to back: bandwidth of long streams"
    Params: ClassVar[type[PluginParams]] = StreamingShardsParams
    reference_model: ClassVar[str | None] = "resnet50"
    access: ClassVar[Access] = "stream"
    defaults: ClassVar[Mapping[str, Setting]] = {"loader.name": "torch-iterable"}

    def __init__(self, params: StreamingShardsParams, seed: int) -> None:
        """Describe the shards.

        Raises:
            SpecError: the format cannot hold such samples, or the shuffle buffer would hold too much.
        """
        self._params = params
        self._seed = seed
        shape = ShardShape(
            shards=params.shards,
            samples_per_shard=params.samples_per_shard,
            sample_sizes=parse_sizes(params.sample_size),
            seed=seed,
            compress_ratio=params.compress_ratio,
        )
        self._format = shard_format(params, shape)
        self._typical_bytes = shape.typical_bytes()
        _check_shuffle_buffer(params.shuffle_buffer, self._typical_bytes)

    def layout(self) -> ShardLayout:
        """Return the shards to store."""
        return ShardLayout(self._format)

    def samples(self) -> int:
        """Return the samples of all shards."""
        return self._format.shape.samples

    def discover(self, store: Store, tap: Tap) -> int:
        """List the shards, as a script that is given a pattern does; return the samples that they should hold."""
        names = [entry.name for entry in tap.list("") if not entry.is_dir]
        shards = sum(name.startswith(PREFIX) and name.endswith(self._format.suffix) for name in names)
        return shards * self._params.samples_per_shard

    @property
    def stored_format(self) -> str:
        """Return the format's name."""
        return self._params.format

    def stored_samples(self, sizes: ObjectSizes) -> StoredSamples:
        """Return the shards for loaders that read their format themselves."""
        params, stream = self._params, self._stream(sizes)
        return StoredSamples(
            format=params.format,
            layout=self.layout(),
            sizes=sizes,
            objects=range(params.shards),
            samples_per_object=params.samples_per_shard,
            order=stream.shard_order,
            shuffle_buffer=params.shuffle_buffer,
            decode=stream.transform,
            details={
                "columns": params.columns if params.project is None else params.project,
                "row_group": params.row_group,
                "read_bytes": params.read_size,
            },
        )

    def stream(self, sizes: ObjectSizes) -> SampleStream:
        """Return what workers read; the decode cost is calibrated here, before they start."""
        return self._stream(sizes)

    def _stream(self, sizes: ObjectSizes) -> ShardStream:
        params = self._params
        return ShardStream(
            format=self._format,
            sizes=sizes,
            seed=self._seed,
            read_bytes=params.read_size,
            shuffle_shards=params.shuffle_shards,
            shuffle_buffer=params.shuffle_buffer,
            transform=calibrated_transform(params.decode, self._typical_bytes) if params.decode else None,
            sequential=params.readahead == "sequential",
        )


def shard_format(params: StreamingShardsParams, shape: ShardShape) -> ShardFormat:
    """Return the format that the parameters name.

    Raises:
        SpecError: it cannot hold such samples.
    """
    match params.format:
        case "tar":
            return TarFormat(shape)
        case "parquet":
            project = params.columns if params.project is None else params.project
            return ParquetFormat(shape, params.columns, project, params.row_group)
        case "arrow":
            return ArrowFormat(shape, params.row_group)
        case "raw":
            return RawFormat(shape)
        case "tfrecord":
            return TfrecordFormat(shape, params.check_crc)


def _check_shuffle_buffer(samples: int, typical_bytes: int) -> None:
    """Refuse a buffer that no worker has the memory for.

    Raises:
        SpecError: it would hold more than `MAX_SHUFFLE_BYTES`.
    """
    if samples * typical_bytes > MAX_SHUFFLE_BYTES:
        raise SpecError(
            f"workload.shuffle_buffer = {samples}: so many samples of {format_bytes(typical_bytes)} are "
            f"{format_bytes(samples * typical_bytes)} in each worker; "
            f"use --shuffle-buffer {MAX_SHUFFLE_BYTES // 4 // typical_bytes} or less"
        )
