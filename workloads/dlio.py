"""`dlio-files` and `dlio-shards`: datasets as DLIO's configurations describe them.

``ioprof run dlio:FILE.yaml`` maps a configuration onto one of the two (`ioprof.spec.dlio`); they may also be run by
name. Files of samples that are read by number go to the first, streamed TFRecord and Parquet to the second.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from ioprof.workloads.sample_files import FileFormat, FileSet, SampleFiles, Shuffle
from ioprof.workloads.sample_shards import SampleShards, ShardKind, ShardSet
from ioprof.workloads.shards.parquet import MAX_COLUMNS
from ioprof.workloads.shards.shape import MAX_SHARD_SAMPLES
from pydantic import Field

from ioprof.contract import Access, PluginParams, Setting
from ioprof.spec.dlio_keys import STAND_INS
from ioprof.spec.quantities import Bytes, Count, DurationNs

_DEFAULTS: Mapping[str, Setting] = {
    "accelerator.copy_to_device": False,
    "accelerator.compute": STAND_INS["accelerator", "compute"].value,
    "loader.batch_size": STAND_INS["loader", "batch_size"].value,
}
_RECORD_BYTES = int(STAND_INS["workload", "record_size"].value)


class DlioParams(PluginParams):
    """What both kinds of datasets have; names follow the configuration's."""

    files: Count = Field(64, ge=1, le=10**7, description="number of files (num_files_train)")
    samples_per_file: Count = Field(
        1, ge=1, le=MAX_SHARD_SAMPLES, description="samples in each file (num_samples_per_file)"
    )
    record_size: Bytes = Field(
        _RECORD_BYTES, ge=1, le=1 << 32, description="mean size of a sample (record_length_bytes)"
    )
    record_stdev: Bytes = Field(0, ge=0, le=1 << 32, description="its standard deviation (record_length_bytes_stdev)")
    deliver: Bytes | None = Field(
        None, ge=1, le=1 << 30, description="bytes of each sample that go into the batch (record_length_bytes_resize)"
    )
    preprocess: DurationNs = Field(
        0, ge=0, le=60 * 10**9, description="time slept per sample after reading it (preprocess_time)"
    )
    au_threshold: float | None = Field(None, ge=0, le=1, description="utilisation that passes (metric.au)")


class DlioFilesParams(DlioParams):
    """Files that are read whole, or at the offsets of their samples."""

    format: FileFormat = Field(
        "npz",
        description="npz, npy: read whole for each sample; jpeg, png: one sample each; indexed_binary: read by offset",
    )
    shuffle: Shuffle = Field("off", description="off: file order; once: one random order; epoch: a new one for each")
    files_per_dir: Count = Field(10**7, ge=1, le=10**7, description="most entries in one directory")


class DlioFiles(SampleFiles):
    """Files of samples that are read by number."""

    name: ClassVar[str] = "dlio-files"
    summary: ClassVar[str] = "files as a DLIO configuration has them, read by sample: what dlio:FILE.yaml becomes"
    Params: ClassVar[type[PluginParams]] = DlioFilesParams
    reference_model: ClassVar[str | None] = None
    access: ClassVar[Access] = "map"
    defaults: ClassVar[Mapping[str, Setting]] = _DEFAULTS

    def __init__(self, params: DlioFilesParams, seed: int) -> None:
        super().__init__(
            FileSet(
                format=params.format,
                files=params.files,
                samples_per_file=params.samples_per_file,
                record_bytes=params.record_size,
                record_stdev_bytes=params.record_stdev,
                delivered_bytes=params.deliver,
                preprocess_ns=params.preprocess,
                shuffle=params.shuffle,
                files_per_dir=params.files_per_dir,
                threshold=params.au_threshold,
            ),
            seed,
        )


class DlioShardsParams(DlioParams):
    """Files that are streamed."""

    format: ShardKind = Field("tfrecord", description="tfrecord, or parquet by row group")
    shuffle_files: bool = Field(False, description="another order of the files in each epoch (file_shuffle)")
    shuffle_buffer: Count = Field(
        0, ge=0, le=10**8, description="samples each worker keeps to draw the next one from (sample_shuffle)"
    )
    read_size: Bytes = Field(
        256 << 10, ge=512, le=1 << 30, description="the most that one read of a TFRecord asks for (transfer_size)"
    )
    columns: Count = Field(1, ge=1, le=MAX_COLUMNS, description="parquet: columns that a sample's bytes are cut into")
    project: Count = Field(1, ge=1, le=MAX_COLUMNS, description="parquet: columns that are read, from the first")
    row_group: Count = Field(64, ge=1, le=MAX_SHARD_SAMPLES, description="parquet: samples in a row group")


class DlioShards(SampleShards):
    """TFRecord and Parquet files that are streamed."""

    name: ClassVar[str] = "dlio-shards"
    summary: ClassVar[str] = "TFRecord or Parquet as a DLIO configuration has it, streamed: what dlio:FILE.yaml becomes"
    Params: ClassVar[type[PluginParams]] = DlioShardsParams
    reference_model: ClassVar[str | None] = None
    access: ClassVar[Access] = "stream"
    defaults: ClassVar[Mapping[str, Setting]] = {**_DEFAULTS, "loader.name": "torch-iterable"}

    def __init__(self, params: DlioShardsParams, seed: int) -> None:
        super().__init__(
            ShardSet(
                format=params.format,
                files=params.files,
                samples_per_file=params.samples_per_file,
                record_bytes=params.record_size,
                record_stdev_bytes=params.record_stdev,
                delivered_bytes=params.deliver,
                preprocess_ns=params.preprocess,
                shuffle_files=params.shuffle_files,
                shuffle_buffer=params.shuffle_buffer,
                read_bytes=params.read_size,
                columns=params.columns,
                project=params.project,
                row_group=params.row_group,
                threshold=params.au_threshold,
            ),
            seed,
        )
