"""What of a file is in this host's page cache, asked of the kernel.

Three ways, tried in this order on a real file; the first that answers is kept:

    cachestat   cachestat(2), Linux 6.5 and later. Counts pages and disturbs nothing.
    mincore     mincore(2) on a mapping: the same, at five times the cost.
    rwf_nowait  preadv2(RWF_NOWAIT): reads what is there, up to the first page that is not, and makes the kernel read
                that one. Only a rough answer: the count ends early, and where a device is quick, or the caller was
                interrupted, a page that was missing may be there before the call returns (measured: up to 3 in 100).

Of a file on an overlay cachestat(2) always says that nothing is cached: it asks about the overlay's own inode, and the
pages belong to that of the file below. It is not asked there; mincore(2) sees them.

Newer kernels answer only who owns a file or may write it. The answer is then not known: mincore(2) would say that all
of it is cached.
"""

from __future__ import annotations

import ctypes
import mmap
import os
from collections.abc import Sequence
from typing import ClassVar, Literal, Protocol

Method = Literal["cachestat", "mincore", "rwf_nowait"]
METHODS: tuple[Method, ...] = ("cachestat", "mincore", "rwf_nowait")
PAGE_BYTES = mmap.PAGESIZE
UNKNOWN = -1
_CACHESTAT = 451
"""Number of the system call, the same on every architecture."""
_SCRATCH_BYTES = 1 << 20
_STACKED = (0x794C7630, 0x61756673)
"""Types by statfs(2) of file systems whose files have their pages elsewhere: overlay, aufs."""
_STATFS_BYTES = 256
# PyDLL keeps the interpreter's lock: to give it away and take it again costs half as much as the call itself.
_libc = ctypes.PyDLL(None)


class Residency(Protocol):
    """A way to ask; for one thread."""

    method: ClassVar[Method]

    def pages(self, fd: int, offset: int, size_bytes: int) -> int:
        """Return the pages of a range that are in the page cache; -1: not known.

        Args:
            fd: of a file that is open for reading.
            offset: where the range begins; the pages it begins and ends in count as a whole.
            size_bytes: its length; 0 is all of the file from ``offset`` on.
        """
        ...


class CacheStat:
    """cachestat(2)."""

    method: ClassVar[Method] = "cachestat"

    def __init__(self) -> None:
        # Arguments made once and no declared types: 0.6 µs for a call, where converting them anew made it 1.1.
        self._range, self._counts = (ctypes.c_uint64 * 2)(), (ctypes.c_uint64 * 5)()
        self._number = ctypes.c_long(_CACHESTAT)
        self._at = ctypes.byref(self._range), ctypes.byref(self._counts)
        self._is_whole = True
        self._call = _libc.syscall

    def pages(self, fd: int, offset: int, size_bytes: int) -> int:
        """Return the cached pages of a range; see `Residency.pages`."""
        if size_bytes or offset or not self._is_whole:
            self._range[0], self._range[1] = offset, size_bytes
            self._is_whole = not (offset or size_bytes)
        if self._call(self._number, fd, *self._at, 0):
            return UNKNOWN
        return int(self._counts[0])


class NoWaitRead:
    """preadv2(RWF_NOWAIT).

    Attributes:
        read_bytes: what it has read of files so far: the kernel counts that for the process, as it does any read.
    """

    method: ClassVar[Method] = "rwf_nowait"

    def __init__(self) -> None:
        self._scratch = memoryview(bytearray(_SCRATCH_BYTES))
        self.read_bytes = 0

    def pages(self, fd: int, offset: int, size_bytes: int) -> int:
        """Return the cached pages up to the first that is missing; see `Residency.pages`."""
        first = at = offset // PAGE_BYTES * PAGE_BYTES
        try:
            end = offset + size_bytes if size_bytes else os.fstat(fd).st_size
            while at < end:
                window = self._scratch[: min(end - at, _SCRATCH_BYTES)]
                got_bytes = os.preadv(fd, (window,), at, os.RWF_NOWAIT)
                at += got_bytes
                self.read_bytes += got_bytes
                if got_bytes < len(window):
                    break
        except BlockingIOError:
            return (at - first) // PAGE_BYTES  # the next page is not there
        except OSError:
            return UNKNOWN
        return -(-(at - first) // PAGE_BYTES)


class Mincore:
    """mincore(2)."""

    method: ClassVar[Method] = "mincore"

    def __init__(self) -> None:
        window = (ctypes.c_void_p, ctypes.c_size_t)
        where = (ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long)
        self._map = ctypes.PYFUNCTYPE(ctypes.c_void_p, *window, *where)(("mmap", _libc))
        self._unmap = ctypes.PYFUNCTYPE(ctypes.c_int, *window)(("munmap", _libc))
        self._ask = ctypes.PYFUNCTYPE(ctypes.c_int, *window, ctypes.c_char_p)(("mincore", _libc))

    def pages(self, fd: int, offset: int, size_bytes: int) -> int:
        """Return the cached pages of a range; see `Residency.pages`."""
        try:
            found = os.fstat(fd)
        except OSError:
            return UNKNOWN
        if found.st_uid != os.geteuid() and not os.access(f"/proc/self/fd/{fd}", os.W_OK):
            return UNKNOWN
        first = offset // PAGE_BYTES * PAGE_BYTES
        length = (min(offset + size_bytes, found.st_size) if size_bytes else found.st_size) - first
        if length <= 0:
            return 0
        address = self._map(None, length, mmap.PROT_READ, mmap.MAP_SHARED, fd, first)
        if address in (None, ctypes.c_void_p(-1).value):
            return UNKNOWN
        resident = ctypes.create_string_buffer(-(-length // PAGE_BYTES))
        failed = self._ask(address, length, resident)
        self._unmap(address, length)
        return UNKNOWN if failed else resident.raw.count(b"\x01")


def has_pages_elsewhere(fd: int) -> bool:
    """Tell whether a file lies on a stack of file systems, whose cached pages are those of the file below."""
    found = ctypes.create_string_buffer(_STATFS_BYTES)
    if _libc.fstatfs(fd, found):
        return False
    return ctypes.cast(found, ctypes.POINTER(ctypes.c_ulong)).contents.value in _STACKED


def first_answer(
    fd: int, offset: int = 0, size_bytes: int = 0, *, methods: Sequence[Method] = METHODS
) -> tuple[Residency, int] | None:
    """Return the first of the ways that answers for this file, and its answer for a range; None: none does.

    The answer is worth keeping: the last way finds at its next try what it made the kernel read with the first.
    """
    ways: tuple[type[CacheStat | NoWaitRead | Mincore], ...] = (CacheStat, Mincore, NoWaitRead)
    for way in ways:
        if way is CacheStat and has_pages_elsewhere(fd):
            continue
        if way.method in methods and (found := (asked := way()).pages(fd, offset, size_bytes)) >= 0:
            return asked, found
    return None
