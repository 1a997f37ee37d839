"""Files of one sample each in a real container: what stands before and behind the sample's random bytes.

`npy` is numpy's own header before the array. `npz` is a ZIP file with that array as its only, uncompressed member
``x.npy``: `numpy.load(path)["x"]` reads it. The checksum of a member written in one pass stands behind it.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ioprof.dataset.layout import Naming, OpaqueLayout
from ioprof.dataset.sizes import SizeDistribution
from ioprof.errors import SpecError

_MEMBER = b"x.npy"
_NPY_BYTES = 128
_ZIP_LIMIT_BYTES = 2**32 - 2**20
"""Beyond it ZIP needs other records, which these samples never come near."""
_LOCAL = struct.Struct("<4s5H3L2H")
_DESCRIPTOR = struct.Struct("<4s3L")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_END = struct.Struct("<4s4H2LH")
_VERSION, _CHECKSUM_BEHIND, _STORED = 20, 0x08, 0
_NEW_YEAR_1980 = 0x21
"""The ZIP date of datasets that must be the same whenever they are made."""


class Frame(Protocol):
    """What a container puts around the bytes of one sample; picklable."""

    name: str
    head_bytes: int
    tail_bytes: int

    def head(self, payload_bytes: int) -> bytes:
        """Return what stands before the sample."""
        ...

    def tail(self, payload_bytes: int, checksum: int) -> bytes:
        """Return what stands behind the sample; ``checksum`` is `checksum` over head and sample."""
        ...

    def checksum(self, content: bytes | memoryview, before: int) -> int:
        """Take further bytes into a checksum that began with 0."""
        ...


class NpyFrame:
    """numpy's array file: uint8, one dimension."""

    name = "npy"
    head_bytes = _NPY_BYTES
    tail_bytes = 0

    def head(self, payload_bytes: int) -> bytes:
        """Return the header, padded to a fixed length as numpy allows."""
        text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({payload_bytes},), }}"
        room = _NPY_BYTES - 10
        return b"\x93NUMPY\x01\x00" + struct.pack("<H", room) + text.encode().ljust(room - 1) + b"\n"

    def tail(self, payload_bytes: int, checksum: int) -> bytes:
        """Nothing follows."""
        return b""

    def checksum(self, content: bytes | memoryview, before: int) -> int:
        """None is kept."""
        return 0


class NpzFrame:
    """A ZIP file of one stored array."""

    name = "npz"
    head_bytes = _LOCAL.size + len(_MEMBER) + _NPY_BYTES
    tail_bytes = _DESCRIPTOR.size + _CENTRAL.size + len(_MEMBER) + _END.size

    def head(self, payload_bytes: int) -> bytes:
        """Return the member's local header and the array's own."""
        local = _LOCAL.pack(
            b"PK\x03\x04", _VERSION, _CHECKSUM_BEHIND, _STORED, 0, _NEW_YEAR_1980, 0, 0, 0, len(_MEMBER), 0
        )
        return local + _MEMBER + NpyFrame().head(payload_bytes)

    def tail(self, payload_bytes: int, checksum: int) -> bytes:
        """Return the data descriptor, the directory and its end."""
        size = _NPY_BYTES + payload_bytes
        descriptor = _DESCRIPTOR.pack(b"PK\x07\x08", checksum, size, size)
        central = _CENTRAL.pack(
            b"PK\x01\x02", _VERSION, _VERSION, _CHECKSUM_BEHIND, _STORED, 0, _NEW_YEAR_1980,
            checksum, size, size, len(_MEMBER), 0, 0, 0, 0, 0, 0,
        )  # fmt: skip
        start = _LOCAL.size + len(_MEMBER) + size + len(descriptor)
        end = _END.pack(b"PK\x05\x06", 0, 0, 1, 1, len(central) + len(_MEMBER), start, 0)
        return descriptor + central + _MEMBER + end

    def checksum(self, content: bytes | memoryview, before: int) -> int:
        """Return ZIP's CRC-32, which begins at the array's header."""
        return zlib.crc32(content, before)


class FramedLayout:
    """One sample per file, framed; picklable and small whatever the count."""

    def __init__(
        self, frame: Frame, *, count: int, sizes: SizeDistribution, files_per_dir: int, seed: int, largest_bytes: int
    ) -> None:
        """Describe the files.

        Args:
            frame: the container.
            count: number of files.
            sizes: how large the samples are, their frames not counted.
            files_per_dir: most entries of one directory.
            seed: decides sizes and content.
            largest_bytes: no sample is larger.

        Raises:
            SpecError: samples could be larger than the container can tell.
        """
        if frame.name == "npz" and largest_bytes > _ZIP_LIMIT_BYTES:
            raise SpecError(f"samples of up to {largest_bytes:,} bytes: npz files here hold less than 4 GiB; use npy")
        self.frame = frame
        self._inner = OpaqueLayout(count=count, sizes=sizes, files_per_dir=files_per_dir, seed=seed)
        self.count = count
        self.naming: Naming = self._inner.naming
        self._around_bytes = frame.head_bytes + frame.tail_bytes
        fixed = self._inner.fixed_size_bytes
        self.fixed_size_bytes = None if fixed is None else fixed + self._around_bytes
        self.path = self._inner.path
        self.paths = self._inner.paths
        self.directories = self._inner.directories
        self._arguments = (frame, count, sizes, files_per_dir, seed, largest_bytes)

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, self._arguments

    def identity(self) -> dict[str, str | int | float | bool]:
        """Return all that decides the stored bytes and names."""
        return self._inner.identity() | {"frame": self.frame.name, "frame_format": 1}

    def sizes(self, start: int, stop: int) -> NDArray[np.int64]:
        """Return the sizes in bytes of files ``start`` to ``stop`` - 1."""
        return self._inner.sizes(start, stop) + self._around_bytes

    def render(self, index: int, size_bytes: int) -> bytes:
        """Return the whole content of file ``index``."""
        return b"".join(map(bytes, self.pieces(index, size_bytes)))

    def pieces(self, index: int, size_bytes: int) -> Iterator[memoryview]:
        """Yield the content of file ``index`` in order, a piece at a time."""
        payload_bytes = size_bytes - self._around_bytes
        head = self.frame.head(payload_bytes)
        yield memoryview(head)
        checksum = self.frame.checksum(head[-_NPY_BYTES:], 0)
        for piece in self._inner.pieces(index, payload_bytes):
            checksum = self.frame.checksum(piece, checksum)
            yield piece
        yield memoryview(self.frame.tail(payload_bytes, checksum))


def _rebuild(
    frame: Frame, count: int, sizes: SizeDistribution, files_per_dir: int, seed: int, largest_bytes: int
) -> FramedLayout:
    return FramedLayout(
        frame, count=count, sizes=sizes, files_per_dir=files_per_dir, seed=seed, largest_bytes=largest_bytes
    )
