"""`mlperf-unet3d`, `mlperf-retinanet`, ...: MLPerf Storage's workloads of one sample per file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

from ioprof.workloads.mlperf_table import RETINANET, UNET3D, Published
from ioprof.workloads.sample_files import FileFormat, FileSet, SampleFiles, Shuffle
from pydantic import Field

from ioprof.contract import PUBLISHED, Access, PluginParams, Setting
from ioprof.spec.quantities import Count, DurationNs

_SCALE = "share of the published number of files; 1 is the published dataset"
SCALE_LIMIT = 10_000


class PresetParams(PluginParams):
    """What may be changed of a preset; all else is as published."""

    scale: float = Field(1.0, gt=0, le=SCALE_LIMIT, description=_SCALE)
    files: Count | None = Field(None, ge=1, le=10**9, description="number of files, in place of --scale")
    shuffle: Shuffle = Field("epoch", description="off: file order; once: one random order; epoch: a new one for each")
    preprocess: DurationNs = Field(0, ge=0, le=60 * 10**9, description="time slept per sample after reading it")

    @property
    def deviations(self) -> tuple[str, ...]:
        """What is not as published, apart from the number of files."""
        changed = {"preprocess": bool(self.preprocess), "shuffle = off": self.shuffle == "off"}
        return tuple(f"{name} is not as published" for name, is_changed in changed.items() if is_changed)

    def files_of(self, published: Published) -> int:
        """Return how many files there are."""
        return self.files or max(1, math.ceil(published.files * self.scale - 1e-9))


def preset_defaults(published: Published, accelerator: str, **more: Setting) -> Mapping[str, Setting]:
    """Return what a preset wants set in other sections: all that its configuration says of them."""
    return MappingProxyType(
        {
            "loader.batch_size": PUBLISHED,
            "loader.workers": published.read_threads,
            "loader.prefetch": published.prefetch_per_worker,
            "accelerator.name": accelerator,
            # MLPerf Storage knows no copy to the device.
            "accelerator.copy_to_device": False,
            **{key.replace("__", "."): value for key, value in more.items()},
        }
    )


class _FilesPreset(SampleFiles):
    """A published workload of one sample per file."""

    published: ClassVar[Published]
    format: ClassVar[FileFormat]
    access: ClassVar[Access] = "map"

    def __init__(self, params: PresetParams, seed: int) -> None:
        published = self.published
        super().__init__(
            FileSet(
                format=self.format,
                files=params.files_of(published),
                samples_per_file=published.samples_per_file,
                record_bytes=published.record_bytes,
                record_stdev_bytes=published.record_stdev_bytes,
                delivered_bytes=published.delivered_bytes,
                preprocess_ns=params.preprocess,
                shuffle=params.shuffle,
                threshold=published.threshold,
                epochs=published.epochs,
                deviations=params.deviations,
            ),
            seed,
        )


class Unet3dParams(PresetParams):
    """28 files of 168: 3.8 GiB, four steps an epoch."""

    scale: float = Field(1 / 6, gt=0, le=SCALE_LIMIT, description=_SCALE)


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


class RetinanetParams(PresetParams):
    """9,143 files of 1,170,301: 2.8 GiB."""

    scale: float = Field(1 / 128, gt=0, le=SCALE_LIMIT, description=_SCALE)


class Retinanet(_FilesPreset):
    """Object detection: photographs, one file each."""

    name: ClassVar[str] = "mlperf-retinanet"
    summary: ClassVar[str] = "MLPerf Storage RetinaNet: files of 323 KB, one sample each, read whole"
    Params: ClassVar[type[PluginParams]] = RetinanetParams
    reference_model: ClassVar[str | None] = "retinanet"
    published = RETINANET
    format = "jpeg"
    defaults: ClassVar[Mapping[str, Setting]] = preset_defaults(RETINANET, "b200", run__epochs=2)
