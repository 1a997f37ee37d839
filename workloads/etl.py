"""`etl`: the stage before training: read small files, normalise them, write them as shards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar
from weakref import WeakKeyDictionary

import numpy as np
from ioprof.workloads.checked_text import SizesText
from ioprof.workloads.decode import CpuTransform, calibrated_transform
from ioprof.workloads.shard_writer import PART, ShardWriter, end_shard, member_bytes
from ioprof.workloads.small_files import SmallFilesReader
from ioprof.workloads.tree_walk import found_files
from pydantic import Field

from ioprof.contract import (
    Access,
    EpochStart,
    Indices,
    ObjectSizes,
    PluginParams,
    SampleReader,
    ScratchNeed,
    Setting,
)
from ioprof.dataset.layout import OpaqueLayout
from ioprof.dataset.place import place
from ioprof.dataset.room import total_bytes
from ioprof.dataset.size_text import parse_sizes
from ioprof.errors import StoreError
from ioprof.spec.quantities import Bytes, Count, DurationNs
from ioprof.store.base import Store
from ioprof.store.tap import Tap
from ioprof.units import format_bytes

_DONE = b"\x00"
"""What the consumer gets of a sample: its bytes went to the store."""
_MIDDLE = 128
_LEVELS = np.arange(256)
_NOT_SYNCED = (
    "Shards were not synced (workload.fsync = false): bytes that count as written may have been in this host's memory."
)


class EtlParams(PluginParams):
    """What is read, what a sample costs, and how shards are written."""

    files: Count = Field(10_000, ge=1, le=10**9, description="number of files to read; each is one sample")
    file_size: SizesText = Field(
        "lognormal:112KiB:0.5",
        description="4KiB (all equal), uniform:LOW-HIGH, lognormal:MEAN:CV, or a CSV file of size,weight",
    )
    files_per_dir: Count = Field(1000, ge=1, le=10**7, description="most entries in one directory")
    compress_ratio: float = Field(1.0, ge=1.0, le=100.0, description="how far the content compresses; 1 = not at all")
    decode: DurationNs = Field(
        0, ge=0, le=60 * 10**9, description="CPU time one sample costs beside normalising; 0 = none"
    )
    shard_size: Bytes = Field(
        64 * 2**20, ge=4096, le=2**40, description="a shard is finished when it has grown to so many bytes"
    )
    fsync: bool = Field(True, description="make each shard durable before it gets its name")
    keep_output: bool = Field(
        False, description="leave the last epoch's shards on the store until the next run of the dataset"
    )


class Normalise:
    """Shifts a sample's bytes so that their mean is in the middle of the scale, after the CPU work asked for."""

    def __init__(self, work: CpuTransform | None) -> None:
        self._work = work

    def __call__(self, content: bytes) -> bytes:
        """Return the normalised bytes, as many as before."""
        if self._work is not None:
            self._work(content)
        shift = _MIDDLE - round(float(np.frombuffer(content, dtype=np.uint8).mean()))
        return content.translate(np.clip(_LEVELS + shift, 0, 255).astype(np.uint8).tobytes())


class Ingest:
    """Reads files, normalises them and writes them into its worker's shards; picklable."""

    def __init__(self, layout: OpaqueLayout, sizes: ObjectSizes, transform: Normalise, params: EtlParams) -> None:
        self._layout = layout
        self._sizes = sizes
        self._transform = transform
        self._params = params
        self._writers: WeakKeyDictionary[Tap, ShardWriter] = WeakKeyDictionary()

    def __reduce__(self) -> tuple[object, ...]:
        return Ingest, (self._layout, self._sizes, self._transform, self._params)

    def begin_epoch(self, tap: Tap, start: EpochStart) -> None:
        """Put this epoch's output in the place of the last one's."""
        if tap not in self._writers:
            directory = f"{start.scratch}/worker-{start.rank}-{start.worker}"
            self._writers[tap] = ShardWriter(tap, directory, self._params.shard_size, sync=self._params.fsync)
        self._writers[tap].begin_epoch()

    def read(self, tap: Tap, samples: Sequence[int]) -> Sequence[bytes]:
        """Take files into shards; return one byte for each: what was read has gone to the store.

        Raises:
            StoreError: a shard could not be written.
        """
        writer = self._writers[tap]
        paths, sizes_bytes = self._layout.paths(samples, tap.root), self._sizes.of(samples)
        done = []
        for path, size_bytes, sample in zip(paths, sizes_bytes, samples, strict=True):
            for content in tap.read_objects([path], [size_bytes], [sample]):
                writer.add(f"{sample:09d}.bin", tap.decode(self._transform, content, sample))
                done.append(_DONE)
        writer.flush()
        return done

    def end_epoch(self, tap: Tap) -> None:
        """Finish the worker's last shard, which is seldom full.

        Raises:
            StoreError: it could not be written.
        """
        if tap in self._writers:
            self._writers[tap].end_epoch()


