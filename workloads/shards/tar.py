"""Tar shards as WebDataset names them: the members of one sample share their name up to the first dot.

Written as plain ustar: `000123.bin`, the sample, and `000123.cls`, its label as digits. Read with what others may have
written besides: GNU and pax long names, GNU's binary sizes, labels first or last, any extensions. The first member of
a name that is not its label is the sample; the others are read past.
Source: POSIX.1-2017, pax, "ustar Interchange Format" and "pax Header Block"; GNU tar manual, "Basic Tar Format".
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from ioprof.workloads.shards.format import OpenShard, Sample, ShardError
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
_LABEL_SUFFIX = "cls"
_ADLER_BASE = 65521
_FILES = b"0\0007"
"""Type flags of plain files."""
_LONG_NAME_BYTES = 1 << 20
"""Longer names and headers are no such thing."""


@dataclass(frozen=True)
class TarFormat:
    """WebDataset's archives; read from the start, member by member."""

    shape: ShardShape
    suffix: ClassVar[str] = ".tar"
    unit_samples: ClassVar[int | None] = None

    def identity(self) -> dict[str, str | int | float | bool]:
        """Return the format's name and version."""
        return {"shard_format": "tar", "shard_format_version": 1}

    def sizes(self, start: int, stop: int) -> Sizes:
        """Return a header and whole blocks for each sample, two blocks for its label, and two at the end."""
        shape, fixed = self.shape, self.shape.fixed_sample_bytes
        sizes = same_for_all(shape.samples_per_shard * 3 * BLOCK_BYTES + len(_ZEROS), start, stop)
        for place, shard in enumerate(range(start, stop)):
            if fixed is not None:
                sizes[place] += shape.samples_per_shard * _blocks_bytes(fixed)
            else:
                sizes[place] += int(((shape.sizes_of(shard) + _MASK) & ~_MASK).sum())
        return sizes

    def pieces(self, shard: int) -> Iterator[Piece]:
        """Yield headers, samples and labels."""
        content = self.shape.content()
        for sample, size_bytes in zip(self.shape.sample_range(shard), self.shape.sizes_of(shard).tolist(), strict=True):
            yield header(f"{sample:06d}.bin", size_bytes)
            yield from content.pieces(sample, size_bytes)
            yield _ZEROS[: -size_bytes & _MASK]
            label = b"%d" % label_of(sample)
            yield header(f"{sample:06d}.{_LABEL_SUFFIX}", len(label)) + label.ljust(BLOCK_BYTES, b"\0")
        yield _ZEROS

    def read(self, opened: OpenShard, first: int, stop: int) -> Iterator[Sample]:
        """Yield the samples as views of what was read."""
        window = Window(opened.file, opened.pool, read_bytes=opened.read_bytes, start=0, stop=opened.size_bytes)
        last_key = None
        left = stop - first
        for name, size_bytes in _members(window):
            content = window.take((size_bytes + _MASK) & ~_MASK)
            folder, _, base = name.rpartition("/")
            stem, _, suffix = base.partition(".")
            is_sample = suffix != _LABEL_SUFFIX and (folder, stem) != last_key
            if is_unsafe(name):
                opened.reject(UNSAFE_PATH, int(is_sample))
            elif is_sample and not opened.is_empty(size_bytes):
                yield content[:size_bytes]
            if is_sample:
                last_key = (folder, stem)
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


def _blocks_bytes(size_bytes: int) -> int:
    return (size_bytes + _MASK) & ~_MASK


def _members(window: Window) -> Iterator[tuple[str, int]]:
    """Yield name and size of every plain file, up to the end of the archive; the window then stands at its content."""
    long_name, long_size = None, None
    while window.left_bytes >= BLOCK_BYTES:
        head = bytes(window.take(BLOCK_BYTES))
        if not head[0] and head == _ZEROS[:BLOCK_BYTES]:
            return
        _check(head)
        size_bytes, kind = _number(head[124:136]), head[156:157]
        if kind in (b"L", b"x"):
            extra = _extra(window, size_bytes)
            if kind == b"L":
                long_name = _text(extra)
            else:
                long_name, long_size = _pax(extra, long_name)
            continue
        name = long_name if long_name is not None else _name(head)
        size_bytes = size_bytes if long_size is None else long_size
        long_name, long_size = None, None
        if kind not in _FILES:
            # Directories, links, pax headers for the whole archive: nothing in them is a sample.
            window.skip(_blocks_bytes(size_bytes))
        else:
            if size_bytes > window.left_bytes:
                _refuse_size(name, size_bytes)
            yield name, size_bytes


def is_unsafe(name: str) -> bool:
    """Return whether a member's name is absolute or climbs out of the archive."""
    return name.startswith("/") or (".." in name and ".." in name.split("/"))


def _refuse_size(name: str, size_bytes: int) -> None:
    raise ShardError(BAD_FORMAT, f"{name}: {size_bytes} bytes are more than the archive has left")


def _check(head: bytes) -> None:
    """Compare a header with its checksum, the sum of its bytes; adler32 sums them in a tenth of the time of sum()."""
    stored = head[148:156]
    summed = (zlib.adler32(head) & 0xFFFF) - 1 - sum(stored) + 8 * ord(" ")
    if (summed - _number(stored)) % _ADLER_BASE:
        raise ShardError(BAD_CHECKSUM, "a header's checksum is wrong")


def _number(field: bytes) -> int:
    """Return an octal number, or GNU's binary one.

    Raises:
        ShardError: neither.
    """
    if field[0] & 0x80:
        return int.from_bytes(bytes((field[0] & 0x7F,)) + field[1:], "big")
    try:
        return int(field.strip(b" \0") or b"0", 8)
    except ValueError:
        raise ShardError(BAD_FORMAT, f"a header has {field!r} where a number belongs") from None


def _name(head: bytes) -> str:
    name = _text(head[:100])
    return f"{_text(head[345:500])}/{name}" if head[345] and head[257:263] == b"ustar\0" else name


def _text(field: bytes) -> str:
    end = field.find(0)
    return (field if end < 0 else field[:end]).decode("utf-8", "surrogateescape")


def _extra(window: Window, size_bytes: int) -> bytes:
    if size_bytes > min(_LONG_NAME_BYTES, window.left_bytes):
        _refuse_size("a long name", size_bytes)
    return bytes(window.take(_blocks_bytes(size_bytes))[:size_bytes])


def _pax(records: bytes, name: str | None) -> tuple[str | None, int | None]:
    """Return name and size of the next member as far as a pax header says them: ``LENGTH KEY=VALUE`` and a newline."""
    size_bytes = None
    while records:
        length, _, _ = records.partition(b" ")
        if not length.isdigit() or not len(length) < int(length) <= len(records):
            raise ShardError(BAD_FORMAT, "a pax header makes no sense")
        key, _, value = records[len(length) + 1 : int(length) - 1].partition(b"=")
        if key == b"path":
            name = value.decode("utf-8", "surrogateescape")
        elif key == b"size" and value.isdigit():
            size_bytes = int(value)
        records = records[int(length) :]
    return name, size_bytes
