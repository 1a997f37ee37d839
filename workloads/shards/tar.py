"""Tar shards as WebDataset names them: the members of one sample share their name up to the first dot.

Written as plain ustar: `000123.bin`, the sample, and `000123.cls`, its label as digits. Read with what others may have
written besides: GNU and pax long names, GNU's binary sizes, labels first or last, any extensions. The first member of
a name that is not its label is the sample; the others are read past.
Source: POSIX.1-2017, pax, "ustar Interchange Format" and "pax Header Block"; GNU tar manual, "Basic Tar Format".
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

from ioprof.workloads.shards.errors import ShardError
from ioprof.workloads.shards.format import OpenShard, Sample
from ioprof.workloads.shards.shape import Piece, ShardShape, same_for_all
from ioprof.workloads.shards.window import Window

from ioprof.dataset.sizes import Sizes
from ioprof.trace.kinds import BAD_CHECKSUM, BAD_FORMAT, UNSAFE_PATH

BLOCK_BYTES = 512
_MASK = BLOCK_BYTES - 1
_ZEROS = bytes(2 * BLOCK_BYTES)
"""Two empty blocks end an archive."""
_CLASSES = 1000
_CLASS_STEP = 2654435761
"""2^32 over the golden ratio: labels follow no pattern, and nothing is drawn for them."""
_LABEL_SUFFIX = b"cls"
_HEADER = struct.Struct("100s24x12s12x8s1s100x6s82x155s12x")
"""Name, size, checksum, type, magic and prefix."""
_USTAR = b"ustar\0"
_BLANK_SUM = 8 * ord(" ")
"""The checksum is made with blanks in its own place."""
_ADLER_BASE = 65521
_FILES = (b"0", b"\0", b"7")
_EXTRA = (b"L", b"x")
_WITHOUT_CONTENT = (b"1", b"2", b"3", b"4", b"5", b"6")
"""Type flags: plain files; GNU's and pax's headers for the next member; links, devices and directories."""
_LONG_NAME_BYTES = 1 << 20
"""Longer names and headers are no such thing."""


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
                sizes[place] += shape.samples_per_shard * ((fixed + _MASK) & ~_MASK)
            else:
                sizes[place] += int(((shape.sizes_of(shard) + _MASK) & ~_MASK).sum())
        return sizes

    def pieces(self, shard: int) -> Iterator[Piece]:
        """Yield headers, samples and labels."""
        content = self.shape.content()
        for sample, size_bytes in self.shape.samples_of(shard):
            yield header(f"{sample:06d}.bin", size_bytes)
            yield from content.pieces(sample, size_bytes)
            yield bytes(-size_bytes & _MASK)
            label = b"%d" % label_of(sample)
            yield header(f"{sample:06d}.cls", len(label)) + label.ljust(BLOCK_BYTES, b"\0")
        yield _ZEROS

    def read(self, opened: OpenShard, first: int, stop: int) -> Iterator[Sample]:
        """Yield the samples as views of what was read."""
        window = Window(opened.file, opened.pool, read_bytes=opened.read_bytes, start=0, stop=opened.size_bytes)
        last_key: bytes | None = None
        left = stop - first
        for name, size_bytes in _members(window):
            content = window.take((size_bytes + _MASK) & ~_MASK)
            key, suffix = _key(name)
            is_sample = suffix != _LABEL_SUFFIX and key != last_key
            if is_unsafe(name):
                opened.reject(UNSAFE_PATH, int(is_sample))
            elif is_sample and not opened.is_empty(size_bytes):
                yield content[:size_bytes]
            if is_sample:
                last_key = key
                left -= 1
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


def _members(window: Window) -> Iterator[tuple[bytes, int]]:
    """Yield name and size of every plain file, up to the end of the archive; the window then stands at its content."""
    # Local names, and each field read where it stands: with small samples all of this shows in the result.
    fields_of, sum_of, need = _HEADER.unpack_from, zlib.adler32, window.need
    long_name: bytes | None = None
    long_size: int | None = None
    while window.at < len(window.view) or window.left_bytes:
        need(BLOCK_BYTES)
        view, at = window.view, window.at
        name, size_field, stored, kind, magic, prefix = fields_of(view, at)
        window.at = at + BLOCK_BYTES
        # A header's checksum is the sum of its bytes; adler32 makes it in a tenth of the time of sum().
        summed = (sum_of(view[at : at + BLOCK_BYTES]) & 0xFFFF) - 1
        if not summed:
            return
        if (summed - _sum_without_own(stored)) % _ADLER_BASE:
            raise ShardError(BAD_CHECKSUM, "a header's checksum is wrong")
        size_bytes = _number(size_field)
        if kind in _EXTRA:
            long_name, long_size = _extra(window, kind, size_bytes, long_name)
            continue
        if long_name is not None or long_size is not None:
            name = name if long_name is None else long_name
            size_bytes = size_bytes if long_size is None else long_size
            long_name = long_size = None
        elif prefix[0] and magic == _USTAR:
            name = _text(prefix) + b"/" + _text(name)
        if kind in _FILES:
            yield _text(name), size_bytes
        elif kind not in _WITHOUT_CONTENT:
            # pax headers for the whole archive, and what only one tar knows: nothing in them is a sample.
            window.skip((size_bytes + _MASK) & ~_MASK)


def _key(name: bytes) -> tuple[bytes, bytes]:
    """Return what the members of a sample share, and the rest: the name is cut at the first dot of its last part."""
    dot = name.find(b".", name.rfind(b"/") + 1)
    return (name, b"") if dot < 0 else (name[:dot], name[dot + 1 :])


def is_unsafe(name: bytes) -> bool:
    """Return whether a member's name is absolute or climbs out of the archive."""
    return name.startswith(b"/") or (b".." in name and b".." in name.split(b"/"))


