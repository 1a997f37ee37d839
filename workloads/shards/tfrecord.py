"""TFRecord shards: length, masked CRC of the length, the record, masked CRC of the record.

The checksums are CRC-32C (Castagnoli), rotated and shifted by a constant, as TensorFlow defines them.
Source: tensorflow/core/lib/io/record_writer.h and lib/hash/crc32c.h.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import google_crc32c
from ioprof.workloads.shards.format import OpenShard, Sample, ShardError
from ioprof.workloads.shards.shape import Piece, ShardShape, same_for_all
from ioprof.workloads.shards.window import Window

from ioprof.dataset.sizes import Sizes
from ioprof.trace.kinds import BAD_CHECKSUM, BAD_FORMAT

_LENGTH = struct.Struct("<Q")
_HEAD = struct.Struct("<QI")
_CRC = struct.Struct("<I")
FRAME_BYTES = _HEAD.size + _CRC.size
_MASK_DELTA = 0xA282EAD8
_WORD = 0xFFFFFFFF


def masked(crc: int) -> int:
    """Return a CRC-32C as TFRecord stores it."""
    return (((crc >> 15) | (crc << 17)) + _MASK_DELTA) & _WORD


@dataclass(frozen=True)
class TfrecordFormat:
    """Records of any size, each with its checksums."""

    shape: ShardShape
    check_crc: bool = True
    """Whether readers look at the records' checksums, as TensorFlow does; several other readers do not."""
    suffix: ClassVar[str] = ".tfrecord"
    unit_samples: ClassVar[int | None] = None

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
        for sample, size_bytes in zip(self.shape.sample_range(shard), self.shape.sizes_of(shard).tolist(), strict=True):
            length = _LENGTH.pack(size_bytes)
            yield length + _CRC.pack(masked(google_crc32c.value(length)))
            crc = 0
            for piece in content.pieces(sample, size_bytes):
                crc = google_crc32c.extend(crc, bytes(piece))
                yield piece
            yield _CRC.pack(masked(crc))

    def read(self, opened: OpenShard, first: int, stop: int) -> Iterator[Sample]:
        """Yield records; one whose checksum is wrong is left out."""
        window = Window(opened.file, opened.pool, read_bytes=opened.read_bytes, start=0, stop=opened.size_bytes)
        check, value = self.check_crc, google_crc32c.value
        for number in range(stop - first):
            head = bytes(window.take(_HEAD.size))
            length, head_crc = _HEAD.unpack(head)
            if masked(value(head[: _LENGTH.size])) != head_crc:
                raise ShardError(BAD_CHECKSUM, f"record {number}: the checksum of its length is wrong")
            if length + _CRC.size > window.left_bytes:
                raise ShardError(BAD_FORMAT, f"record {number}: {length} bytes are more than the shard has left")
            framed = window.take(length + _CRC.size)
            if opened.is_empty(length):
                continue
            if not check:
                yield framed[:length]
                continue
            # The checksum wants bytes, not a view; what is copied for it is what is handed on.
            record = bytes(framed[:length])
            if masked(value(record)) != _CRC.unpack(framed[length:])[0]:
                opened.reject(BAD_CHECKSUM)
                continue
            yield record
