"""A part of a sharded dataset as a stream of samples: which shards, in which order, shuffled how."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from ioprof.workloads.decode import CpuTransform
from ioprof.workloads.shards.format import OpenShard, Sample, ShardFormat
from ioprof.workloads.shards.layout import shard_path

from ioprof.formats.buffers import BufferPool
from ioprof.formats.errors import ShardError
from ioprof.store.tap import Tap

if TYPE_CHECKING:
    # pydantic comes with it, and every process that prepares a dataset would wait for that.
    from ioprof.contract import ObjectSizes, Part

_SHARD_ORDER, _BUFFER_ORDER = 2, 3
"""What a stream of random bits is for: keeps the two apart, and from the order of `small-files`."""
_DRAWN = 4096
"""Random numbers drawn at once."""


@dataclass(frozen=True, slots=True)
class Share:
    """Samples of one shard that one part reads."""

    shard: int
    first: int
    """Number inside the shard."""
    stop: int


def shares(order: Sequence[int], shape_samples: int, unit_samples: int | None, index: int, count: int) -> list[Share]:
    """Return what part ``index`` of ``count`` reads; over all parts every sample comes once.

    Parts take turns at whole shards. Where there are more parts than shards, shards are split on the borders of units
    if they have any; else the parts that are left over get nothing.

    Args:
        order: the shards of an epoch.
        shape_samples: samples of each.
        unit_samples: samples that can be read on their own; None where a shard can only be read from its start.
        index: from 0 to ``count`` - 1.
        count: number of parts.
    """
    if unit_samples is None or count <= len(order):
        return [Share(shard, 0, shape_samples) for shard in order[index::count]]
    per_shard = -(-shape_samples // unit_samples)
    units = per_shard * len(order)
    at, end = units * index // count, units * (index + 1) // count
    found = []
    while at < end:
        place, unit = divmod(at, per_shard)
        stop = min(end - at + unit, per_shard)
        found.append(Share(order[place], unit * unit_samples, min(stop * unit_samples, shape_samples)))
        at += stop - unit
    return found


@dataclass(frozen=True, kw_only=True)
class ShardStream:
    """Reads shards front to back inside a worker; picklable."""

    format: ShardFormat
    sizes: ObjectSizes
    seed: int
    read_bytes: int
    shuffle_shards: bool
    shuffle_buffer: int
    """Samples among which the next one is drawn; 0 or 1: none are."""
    transform: CpuTransform | None
    sequential: bool = False
    """Tell the kernel that shards are read front to back."""

    def __post_init__(self) -> None:
        self.format.load()

    def __getstate__(self) -> dict[str, object]:
        # Buffers stay in the process that fills them.
        return {key: value for key, value in self.__dict__.items() if key != "pool"}

    @cached_property
    def pool(self) -> BufferPool:
        """Return the buffers of this process, which last from epoch to epoch."""
        return BufferPool()

    def samples(self, tap: Tap, epoch: int, part: Part) -> Iterator[Sample]:
        """Yield one epoch's samples of ``part``; see `ioprof.contract.SampleStream`."""
        stream = self._in_order(tap, epoch, part)
        if self.shuffle_buffer > 1:
            bits = np.random.PCG64(np.random.SeedSequence((self.seed, epoch, _BUFFER_ORDER, part.index, part.count)))
            stream = shuffled(stream, self.shuffle_buffer, bits)
        return stream

    def _in_order(self, tap: Tap, epoch: int, part: Part) -> Iterator[Sample]:
        shape = self.format.shape
        order = self.shard_order(epoch)
        for share in shares(order, shape.samples_per_shard, self.format.unit_samples, part.index, part.count):
            yield from self._share(tap, share)

    def _share(self, tap: Tap, share: Share) -> Iterator[Sample]:
        """Yield the samples of one shard; those that a failure costs are counted, and the stream goes on."""
        size_bytes = self.sizes.of([share.shard])[0]
        opened = OpenShard(
            shard=share.shard, tap=tap, pool=self.pool, size_bytes=size_bytes, read_bytes=self.read_bytes
        )
        left = share.stop - share.first
        try:
            path = shard_path(share.shard, self.format.suffix)
            with tap.open_file(path, share.shard, sequential=self.sequential) as opened.file:
                for sample in self.format.read(opened, share.first, share.stop):
                    left -= 1
                    yield sample if self.transform is None else tap.decode(self.transform, sample, share.shard)
                opened.finish()
        except OSError:
            tap.lose(max(0, left - opened.rejected))
        except ShardError as error:
            tap.reject(error.code, share.shard, max(0, left - opened.rejected))

    def shard_order(self, epoch: int) -> list[int]:
        """Return the shards in the order of ``epoch``: the same for the same seed."""
        shards = self.format.shape.shards
        if not self.shuffle_shards:
            return list(range(shards))
        bits = np.random.PCG64(np.random.SeedSequence((self.seed, epoch, _SHARD_ORDER)))
        order: list[int] = np.argsort(bits.random_raw(shards), kind="stable").tolist()
        return order


def shuffled(stream: Iterator[Sample], held: int, bits: np.random.PCG64) -> Iterator[Sample]:
    """Yield the same samples, each drawn from ``held`` that are kept; what is kept at the end comes in random order.

    What is kept is copied: as views, few samples would hold on to many buffers.
    Raw bits, not a generator's methods: numpy keeps the former the same in every version. Taking the remainder favours
    low places by less than one part in 2^40.
    """
    kept: list[Sample] = []
    for sample in stream:
        kept.append(bytes(sample))
        if len(kept) == held:
            break
    places: list[int] = []
    for sample in stream:
        if not places:
            places = (bits.random_raw(_DRAWN) % held).tolist()
        place = places.pop()
        yield kept[place]
        kept[place] = bytes(sample)
    for place in np.argsort(bits.random_raw(len(kept)), kind="stable").tolist():
        yield kept[place]
