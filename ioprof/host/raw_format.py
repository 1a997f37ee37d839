"""The file a host sampler appends to: readable at any moment, whatever killed the writer.

``MAGIC``, then frames. A frame is a head (body length, kind, CRC-32 of the body) and its body:

    NAMES   one line per series, ``metric<TAB>device``; holds for the ticks that follow
    TICK    int64 stamp of `ioprof.clock` in ns, then one float64 per series in the order of NAMES
    NOTE    one line per metric that is missing, ``metric<TAB>reason``

A frame that is cut short or damaged ends the file for readers. Standard library only: the sampler is light.
"""

from __future__ import annotations

import os
import struct
import zlib
from array import array
from collections.abc import Iterator, Sequence

MAGIC = b"IOPHOST1"
NAMES, TICK, NOTE = 1, 2, 3
STAMP = struct.Struct("<q")
_HEAD = struct.Struct("<IBxxxI")

Series = tuple[str, str]
"""Metric and device; the device is empty where the host itself is meant."""


class RawWriter:
    """Appends frames; one that does not fit on the disk is taken back whole, so the next still reads."""

    def __init__(self, path: str) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self._size_bytes = os.write(self._fd, MAGIC)
        self.lost_frames = 0
        """Frames that the disk refused."""

    def names(self, series: Sequence[Series]) -> bool:
        """State the series of the ticks that follow; False: the disk refused."""
        return self._append(NAMES, "\n".join("\t".join(one) for one in series).encode())

    def tick(self, time_ns: int, values: Sequence[float]) -> bool:
        """Append one reading of every series; False: the disk refused."""
        return self._append(TICK, STAMP.pack(time_ns) + array("d", values).tobytes())

    def note(self, metric: str, reason: str) -> bool:
        """State that a metric is missing and why; False: the disk refused."""
        return self._append(NOTE, f"{metric}\t{' '.join(reason.split())}".encode())

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)

    def _append(self, kind: int, body: bytes) -> bool:
        frame = _HEAD.pack(len(body), kind, zlib.crc32(body)) + body
        try:
            written = os.write(self._fd, frame)
        except OSError:
            written = 0
        if written == len(frame):
            self._size_bytes += written
            return True
        self.lost_frames += 1
        if written:
            os.ftruncate(self._fd, self._size_bytes)
        return False


def frames(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield kind and body of every whole frame, up to the first that is torn or damaged.

    Raises:
        ValueError: the content does not begin as such a file does; an empty file is valid and has no frames.
    """
    if not MAGIC.startswith(content[: len(MAGIC)]):
        raise ValueError("not a host sampler's file: it does not begin with " + MAGIC.decode())
    start = len(MAGIC)
    while start + _HEAD.size <= len(content):
        length, kind, checksum = _HEAD.unpack_from(content, start)
        body = content[start + _HEAD.size : start + _HEAD.size + length]
        if len(body) < length or zlib.crc32(body) != checksum:
            return
        yield kind, body
        start += _HEAD.size + length
