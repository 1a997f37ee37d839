"""What all `mlperf-*` presets have in common: their parameters, and what they want set in other sections."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

from ioprof.workloads.mlperf_table import Published
from pydantic import Field

from ioprof.contract import PUBLISHED, PluginParams, Setting
from ioprof.spec.quantities import Bytes, Count, DurationNs

SCALE = "share of the published number of files; 1 is the published dataset"
SCALE_LIMIT = 10_000


class PresetParams(PluginParams):
    """What may be changed of a preset; all else is as published."""

    scale: float = Field(1.0, gt=0, le=SCALE_LIMIT, description=SCALE)
    files: Count | None = Field(None, ge=1, le=10**7, description="number of files, in place of --scale")
    record_size: Bytes | None = Field(
        None, ge=64, le=1 << 30, description="size of every sample, in place of the published ones"
    )
    preprocess: DurationNs = Field(0, ge=0, le=60 * 10**9, description="time slept per sample after reading it")

    @property
    def deviations(self) -> tuple[str, ...]:
        """What is not as published, apart from the number of files."""
        changed = (("a record size of its own", self.record_size), ("a preprocessing time of its own", self.preprocess))
        return tuple(told for told, is_changed in changed if is_changed)

    def files_of(self, published: Published) -> int:
        """Return how many files there are."""
        return self.files or max(1, math.ceil(published.files * self.scale - 1e-9))


def preset_defaults(published: Published, accelerator: str, **more: Setting) -> Mapping[str, Setting]:
    """Return what a preset wants set in other sections: all that its configuration says of them.

    Args:
        published: the configuration.
        accelerator: the one to take where none is named.
        more: further settings, two underscores for the dot.
    """
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
