"""A plug-in file with a workload that is read front to back: small files, one sample each; for tests of loaders."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

from pydantic import Field

from ioprof.contract import Access, ObjectSizes, Part, PluginParams, SampleStream, Setting
from ioprof.dataset.layout import OpaqueLayout
from ioprof.dataset.size_text import parse_sizes
from ioprof.spec.quantities import DurationNs
from ioprof.store.base import Store
from ioprof.store.tap import Tap


class BrokenStreamError(ValueError):
    """What the stream raises at `SmallStreamParams.fail_at`."""


class SmallStreamParams(PluginParams):
    """What is stored, and what goes wrong."""

    files: int = Field(50, description="number of files; each is one sample")
    file_size: str = Field("uniform:1-9KiB", description="sizes, as small-files has them")
    buffer: int = Field(0, description="samples read before the first one is yielded, as a shuffle buffer does")
    fail_at: int = Field(-1, description="sample at which the stream breaks")
    one_part: bool = Field(False, description="give all samples to the first part, as a single shard does")
    prep: DurationNs = Field(0, description="time one sample takes to prepare, asleep")


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
            for content in tap.read_objects(paths, sizes, [sample]):
                ahead.append(tap.decode(self._prepared, content, sample) if self.params.prep else content)
            if len(ahead) > self.params.buffer:
                yield ahead.pop(0)
        yield from ahead

    def _of_part(self, epoch: int, part: Part) -> range:
        if self.params.one_part:
            return range(self.layout.count if part.index == 0 else 0)
        return range((part.index + epoch) % part.count, self.layout.count, part.count)

    def _prepared(self, content: bytes) -> bytes:
        time.sleep(self.params.prep / 1e9)
        return content


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
            count=params.files, sizes=parse_sizes(params.file_size), files_per_dir=100, seed=seed, compress_ratio=1.0
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
