"""`mlperf-unet3d`, `mlperf-retinanet`, ...: MLPerf Storage's workloads of one sample per file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from ioprof.workloads.mlperf_preset import SCALE, SCALE_LIMIT, PresetParams, preset_defaults
from ioprof.workloads.mlperf_table import RETINANET, UNET3D, Published
from ioprof.workloads.sample_files import FileFormat, FileSet, SampleFiles, Shuffle
from pydantic import Field

from ioprof.contract import Access, PluginParams, Setting


class FilesPresetParams(PresetParams):
    """What may be changed where each sample has a file to itself."""

    shuffle: Shuffle = Field("epoch", description="off: file order; once: one random order; epoch: a new one for each")


class _FilesPreset(SampleFiles):
    """A published workload of one sample per file."""

    published: ClassVar[Published]
    format: ClassVar[FileFormat]
    access: ClassVar[Access] = "map"

    def __init__(self, params: FilesPresetParams, seed: int) -> None:
        published = self.published
        super().__init__(
            FileSet(
                format=self.format,
                files=params.files_of(published),
                samples_per_file=published.samples_per_file,
                record_bytes=params.record_size or published.record_bytes,
                record_stdev_bytes=0 if params.record_size else published.record_stdev_bytes,
                delivered_bytes=published.delivered_bytes,
                preprocess_ns=params.preprocess,
                shuffle=params.shuffle,
                threshold=published.threshold,
                epochs=published.epochs,
                deviations=params.deviations + (("samples in file order",) if params.shuffle == "off" else ()),
            ),
            seed,
        )


class Unet3dParams(FilesPresetParams):
    """28 files of 168: 3.6 GiB with the default seed, four steps an epoch."""

    scale: float = Field(0.166, gt=0, le=SCALE_LIMIT, description=SCALE)


class Unet3d(_FilesPreset):
    """3-D segmentation: large npz files, each read whole."""

    name: ClassVar[str] = "mlperf-unet3d"
    summary: ClassVar[str] = "MLPerf Storage 3D U-Net: npz files of 147 MB, one sample each, read whole"
    Params: ClassVar[type[PluginParams]] = Unet3dParams
    reference_model: ClassVar[str | None] = "unet3d"
    published = UNET3D
    format = "npz"
    defaults: ClassVar[Mapping[str, Setting]] = preset_defaults(
        UNET3D, "h100", run__epochs=UNET3D.epochs or 1, run__warmup=2
    )


class RetinanetParams(FilesPresetParams):
    """9,129 files of 1,170,301: 2.7 GiB."""

    scale: float = Field(0.0078, gt=0, le=SCALE_LIMIT, description=SCALE)


class Retinanet(_FilesPreset):
    """Object detection: photographs, one file each."""

    name: ClassVar[str] = "mlperf-retinanet"
    summary: ClassVar[str] = "MLPerf Storage RetinaNet: files of 323 KB, one sample each, read whole"
    Params: ClassVar[type[PluginParams]] = RetinanetParams
    reference_model: ClassVar[str | None] = "retinanet"
    published = RETINANET
    format = "jpeg"
    defaults: ClassVar[Mapping[str, Setting]] = preset_defaults(RETINANET, "b200", run__epochs=2)
