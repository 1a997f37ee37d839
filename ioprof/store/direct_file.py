"""A file read around the page cache (O_DIRECT): whole logical blocks into aligned memory, trimmed afterwards."""

from __future__ import annotations

import errno
import mmap
import os
import time
from pathlib import Path

from ioprof.errors import SpecError
from ioprof.host.store_facts import nearest_existing, store_facts
from ioprof.store.cache_witness import CacheWitness
from ioprof.store.calls import Calls
from ioprof.store.tap_file import LocalTapFile, Tapped
from ioprof.trace.hits import UNKNOWN, with_hit
from ioprof.trace.kinds import SHORT_READ, error_code
from ioprof.trace.place_word import NOTE_SHIFT, READ_FROM_0
from ioprof.trace.recorder import Recorder

DEFAULT_BLOCK_BYTES = 4096
"""Taken where the device does not tell: no device in use asks for more."""
_now = time.perf_counter_ns


class AlignedBuffer:
    """Page-aligned memory that grows as needed; one per thread, because each read fills it anew."""

    def __init__(self) -> None:
        self._memory = memoryview(b"")

    def window(self, size_bytes: int) -> memoryview:
        """Return the first ``size_bytes`` of it."""
        if len(self._memory) < size_bytes:
            self._memory = memoryview(mmap.mmap(-1, size_bytes))
            self._memory[:: mmap.PAGESIZE] = bytes(-(-size_bytes // mmap.PAGESIZE))  # its page faults, taken now
        return self._memory[:size_bytes]


class DirectTapFile(LocalTapFile):
    """A file opened with O_DIRECT.

    Recorded are the bytes that the device was asked for: a range that does not begin and end at a block costs more
    than it delivers.
    """

    def __init__(
        self, path: str, obj: int, recorder: Recorder, tapped: Tapped, witness: CacheWitness, calls: Calls = os, *,
        buffer: AlignedBuffer, block_bytes: int,
    ) -> None:  # fmt: skip
        """Open the file.

        Args:
            path: the whole path.
            obj: the object's index, for the trace.
            recorder: what the operations are recorded with.
            tapped: told the bytes of each read.
            witness: told of each read, where it wants to be.
            calls: what they are done with.
            buffer: what reads go through.
            block_bytes: the device's logical block: offsets and lengths are multiples of it.
        Raises:
            OSError: it cannot be opened; the error is counted.
        """
        super().__init__(path, obj, recorder, tapped, witness, calls, flags=os.O_DIRECT)
        self._buffer = buffer
        self._block_bytes = block_bytes

    def read_at(self, offset: int, size_bytes: int) -> bytes:
        """Return exactly these bytes; see `TapFile.read_at`."""
        return bytes(self._trimmed(offset, size_bytes))

    def read_into(self, buffer: memoryview, offset: int) -> None:
        """Fill a buffer; see `TapFile.read_into`."""
        buffer[:] = self._trimmed(offset, len(buffer))

    def _trimmed(self, offset: int, size_bytes: int) -> memoryview:
        """Read the blocks that hold a range; return the range in the buffer, which the next read fills anew."""
        block = self._block_bytes
        first = offset // block * block
        lead = offset - first
        window = self._buffer.window(-(-(lead + size_bytes) // block) * block)
        filled = 0
        while filled < lead + size_bytes:
            filled += self._read_blocks(window[filled:], first + filled, lead + size_bytes - filled)
        return window[lead : lead + size_bytes]

    def _read_blocks(self, window: memoryview, offset: int, needed_bytes: int) -> int:
        """Read once; what is shorter than needed and no whole block ends the file."""
        start_ns = _now()
        try:
            got_bytes = self._calls.preadv(self.descriptor, (window,), offset)
        except OSError as error:
            failed_ns, kind = _now(), READ_FROM_0 + (offset << NOTE_SHIFT)
            self._recorder.record(kind, start_ns, failed_ns, 0, self.obj, error_code(error))
            raise
        end_ns = _now()
        ended = got_bytes < needed_bytes and (got_bytes == 0 or got_bytes % self._block_bytes != 0)
        hit = self._witness.direct(got_bytes) if self._witness.asking else UNKNOWN
        size = with_hit(got_bytes, hit)
        kind = READ_FROM_0 + (offset << NOTE_SHIFT)
        self._recorder.record(kind, start_ns, end_ns, size, self.obj, SHORT_READ if ended else 0)
        self._tapped(got_bytes, offset)
        if ended:
            raise self._short(offset + got_bytes)
        return got_bytes


def logical_block_bytes(path: Path, sys: Path = Path("/sys")) -> int:
    """Return the logical block of the device below ``path``; `DEFAULT_BLOCK_BYTES` where it does not tell."""
    device = nearest_existing(path).stat().st_dev
    block = sys / f"dev/block/{os.major(device)}:{os.minor(device)}"
    for queue in (block / "queue", Path(os.path.realpath(block)).parent / "queue"):
        try:
            return int((queue / "logical_block_size").read_text())
        except (OSError, ValueError):
            continue
    return DEFAULT_BLOCK_BYTES


def check_direct(path: Path) -> None:
    """Refuse a place where O_DIRECT would not reach a device; tried with a nameless file where the place allows one.

    Raises:
        SpecError: the store lies in memory, or knows no direct I/O.
    """
    existing = nearest_existing(path)
    facts = store_facts(existing)
    if facts["is_memory"]:
        raise SpecError(
            f"workload.direct = true: {existing} is on {facts['filesystem']} in this host's memory: direct "
            "reads are served from there; use a --store on a device, or --direct false"
        )
    try:
        os.close(os.open(existing, os.O_RDWR | os.O_TMPFILE | os.O_DIRECT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        if error.errno == errno.EINVAL:
            raise unsupported(existing, facts["filesystem"]) from error
        # Anything else says nothing of O_DIRECT: no nameless files here (NFS), not writable... The run will tell.


def unsupported(path: Path, filesystem: object) -> SpecError:
    """Return the error for a file system that refuses O_DIRECT."""
    return SpecError(
        f"workload.direct = true: {path} is on {filesystem}, which does not support O_DIRECT; "
        "use another --store, or --direct false"
    )
