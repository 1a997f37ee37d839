"""`mlperf-resnet50`, `mlperf-cosmoflow`, ...: MLPerf Storage's workloads that stream TFRecord or Parquet files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from ioprof.workloads.mlperf_preset import SCALE, SCALE_LIMIT, PresetParams, preset_defaults
from ioprof.workloads.mlperf_table import BERT, COSMOFLOW, DLRM, FLUX, RESNET50, Published
from ioprof.workloads.sample_shards import SampleShards, ShardKind, ShardSet
from ioprof.workloads.shards.shape import MAX_SHARD_SAMPLES
from pydantic import Field

from ioprof.contract import Access, PluginParams, Setting
from ioprof.spec.quantities import Count

_STREAM = "torch-iterable"


class ShardsPresetParams(PresetParams):
    """What may be changed where files hold many samples."""

    samples_per_file: Count | None = Field(
        None, ge=1, le=MAX_SHARD_SAMPLES, description="samples in each file, in place of the published number"
    )


class _ShardsPreset(SampleShards):
    """A published workload of streamed files."""

    published: ClassVar[Published]
    format: ClassVar[ShardKind]
    access: ClassVar[Access] = "stream"

    def __init__(self, params: ShardsPresetParams, seed: int) -> None:
        published = self.published
        own = ("a number of samples per file of its own",) if params.samples_per_file else ()
        super().__init__(
            ShardSet(
                format=self.format,
                files=params.files_of(published),
                samples_per_file=params.samples_per_file or published.samples_per_file,
                record_bytes=params.record_size or published.record_bytes,
                record_stdev_bytes=0 if params.record_size else published.record_stdev_bytes,
                delivered_bytes=published.delivered_bytes,
                preprocess_ns=params.preprocess,
                shuffle_files=published.shuffle_files,
                shuffle_buffer=published.shuffle_buffer,
                columns=published.columns,
                project=published.project,
                row_group=published.row_group,
                threshold=published.threshold,
                epochs=published.epochs,
                deviations=params.deviations + own,
            ),
            seed,
        )


class Resnet50Params(ShardsPresetParams):
    """21 files of 1,024: 2.8 GiB."""

    scale: float = Field(0.02, gt=0, le=SCALE_LIMIT, description=SCALE)


class Resnet50(_ShardsPreset):
    """Image classification: TFRecord files of 1,251 photographs."""

    name: ClassVar[str] = "mlperf-resnet50"
    summary: ClassVar[str] = "MLPerf Storage ResNet-50: TFRecord files of 1,251 samples of 115 KB, streamed"
    Params: ClassVar[type[PluginParams]] = Resnet50Params
    reference_model: ClassVar[str | None] = "resnet50"
    published = RESNET50
    format = "tfrecord"
    defaults: ClassVar[Mapping[str, Setting]] = preset_defaults(RESNET50, "h100", loader__name=_STREAM, run__epochs=2)


class CosmoflowParams(ShardsPresetParams):
    """1,049 files of 524,288: 2.8 GiB."""

    scale: float = Field(0.002, gt=0, le=SCALE_LIMIT, description=SCALE)


class Cosmoflow(_ShardsPreset):
    """Cosmology: TFRecord files of one sample each, one sample per batch."""

    name: ClassVar[str] = "mlperf-cosmoflow"
    summary: ClassVar[str] = "MLPerf Storage CosmoFlow: TFRecord files of 2.8 MB, one sample each, batches of 1"
    Params: ClassVar[type[PluginParams]] = CosmoflowParams
    reference_model: ClassVar[str | None] = "cosmoflow"
    published = COSMOFLOW
    format = "tfrecord"
    defaults: ClassVar[Mapping[str, Setting]] = preset_defaults(COSMOFLOW, "h100", loader__name=_STREAM, run__epochs=2)


class FluxParams(ShardsPresetParams):
    """5 files of 4,296: 2.9 GiB."""

    scale: float = Field(0.0011, gt=0, le=SCALE_LIMIT, description=SCALE)


class Flux(_ShardsPreset):
    """Text to image: Parquet files of 288 encoded pictures."""

    name: ClassVar[str] = "mlperf-flux"
    summary: ClassVar[str] = "MLPerf Storage Flux: Parquet files of 288 samples of 2.2 MB, read by row group"
    Params: ClassVar[type[PluginParams]] = FluxParams
    reference_model: ClassVar[str | None] = "flux"
    published = FLUX
    format = "parquet"
    defaults: ClassVar[Mapping[str, Setting]] = preset_defaults(
        FLUX, "b200", loader__name=_STREAM, run__epochs=FLUX.epochs or 1
    )


class DlrmParams(ShardsPresetParams):
    """1 file of 1,024: 3.3 GiB."""

    scale: float = Field(0.0009, gt=0, le=SCALE_LIMIT, description=SCALE)


class Dlrm(_ShardsPreset):
    """Recommendation: Parquet files of millions of rows, of which some columns are read."""

    name: ClassVar[str] = "mlperf-dlrm"
    summary: ClassVar[str] = "MLPerf Storage DLRM: Parquet files of 4.7 million rows of 761 B, 45 of 200 columns read"
    Params: ClassVar[type[PluginParams]] = DlrmParams
    reference_model: ClassVar[str | None] = "dlrm"
    published = DLRM
    format = "parquet"
    defaults: ClassVar[Mapping[str, Setting]] = preset_defaults(
        DLRM, "b200", loader__name=_STREAM, run__epochs=DLRM.epochs or 1
    )


class BertParams(ShardsPresetParams):
    """4 files of 500: 2.9 GiB."""

    scale: float = Field(0.008, gt=0, le=SCALE_LIMIT, description=SCALE)


class Bert(_ShardsPreset):
    """Language: TFRecord files of 313,532 short texts."""

    name: ClassVar[str] = "mlperf-bert"
    summary: ClassVar[str] = "DLIO's BERT: TFRecord files of 313,532 samples of 2.5 KB, streamed"
    Params: ClassVar[type[PluginParams]] = BertParams
    reference_model: ClassVar[str | None] = "bert"
    published = BERT
    format = "tfrecord"
    # No epoch ends within a minute at 50 samples/s: the duration does.
    defaults: ClassVar[Mapping[str, Setting]] = preset_defaults(BERT, "v100", loader__name=_STREAM)
