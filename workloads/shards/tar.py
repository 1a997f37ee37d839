"""Tar shards as WebDataset names them: the members of one sample share their name up to the first dot.

Written as plain ustar: `000123.bin`, the sample, and `000123.cls`, its label as digits; read by `ioprof.formats.ustar`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from ioprof.workloads.shards.format import OpenShard, Sample
from ioprof.workloads.shards.shape import Piece, ShardShape, same_for_all

from ioprof.dataset.sizes import Sizes
from ioprof.formats.errors import ShardError
from ioprof.formats.ustar import BLOCK_BYTES, MASK, compiled_walk, tar_samples
from ioprof.formats.window import Window
from ioprof.trace.kinds import BAD_FORMAT

_ZEROS = bytes(2 * BLOCK_BYTES)
"""Two empty blocks end an archive."""
_CLASSES = 1000
_CLASS_STEP = 2654435761
"""2^32 over the golden ratio: labels follow no pattern, and nothing is drawn for them."""


@dataclass(frozen=True)
class TarFormat:
    """WebDataset's archives; read from the start, member by member."""

    shape: ShardShape
    suffix: ClassVar[str] = ".tar"
    unit_samples: ClassVar[int | None] = None

    def load(self) -> None:
        """Nothing is missing."""

    def identity(self) -> dict[str, str | int | float | bool]:
        """Return the format's name and version."""
        return {"shard_format": "tar", "shard_format_version": 1}

    def sizes(self, start: int, stop: int) -> Sizes:
        """Return a header and whole blocks for each sample, two blocks for its label, and two at the end."""
        shape, fixed = self.shape, self.shape.fixed_sample_bytes
        sizes = same_for_all(shape.samples_per_shard * 3 * BLOCK_BYTES + len(_ZEROS), start, stop)
        for place, shard in enumerate(range(start, stop)):
            if fixed is not None:
                sizes[place] += shape.samples_per_shard * ((fixed + MASK) & ~MASK)
            else:
                sizes[place] += int(((shape.sizes_of(shard) + MASK) & ~MASK).sum())
        return sizes

    def pieces(self, shard: int) -> Iterator[Piece]:
        """Yield headers, samples and labels."""
        content = self.shape.content()
        for sample, size_bytes in self.shape.samples_of(shard):
            yield header(f"{sample:06d}.bin", size_bytes)
            yield from content.pieces(sample, size_bytes)
            yield bytes(-size_bytes & MASK)
            label = b"%d" % label_of(sample)
            yield header(f"{sample:06d}.cls", len(label)) + label.ljust(BLOCK_BYTES, b"\0")
        yield _ZEROS

    def read(self, opened: OpenShard, first: int, stop: int) -> Iterator[Sample]:
        """Yield the samples as views of what was read."""
        window = Window(opened.file, opened.pool, read_bytes=opened.read_bytes, start=0, stop=opened.size_bytes)
        rejected, found = opened.rejected, 0
        for sample in tar_samples(window, opened, compiled_walk()):
            found += 1
            yield sample
        left = stop - first - found - (opened.rejected - rejected)
        if left > 0:
            raise ShardError(BAD_FORMAT, f"the archive ends {left} samples too early")


def header(name: str, size_bytes: int) -> bytes:
    """Return the ustar header of a plain file; all that could differ between two runs is fixed."""
    head = b"%s0000644\0000000000\0000000000\000%s00000000000\0        0%sustar\00000%s" % (
        name.encode("ascii").ljust(100, b"\0"),
        _size_field(size_bytes),
        bytes(100),
        bytes(BLOCK_BYTES - 265),
    )
    return head[:148] + b"%06o\0 " % sum(head) + head[156:]


def label_of(sample: int) -> int:
    """Return a sample's class."""
    return (sample * _CLASS_STEP >> 7) % _CLASSES


def _size_field(size_bytes: int) -> bytes:
    return b"%011o\0" % size_bytes
