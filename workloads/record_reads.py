"""`record-reads`: one record of a large file per sample, at a random offset."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
from ioprof.workloads.decode import CpuTransform, calibrated_transform
from ioprof.workloads.record_places import RecordPlaces
from ioprof.workloads.seeded_order import seeded_order
from ioprof.workloads.tree_walk import found_files
from pydantic import Field, ValidationInfo, field_validator

from ioprof.contract import Access, Indices, ObjectSizes, PluginParams, SampleReader, Setting
from ioprof.dataset.layout import OpaqueLayout
from ioprof.dataset.size_text import parse_sizes
from ioprof.errors import SpecError
from ioprof.host.store_facts import store_facts
from ioprof.spec.quantities import Bytes, Count, DurationNs
from ioprof.store.base import Store
from ioprof.store.direct_file import AlignedBuffer, check_direct, logical_block_bytes, unsupported
from ioprof.store.open_files import OpenFiles
from ioprof.store.tap import Tap
from ioprof.store.tap_file import TapFile
from ioprof.units import exact_bytes, format_bytes

_GIB = 1024**3
MAX_RECORD_BYTES = _GIB
"""A batch of larger ones would not fit the memory of most hosts, nor one read of the kernel."""


class RecordReadsParams(PluginParams):
    """What is stored, and how its records are read."""

    files: Count = Field(8, ge=1, le=10**8, description="number of large files")
    file_size: Bytes = Field(256 * 1024**2, ge=1, le=16 * 1024**4, description="size of each")
    record_size: Bytes = Field(
        4 * 1024**2, ge=1, le=MAX_RECORD_BYTES, description="bytes of one sample, as one read asks for them"
    )
    alignment: Bytes | None = Field(
        None,
        ge=1,
        description="records begin at multiples of it, 1 at any byte; default: the record size, so they tile",
    )
    records: Count | None = Field(
        None, ge=1, le=10**10, description="samples of an epoch; default: as many as would tile the files"
    )
    direct: bool = Field(False, description="read around the page cache (O_DIRECT), in whole logical blocks")
    keep_open: Count = Field(
        64, ge=0, le=100_000, description="files each worker keeps open; 0 opens and closes one for each record"
    )
    shuffle: bool = Field(True, description="a new random order each epoch; false reads in order of sample numbers")
    decode: DurationNs = Field(0, ge=0, le=60 * 10**9, description="CPU time one sample costs to decode; 0 = none")

    @field_validator("record_size")
    @classmethod
    def _fits_the_file(cls, record_bytes: int, info: ValidationInfo) -> int:
        file_bytes = info.data.get("file_size")
        if file_bytes is not None and record_bytes > file_bytes:
            raise ValueError(f"a record is larger than its file; use a --file-size above {format_bytes(file_bytes)}")
        return record_bytes

    @field_validator("direct")
    @classmethod
    def _blocks_are_powers_of_two(cls, direct: bool, info: ValidationInfo) -> bool:
        alignment_bytes = info.data.get("alignment") or info.data.get("record_size")
        if direct and alignment_bytes is not None and alignment_bytes & (alignment_bytes - 1):
            raise ValueError(
                f"direct reads need records that begin at multiples of a power of two, not of {alignment_bytes:,} B; "
                "set --alignment 4KiB, say"
            )
        return direct

    @property
    def alignment_bytes(self) -> int:
        """What record offsets are multiples of."""
        return self.alignment or self.record_size

    @property
    def samples(self) -> int:
        """Records of one epoch."""
        return self.records or self.files * (self.file_size // self.record_size)


class RecordReader:
    """Reads one record per sample; picklable."""

    def __init__(
        self, layout: OpaqueLayout, params: RecordReadsParams, places: RecordPlaces, transform: CpuTransform | None
    ) -> None:
        self._layout = layout
        self._record_bytes = params.record_size
        self._direct = params.direct
        self._keep_open = params.keep_open
        self._places = places
        self._transform = transform

    def read(self, tap: Tap, samples: Sequence[int]) -> Sequence[bytes]:
        """Return each sample's bytes, decoded; records that could not be read are left out."""
        files = tap.kept or self._kept(tap)
        contents = []
        for obj, offset in zip(*self._places.of(np.asarray(samples, dtype=np.int64)), strict=True):
            try:
                content = files.file(obj).read_at(offset, self._record_bytes)
            except OSError:
                tap.lose(1)
                continue
            finally:
                if not self._keep_open:
                    files.close()
            contents.append(content if self._transform is None else tap.decode(self._transform, content, obj))
        return contents

    def _kept(self, tap: Tap) -> OpenFiles:
        open_one = partial(self._opened, tap)
        if self._direct:
            block_bytes = logical_block_bytes(Path(tap.root))
            open_one = partial(self._opened_directly, tap, AlignedBuffer(), block_bytes)
        tap.kept = OpenFiles(max(1, self._keep_open), open_one)
        return tap.kept

    def _opened(self, tap: Tap, obj: int) -> TapFile:
        return tap.open_file(self._layout.path(obj), obj)

    def _opened_directly(self, tap: Tap, buffer: AlignedBuffer, block_bytes: int, obj: int) -> TapFile:
        return tap.open_direct(self._layout.path(obj), obj, buffer=buffer, block_bytes=block_bytes)


