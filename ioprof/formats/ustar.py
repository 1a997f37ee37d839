"""Tar archives as a stream of samples: the members of one share their name up to the first dot of its last part.

Read is what anyone may have written: GNU and pax long names, GNU's binary sizes, labels first or last, any extensions.
The first member of a name that is not its label is the sample; the others are read past. Members that are nothing but
plain files with short names, as nearly all are, are walked by a compiled loop where there is one.
Source: POSIX.1-2017, pax, "ustar Interchange Format" and "pax Header Block"; GNU tar manual, "Basic Tar Format".
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Protocol

from ioprof.formats.errors import ShardError
from ioprof.formats.window import Window
from ioprof.store.compiled import is_compiled
from ioprof.trace.kinds import BAD_CHECKSUM, BAD_FORMAT, EMPTY_SAMPLE, UNSAFE_PATH

BLOCK_BYTES = 512
MASK = BLOCK_BYTES - 1
LABEL_SUFFIX = b"cls"
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
_INTERFACE = 1
"""Of the compiled module; one of another number was left over by another version."""

Walk = Callable[[memoryview, int, bytes | None, bytes], tuple[list[memoryview], int, bytes | None]]
"""Given a view, where in it a member begins, the name of the sample before and the suffix of labels, it returns the
samples of the plain members that follow and lie whole in the view, where they end, and the last one's name. It stops
before a member that is anything else: another kind, a long name, one that leads out of the archive, empty, damaged."""


class Rejects(Protocol):
    """Counts samples that are no good."""

    def reject(self, code: int, samples: int = 1) -> None:
        """Count an error, by its code of `ioprof.trace.kinds`, and the samples that it costs."""
        ...


def compiled_walk() -> Walk | None:
    """Return the compiled walk; None where it was not built, or is not to be used."""
    if not is_compiled():
        return None
    try:
        from ioprof.formats import _ustar
    except ImportError:
        return None
    return _ustar.plain_samples if _ustar.INTERFACE == _INTERFACE else None


def tar_samples(window: Window, rejects: Rejects, walk: Walk | None) -> Iterator[memoryview]:
    """Yield the samples of an archive as views of what was read.

    Args:
        window: the archive, at its start.
        rejects: told of samples that are no good, which are left out.
        walk: `compiled_walk`.
    Raises:
        OSError: a read failed.
        ShardError: the rest of the archive makes no sense.
    """
    last_key: bytes | None = None
    members = _members(window)
    while True:
        if walk is not None:
            found, window.at, last_key = walk(window.view, window.at, last_key, LABEL_SUFFIX)
            yield from found
            del found  # or the buffer that they lie in could not be used again
        member = next(members, None)
        if member is None:
            return
        name, size_bytes = member
        content = window.take((size_bytes + MASK) & ~MASK)
        key, suffix = _key(name)
        is_sample = suffix != LABEL_SUFFIX and key != last_key
        if is_unsafe(name):
            rejects.reject(UNSAFE_PATH, int(is_sample))
        elif is_sample and not size_bytes:
            rejects.reject(EMPTY_SAMPLE)
        elif is_sample:
            yield content[:size_bytes]
        del content
        if is_sample:
            last_key = key


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
            window.skip((size_bytes + MASK) & ~MASK)


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
    extra = bytes(window.take((size_bytes + MASK) & ~MASK)[:size_bytes])
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
