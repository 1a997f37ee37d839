"""How many samples there are, how large, and in which shard: what all formats have in common."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from ioprof.dataset.content import PIECE_BYTES, Content
from ioprof.dataset.sizes import SizeDistribution, Sizes, range_sizes
from ioprof.errors import SpecError
from ioprof.units import format_bytes

MAX_SAMPLE_BYTES = 1 << 30
"""A sample is held in memory whole; more is taken for a slip of the keyboard."""
MAX_SHARDS = 10**7
MAX_SHARD_SAMPLES = 10**8
_BLOCK_SAMPLES = 65_536
_TYPICAL_OF = 1000

Piece = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardShape:
    """Samples 0, 1, 2, ... in shards of equally many; picklable and small whatever the count."""

    shards: int
    samples_per_shard: int
    sample_sizes: SizeDistribution
    seed: int
    """Decides sizes and content."""
    compress_ratio: float = 1.0

    def __post_init__(self) -> None:
        if not 1 <= self.shards <= MAX_SHARDS:
            raise SpecError(f"{self.shards} shards: must be from 1 to {MAX_SHARDS:,}")
        if not 1 <= self.samples_per_shard <= MAX_SHARD_SAMPLES:
            raise SpecError(f"{self.samples_per_shard} samples per shard: must be from 1 to {MAX_SHARD_SAMPLES:,}")
        fixed = self.fixed_sample_bytes
        if fixed is not None and fixed > MAX_SAMPLE_BYTES:
            raise SpecError(
                f"samples of {format_bytes(fixed)}: a sample is held in memory, and more than "
                f"{format_bytes(MAX_SAMPLE_BYTES)} is not accepted; use more and smaller ones"
            )

    @property
    def samples(self) -> int:
        """Samples of all shards."""
        return self.shards * self.samples_per_shard

    @property
    def fixed_sample_bytes(self) -> int | None:
        """The one size that all samples have; None where they differ."""
        return self.sample_sizes.fixed_size_bytes

    def sample_range(self, shard: int) -> range:
        """Return the numbers of a shard's samples."""
        return range(shard * self.samples_per_shard, (shard + 1) * self.samples_per_shard)

    def sizes_of(self, shard: int) -> Sizes:
        """Return the sizes in bytes of a shard's samples."""
        samples = self.sample_range(shard)
        return range_sizes(self.sample_sizes, self.seed, samples.start, samples.stop)

    def samples_of(self, shard: int) -> Iterator[tuple[int, int]]:
        """Yield number and size in bytes of a shard's samples; few of them are held at a time."""
        samples = self.sample_range(shard)
        for start in range(samples.start, samples.stop, _BLOCK_SAMPLES):
            stop = min(start + _BLOCK_SAMPLES, samples.stop)
            yield from zip(
                range(start, stop), range_sizes(self.sample_sizes, self.seed, start, stop).tolist(), strict=True
            )

    def typical_bytes(self) -> int:
        """Return the mean size of the first samples."""
        return round(float(range_sizes(self.sample_sizes, self.seed, 0, min(self.samples, _TYPICAL_OF)).mean()))

    def content(self) -> Content:
        """Return a maker of content; each has buffers of its own."""
        return Content(self.seed, self.compress_ratio)

    def identity(self) -> dict[str, str | int | float | bool]:
        """Return all of it that decides stored bytes."""
        return {
            "shards": self.shards,
            "samples_per_shard": self.samples_per_shard,
            "seed": self.seed,
            "compress_ratio": float(self.compress_ratio),
            **self.sample_sizes.identity(),
        }


def same_for_all(size_bytes: int, start: int, stop: int) -> Sizes:
    """Return one size for each shard from ``start`` to ``stop`` - 1."""
    return np.full(stop - start, size_bytes, dtype=np.int64)


def coalesced(parts: Iterable[Piece], piece_bytes: int = PIECE_BYTES) -> Iterator[memoryview]:
    """Yield the same bytes in pieces that are worth a system call each; their buffer is used again."""
    buffer = memoryview(bytearray(piece_bytes))
    filled = 0
    for part in parts:
        left = memoryview(part)
        if len(left) >= piece_bytes and not filled:
            yield left
            continue
        while left:
            taken = min(len(left), piece_bytes - filled)
            buffer[filled : filled + taken] = left[:taken]
            filled, left = filled + taken, left[taken:]
            if filled == piece_bytes:
                yield buffer
                filled = 0
    if filled:
        yield buffer[:filled]
