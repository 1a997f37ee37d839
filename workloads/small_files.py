"""`small-files`: millions of small files, one sample each, read whole in random order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

from ioprof.workloads.checked_text import SizesText
from ioprof.workloads.decode import CpuTransform, calibrated_transform
from ioprof.workloads.seeded_order import seeded_order
from ioprof.workloads.tree_walk import found_files
from pydantic import Field

from ioprof.contract import Access, Indices, ObjectSizes, PluginParams, SampleReader, Setting, StoredSamples
from ioprof.dataset.layout import OpaqueLayout
from ioprof.dataset.size_text import parse_sizes
from ioprof.spec.quantities import Count, DurationNs
from ioprof.store.base import Store
from ioprof.store.tap import Tap

IMAGE_BYTES = 114_660
"""Mean sample of MLPerf Storage's resnet50, after ImageNet's photographs; rounded up to 112 KiB below."""


class SmallFilesParams(PluginParams):
    """What is stored, and what a sample costs."""

    files: Count = Field(20_000, ge=1, le=10**9, description="number of files; each is one sample")
    file_size: SizesText = Field(
        "lognormal:112KiB:0.5",
        description="4KiB (all equal), uniform:LOW-HIGH, lognormal:MEAN:CV, or a CSV file of size,weight",
    )
    files_per_dir: Count = Field(1000, ge=1, le=10**7, description="most entries in one directory")
    compress_ratio: float = Field(1.0, ge=1.0, le=100.0, description="how far the content compresses; 1 = not at all")
    decode: DurationNs = Field(0, ge=0, le=60 * 10**9, description="CPU time one sample costs to decode; 0 = none")
    shuffle: bool = Field(True, description="a new random order each epoch; false reads in index order")
    discovery: Literal["list", "list+stat", "none"] = Field(
        "list",
        description="how the script finds its files at start-up; list walks the tree as image-folder datasets do",
    )


class SmallFilesReader:
    """Reads one file per sample; picklable."""

    def __init__(self, layout: OpaqueLayout, sizes: ObjectSizes, transform: CpuTransform | None) -> None:
        self._layout = layout
        self._sizes = sizes
        self._transform = transform

    def read(self, tap: Tap, samples: Sequence[int]) -> Sequence[bytes]:
        """Return each sample's bytes, decoded; files that could not be read are left out."""
        paths, sizes_bytes = self._layout.paths(samples, tap.root), self._sizes.of(samples)
        if self._transform is None:
            return tap.read_objects(paths, sizes_bytes, samples)
        decoded = []
        for path, size_bytes, sample in zip(paths, sizes_bytes, samples, strict=True):
            for content in tap.read_objects([path], [size_bytes], [sample]):
                decoded.append(tap.decode(self._transform, content, sample))
        return decoded


class SmallFiles:
    """Millions of small files, one sample each, read whole in random order."""

    name: ClassVar[str] = "small-files"
    summary: ClassVar[str] = "one small file per sample, random order: open latency and IOPS"
    Params: ClassVar[type[PluginParams]] = SmallFilesParams
    reference_model: ClassVar[str | None] = "resnet50"
    access: ClassVar[Access] = "map"
    defaults: ClassVar[Mapping[str, Setting]] = {}

    def __init__(self, params: SmallFilesParams, seed: int) -> None:
        self._params = params
        self._seed = seed
        self._layout = OpaqueLayout(
            count=params.files,
            sizes=parse_sizes(params.file_size),
            files_per_dir=params.files_per_dir,
            seed=seed,
            compress_ratio=params.compress_ratio,
        )

    def layout(self) -> OpaqueLayout:
        """Return the files to store."""
        return self._layout

    def samples(self) -> int:
        """Return the number of files."""
        return self._params.files

    def order(self, epoch: int) -> Indices:
        """Return the files in the order of ``epoch``."""
        return seeded_order(self._params.files, self._seed, epoch, shuffle=self._params.shuffle)

    def discover(self, store: Store, tap: Tap) -> int:
        """Walk the tree as an image-folder dataset does when a training script starts; return the files found."""
        if self._params.discovery == "none":
            return self._params.files
        found = 0
        for path in found_files(tap):
            found += 1
            if self._params.discovery == "list+stat":
                tap.stat(path)
        return found

    @property
    def stored_format(self) -> str:
        """Return that each object is a sample."""
        return "files"

    def stored_samples(self, sizes: ObjectSizes) -> StoredSamples:
        """Return the files for loaders that read them themselves."""
        return StoredSamples(
            format=self.stored_format,
            layout=self._layout,
            sizes=sizes,
            objects=range(self._params.files),
            samples_per_object=1,
            order=self.order,
            decode=self._transform(),
        )

    def reader(self, sizes: ObjectSizes) -> SampleReader:
        """Return the reader; the decode cost is calibrated here, before workers start."""
        return SmallFilesReader(self._layout, sizes, self._transform())

    def _transform(self) -> CpuTransform | None:
        decode_ns = self._params.decode
        if not decode_ns:
            return None
        typical_bytes = round(self._layout.sizes(0, min(self._layout.count, 1000)).mean())
        return calibrated_transform(decode_ns, typical_bytes)
