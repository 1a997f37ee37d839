"""Whether the page cache obeys on a file system: tried on a real file that leaves nothing behind."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ioprof.host.residency import PAGE_BYTES, CacheStat, first_answer

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
    answer = first_answer(fd, methods=("cachestat", "mincore"))
    if answer is None:
        return "neither cachestat(2) nor mincore(2) works here"
    way, before = answer
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    return Eviction(
        pages=_PROBE_BYTES // PAGE_BYTES,
        resident_before=before,
        resident_after=max(0, way.pages(fd, 0, 0)),
        method=way.method,
    )


def has_cachestat() -> bool:
    """Tell whether the kernel has cachestat(2)."""
    with tempfile.TemporaryFile() as file:
        return CacheStat().pages(file.fileno(), 0, 0) >= 0