class RecordReads:
    """One record of a large file per sample, at a random offset."""

    name: ClassVar[str] = "record-reads"
    summary: ClassVar[str] = "one record inside a large file per sample, random offsets: large random reads"
    Params: ClassVar[type[PluginParams]] = RecordReadsParams
    reference_model: ClassVar[str | None] = "unet3d"
    access: ClassVar[Access] = "map"
    # The batch that the step time is published for on most accelerators; not `PUBLISHED`, which without an accelerator
    # is 64: batches of 256 MiB.
    defaults: ClassVar[Mapping[str, Setting]] = {"loader.batch_size": 7}

    def __init__(self, params: RecordReadsParams, seed: int) -> None:
        self._params = params
        self._seed = seed
        self._layout = OpaqueLayout(count=params.files, sizes=parse_sizes(exact_bytes(params.file_size)), seed=seed)
        self._places = RecordPlaces(
            files=params.files,
            file_bytes=params.file_size,
            record_bytes=params.record_size,
            alignment_bytes=params.alignment_bytes,
            seed=seed,
        )

    def layout(self) -> OpaqueLayout:
        """Return the files to store."""
        return self._layout

    def samples(self) -> int:
        """Return the number of records of an epoch."""
        return self._params.samples

    def order(self, epoch: int) -> Indices:
        """Return the samples in the order of ``epoch``."""
        return seeded_order(self._params.samples, self._seed, epoch, shuffle=self._params.shuffle)

    def check_store(self, store: Store) -> None:
        """Refuse direct reads where they would not reach a device.

        Raises:
            SpecError: the store is remote, in memory, or of a file system without direct I/O.
        """
        if not self._params.direct:
            return
        if store.local_root is None:
            raise SpecError(
                f"workload.direct = true: {store.url} is not a local path, and O_DIRECT is for local files; "
                "use --direct false"
            )
        check_direct(Path(store.local_root))

    def discover(self, store: Store, tap: Tap) -> int:
        """List the files, and return how many records they hold; try one with O_DIRECT where reads are to be direct.

        Raises:
            SpecError: the file system refuses O_DIRECT.
        """
        found = sum(1 for _ in found_files(tap))
        if self._params.direct and found:
            _try_direct(Path(tap.root) / self._layout.path(0))
        return self._params.samples * found // self._params.files

    def reader(self, sizes: ObjectSizes) -> SampleReader:
        """Return the reader; the decode cost is calibrated here, before workers start."""
        decode_ns = self._params.decode
        transform = calibrated_transform(decode_ns, self._params.record_size) if decode_ns else None
        return RecordReader(self._layout, self._params, self._places, transform)


def _try_direct(path: Path) -> None:
    """Open a file with O_DIRECT: some file systems accept it on nameless files, or tell only now.

    Raises:
        SpecError: the file system refuses it.
    """
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_DIRECT | os.O_CLOEXEC))
    except OSError as error:
        if error.errno == errno.EINVAL:
            raise unsupported(path, store_facts(path)["filesystem"]) from error
        # What else is wrong with the file, the reads will meet and count.