class Etl:
    """The stage before training: small files in, shards out."""

    name: ClassVar[str] = "etl"
    summary: ClassVar[str] = "read small files, normalise, write shards: read and write rates together"
    Params: ClassVar[type[PluginParams]] = EtlParams
    reference_model: ClassVar[str | None] = None
    access: ClassVar[Access] = "map"
    defaults: ClassVar[Mapping[str, Setting]] = {
        "loader.name": "processes",
        "loader.drop_last": False,
        "accelerator.name": "none",
    }

    def __init__(self, params: EtlParams, seed: int) -> None:
        self._params = params
        self._layout = OpaqueLayout(
            count=params.files,
            sizes=parse_sizes(params.file_size),
            files_per_dir=params.files_per_dir,
            seed=seed,
            compress_ratio=params.compress_ratio,
        )

    def layout(self) -> OpaqueLayout:
        """Return the files to read."""
        return self._layout

    def samples(self) -> int:
        """Return the number of files."""
        return self._params.files

    def order(self, epoch: int) -> Indices:
        """Return the files in the order of their numbers: nothing is gained by shuffling what is only passed on."""
        return np.arange(self._params.files, dtype=np.int64)

    def discover(self, store: Store, tap: Tap) -> int:
        """Walk the tree to find what there is to read; return the files found."""
        return sum(1 for _ in found_files(tap))

    def reader(self, sizes: ObjectSizes) -> SampleReader:
        """Return what workers do; the CPU work is calibrated here, before they start."""
        work = None
        if self._params.decode:
            typical_bytes = round(self._layout.sizes(0, min(self._layout.count, 1000)).mean())
            work = calibrated_transform(self._params.decode, typical_bytes)
        return Ingest(self._layout, sizes, Normalise(work), self._params)

    def probe_reader(self, sizes: ObjectSizes) -> SampleReader:
        """Return what reads the files and does nothing with them."""
        return SmallFilesReader(self._layout, sizes, None)

    def scratch_need(self) -> ScratchNeed:
        """Return the room of one epoch's shards."""
        size_bytes = total_bytes(self._layout) + self._params.files * member_bytes(0) * 2
        return ScratchNeed(size_bytes=size_bytes, names=size_bytes // self._params.shard_size + 1000)

    def check_scratch(self, store: Store, scratch: str) -> Sequence[str]:
        """Return what a reader must know of shards that are not synced."""
        return [] if self._params.fsync else [_NOT_SYNCED]

    def finish(self, store: Store, scratch: str) -> str | None:
        """Finish what killed workers left where the output is kept; return where it is."""
        if not self._params.keep_output:
            return None
        try:
            shards, size_bytes = _ended_shards(store, scratch)
        except OSError as error:
            raise StoreError(
                f"{place(store)}/{scratch}: the last shards cannot be finished: {error.strerror or error}"
            ) from error
        return (
            f"The output was kept: {shards:,} shards, {format_bytes(size_bytes)} in {place(store)}/{scratch}, until "
            "the next run of this dataset or ioprof clean."
        )


def _ended_shards(store: Store, scratch: str) -> tuple[int, int]:
    """End what is not whole; return how many shards there are, and their bytes.

    Remote shards appear only when they are whole: there, what a killed worker held is gone.
    """
    shards = size_bytes = 0
    for worker in store.list(scratch):
        if not worker.is_dir:
            continue
        for entry in store.list(f"{scratch}/{worker.name}"):
            path = f"{scratch}/{worker.name}/{entry.name}"
            if path.endswith(PART) and store.local_root is not None:
                end_shard(store, path)
            shards += 1
            size_bytes += store.stat(path.removesuffix(PART)).size_bytes or 0
    return shards, size_bytes
