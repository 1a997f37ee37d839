"""Whether the page cache obeys on a file system: tried on a real file that leaves nothing behind."""

from __future__ import annotations

import ctypes
import mmap
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

_CACHESTAT = 451
"""Number of the system call, the same on every architecture."""
_PROBE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Eviction:
    """What became of a written and synced file after posix_fadvise(DONTNEED)."""

    pages: int
    """Pages of the file."""
    resident_before: int
    resident_after: int
    method: str
    """How residency was told: cachestat or mincore."""


class _Range(ctypes.Structure):
    _fields_: ClassVar = [("offset", ctypes.c_uint64), ("length", ctypes.c_uint64)]


class _CacheStat(ctypes.Structure):
    _fields_: ClassVar = [
        (name, ctypes.c_uint64) for name in ("cached", "dirty", "writeback", "evicted", "recently_evicted")
    ]


def try_eviction(directory: Path) -> Eviction | str:
    """Write 1 MiB into ``directory``, evict it and count what stayed; or say why that could not be tried."""
    try:
        with tempfile.TemporaryFile(dir=directory, prefix=".ioprof-doctor-") as file:
            file.write(os.urandom(_PROBE_BYTES))
            file.flush()
            os.fsync(file.fileno())
            return _evict(file.fileno())
    except OSError as error:
        return f"{directory}: {error.strerror or error}"


def _evict(fd: int) -> Eviction | str:
    counting: tuple[tuple[str, Callable[[int], int | None]], ...] = (
        ("cachestat", cachestat_pages),
        ("mincore", mincore_pages),
    )
    for method, count in counting:
        before = count(fd)
        if before is not None:
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            after = count(fd)
            pages = _PROBE_BYTES // mmap.PAGESIZE
            return Eviction(pages=pages, resident_before=before, resident_after=after or 0, method=method)
    return "neither cachestat(2) nor mincore(2) works here"


def cachestat_pages(fd: int) -> int | None:
    """Return the pages of a file in the page cache by cachestat(2); None: the kernel is older than 6.5."""
    stat, whole = _CacheStat(), _Range(0, 0)
    libc = ctypes.CDLL(None, use_errno=True)
    result = libc.syscall(_CACHESTAT, ctypes.c_int(fd), ctypes.byref(whole), ctypes.byref(stat), 0)
    return int(stat.cached) if result == 0 else None


def residency(path: str) -> tuple[int, int] | None:
    """Return the pages of a file and how many of them are in the page cache; None: it cannot be told."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        resident = cachestat_pages(descriptor)
        pages = -(-os.fstat(descriptor).st_size // mmap.PAGESIZE)
        return None if resident is None else (pages, resident)
    finally:
        os.close(descriptor)


def mincore_pages(fd: int) -> int | None:
    """Return the pages of a writable file in the page cache by mincore(2); None: not told here."""
    size_bytes = os.fstat(fd).st_size
    pages = -(-size_bytes // mmap.PAGESIZE)
    with mmap.mmap(fd, size_bytes) as mapping:
        window = (ctypes.c_char * size_bytes).from_buffer(mapping)
        resident = (ctypes.c_ubyte * pages)()
        libc = ctypes.CDLL(None, use_errno=True)
        address = ctypes.c_void_p(ctypes.addressof(window))
        result = libc.mincore(address, ctypes.c_size_t(size_bytes), resident)
        del window  # a mapping with views cannot be closed
    return sum(page & 1 for page in resident) if result == 0 else None


def has_cachestat() -> bool:
    """Tell whether the kernel has cachestat(2)."""
    with tempfile.TemporaryFile() as file:
        return cachestat_pages(file.fileno()) is not None