@lru_cache(maxsize=4096)
def _sum_without_own(stored: bytes) -> int:
    """Return what a header's bytes add up to if its checksum is right, the bytes of the checksum itself included."""
    return _number(stored) + sum(stored) - _BLANK_SUM


@lru_cache(maxsize=4096)
def _number(field: bytes) -> int:
    """Return an octal number, or GNU's binary one; kept, because sizes and checksums recur.

    Raises:
        ShardError: neither.
    """
    if field[0] & 0x80:
        return int.from_bytes(bytes((field[0] & 0x7F,)) + field[1:], "big")
    try:
        return int(field.strip(b" \0") or b"0", 8)
    except ValueError:
        raise ShardError(BAD_FORMAT, f"a header has {field!r} where a number belongs") from None


def _text(field: bytes) -> bytes:
    end = field.find(0)
    return field if end < 0 else field[:end]


def _extra(window: Window, kind: bytes, size_bytes: int, name: bytes | None) -> tuple[bytes | None, int | None]:
    """Return what a header says of the next member: its name, if it says one or one is known, and its size."""
    if size_bytes > _LONG_NAME_BYTES:
        raise ShardError(BAD_FORMAT, f"a name of {size_bytes} bytes")
    extra = bytes(window.take((size_bytes + _MASK) & ~_MASK)[:size_bytes])
    return (_text(extra), None) if kind == b"L" else _pax(extra, name)


def _pax(records: bytes, name: bytes | None) -> tuple[bytes | None, int | None]:
    """Return name and size of the next member as far as a pax header says them: ``LENGTH KEY=VALUE`` and a newline."""
    size_bytes = None
    while records:
        length, _, _ = records.partition(b" ")
        if not length.isdigit() or not len(length) < int(length) <= len(records):
            raise ShardError(BAD_FORMAT, "a pax header makes no sense")
        key, _, value = records[len(length) + 1 : int(length) - 1].partition(b"=")
        if key == b"path":
            name = value
        elif key == b"size" and value.isdigit():
            size_bytes = int(value)
        records = records[int(length) :]
    return name, size_bytes
