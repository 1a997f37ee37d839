"""TFRecord shards: length, masked CRC of the length, the record, masked CRC of the record.

The checksums are CRC-32C (Castagnoli), rotated and shifted by a constant, as TensorFlow defines them.
Source: tensorflow/core/lib/io/record_writer.h and lib/hash/crc32c.h.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import google_crc32c
from ioprof.workloads.shards.format import OpenShard, Sample
from ioprof.workloads.shards.shape import Piece, ShardShape, same_for_all

from ioprof.dataset.sizes import Sizes
from ioprof.formats.errors import ShardError
from ioprof.formats.window import Window
from ioprof.trace.kinds import BAD_CHECKSUM

_LENGTH = struct.Struct("<Q")
_HEAD = struct.Struct("<QI")
_CRC = struct.Struct("<I")
FRAME_BYTES = _HEAD.size + _CRC.size
_MASK_DELTA = 0xA282EAD8
_WORD = 0xFFFFFFFF


def masked(crc: int) -> int:
    """Return a CRC-32C as TFRecord stores it."""
    return (((crc >> 15) | (crc << 17)) + _MASK_DELTA) & _WORD


@lru_cache(maxsize=4096)
def length_crc(length: int) -> int:
    """Return the masked checksum of a record's length; kept, because lengths recur."""
    return masked(google_crc32c.value(_LENGTH.pack(length)))


@dataclass(frozen=True)
class TfrecordFormat:
    """Records of any size, each with its checksums."""

    shape: ShardShape
    check_crc: bool = True
    """Whether readers look at the records' checksums, as TensorFlow does; several other readers do not."""
    suffix: ClassVar[str] = ".tfrecord"
    unit_samples: ClassVar[int | None] = None

    def load(self) -> None:
        """Nothing is missing."""

    def identity(self) -> dict[str, str | int | float | bool]:
        """Return the format's name and version."""
        return {"shard_format": "tfrecord", "shard_format_version": 1}

    def sizes(self, start: int, stop: int) -> Sizes:
        """Return the records' bytes and 16 for each one's frame."""
        shape, fixed = self.shape, self.shape.fixed_sample_bytes
        frames_bytes = shape.samples_per_shard * FRAME_BYTES
        sizes = same_for_all(frames_bytes, start, stop)
        for place, shard in enumerate(range(start, stop)):
            sizes[place] += shape.samples_per_shard * fixed if fixed else int(shape.sizes_of(shard).sum())
        return sizes

    def pieces(self, shard: int) -> Iterator[Piece]:
        """Yield frames and records."""
        content = self.shape.content()
        for sample, size_bytes in self.shape.samples_of(shard):
            yield _HEAD.pack(size_bytes, length_crc(size_bytes))
            crc = 0
            for piece in content.pieces(sample, size_bytes):
                crc = google_crc32c.extend(crc, bytes(piece))
                yield piece
            yield _CRC.pack(masked(crc))

    def read(self, opened: OpenShard, first: int, stop: int) -> Iterator[Sample]:
        """Yield records; one whose checksum is wrong is left out."""
        window = Window(opened.file, opened.pool, read_bytes=opened.read_bytes, start=0, stop=opened.size_bytes)
        # Local names, and each field read where it stands: with small records all of this shows in the result.
        head_of, crc_of, value, check = _HEAD.unpack_from, _CRC.unpack_from, google_crc32c.value, self.check_crc
        now = time.perf_counter_ns
        for number in range(first, stop):
            window.need(_HEAD.size)
            length, head_crc = head_of(window.view, window.at)
            if length_crc(length) != head_crc:
                raise ShardError(BAD_CHECKSUM, f"record {number}: the checksum of its length is wrong")
            window.need(length + FRAME_BYTES)
            view, start = window.view, window.at + _HEAD.size
            end = start + length
            window.at = end + _CRC.size
            if opened.is_empty(length):
                continue
            if not check:
                yield view[start:end]
                continue
            # The checksum wants bytes, not a view; what is copied for it is what is handed on.
            start_ns = now()
            record = bytes(view[start:end])
            is_good = masked(value(record)) == crc_of(view, end)[0]
            opened.decoded(now() - start_ns, length)
            if not is_good:
                opened.reject(BAD_CHECKSUM)
                continue
            yield record
