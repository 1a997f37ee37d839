"""Raw shards: records of one size, one after the other, nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from ioprof.workloads.shards.fixed import fixed_sample_bytes
from ioprof.workloads.shards.format import OpenShard, Sample
from ioprof.workloads.shards.shape import Piece, ShardShape, same_for_all

from ioprof.dataset.sizes import Sizes
from ioprof.formats.window import Window


@dataclass(frozen=True)
class RawFormat:
    """Fixed-size records: a sample is found by its number alone."""

    shape: ShardShape
    suffix: ClassVar[str] = ".bin"
    unit_samples: ClassVar[int | None] = 1

    def __post_init__(self) -> None:
        fixed_sample_bytes(self.shape, "raw")

    def load(self) -> None:
        """Nothing is missing."""

    def identity(self) -> dict[str, str | int | float | bool]:
        """Return the format's name and version."""
        return {"shard_format": "raw", "shard_format_version": 1}

    def sizes(self, start: int, stop: int) -> Sizes:
        """Return records times their size."""
        return same_for_all(self.shape.samples_per_shard * fixed_sample_bytes(self.shape, "raw"), start, stop)

    def pieces(self, shard: int) -> Iterator[Piece]:
        """Yield the shard as one run of content."""
        return self.shape.content().pieces(shard, int(self.sizes(shard, shard + 1)[0]))

    def read(self, opened: OpenShard, first: int, stop: int) -> Iterator[Sample]:
        """Yield records as views of what was read."""
        record_bytes = fixed_sample_bytes(self.shape, "raw")
        window = Window(
            opened.file,
            opened.pool,
            read_bytes=opened.read_bytes,
            start=first * record_bytes,
            stop=stop * record_bytes,
        )
        return window.records(record_bytes, stop - first)
