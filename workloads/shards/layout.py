"""Shards as objects of a dataset: named by number in the dataset's root, made piece by piece."""

from __future__ import annotations

from collections.abc import Iterator

from ioprof.workloads.shards.format import ShardFormat
from ioprof.workloads.shards.shape import coalesced

from ioprof.dataset.sizes import Sizes

PREFIX = "shard-"


class ShardLayout:
    """The shards of one format; picklable, and small whatever their number."""

    kind = "shards"

    def __init__(self, shard_format: ShardFormat) -> None:
        self.format = shard_format
        self.count = shard_format.shape.shards
        fixed = shard_format.shape.fixed_sample_bytes
        self.fixed_size_bytes = int(shard_format.sizes(0, 1)[0]) if fixed is not None else None
        """The size that all shards have; None where their samples' sizes differ."""

    def identity(self) -> dict[str, str | int | float | bool]:
        """Return all that decides the stored bytes and names."""
        return {"layout": self.kind, "layout_format": 1, **self.format.shape.identity(), **self.format.identity()}

    def path(self, index: int) -> str:
        """Return the name of a shard."""
        return shard_path(index, self.format.suffix)

    def directories(self) -> Iterator[str]:
        """Yield nothing: shards stand in the root."""
        return iter(())

    def sizes(self, start: int, stop: int) -> Sizes:
        """Return the sizes in bytes of shards ``start`` to ``stop`` - 1.

        Raises:
            IndexError: the range reaches outside of the dataset.
        """
        if not 0 <= start <= stop <= self.count:
            raise IndexError(f"shards {start} to {stop} of {self.count}")
        return self.format.sizes(start, stop)

    def pieces(self, index: int, size_bytes: int) -> Iterator[memoryview]:
        """Yield the content of a shard in order; the buffer is used again."""
        return coalesced(self.format.pieces(index))

    def render(self, index: int, size_bytes: int) -> bytearray:
        """Return the whole content of a shard, for stores that take objects whole."""
        content = bytearray(size_bytes)
        at = 0
        for piece in self.pieces(index, size_bytes):
            content[at : at + len(piece)] = piece
            at += len(piece)
        return content


def shard_path(shard: int, suffix: str) -> str:
    """Return the name of a shard in its dataset."""
    return f"{PREFIX}{shard:06d}{suffix}"
