"""Making this host's page cache cold or warm for a dataset, without root.

Only file content is evicted. Names and inodes (dentry and inode caches) stay, and so do caches behind the file
system: a client miss is not "the medium".
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from ioprof.host.page_cache_probe import residency

_THREADS = 4
_CHUNK = 2048
_MOST_CHECKED = 4096
"""Objects whose residency is looked at after an eviction; more would cost time and tell nothing new."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheChange:
    """What was done to the page cache."""

    objects: int
    failed: int
    """Objects that could not be opened."""
    checked_pages: int | None = None
    """Pages of the objects whose residency was looked at afterwards; None: nobody looked, or the kernel cannot tell."""
    resident_pages: int | None = None
    """How many of them the page cache still held: mapped by a process that lives on, or dirty."""


def evict(root: str, path_of: Callable[[int], str], count: int, progress: Callable[[int], None]) -> CacheChange:
    """Drop the clean cached pages of every object; dirty ones were written back when the dataset was synced.

    Args:
        root: directory of the dataset.
        path_of: path of an object below it.
        count: number of objects.
        progress: told how many objects are done, now and then.
    """
    done = _each(root, path_of, count, progress, _evict_one)
    checked_pages, resident_pages = _residency(root, path_of, count)
    return replace(done, checked_pages=checked_pages, resident_pages=resident_pages)


def _residency(root: str, path_of: Callable[[int], str], count: int) -> tuple[int, int] | tuple[None, None]:
    """Return pages of objects spread over the dataset, and how many are in the page cache; None: not told here."""
    checked = resident = 0
    prefix = root.rstrip("/") + "/"
    for index in range(0, count, -(-count // _MOST_CHECKED)):
        found = residency(prefix + path_of(index))
        if found is not None:
            checked, resident = checked + found[0], resident + found[1]
    return (checked, resident) if checked else (None, None)


def warm(root: str, path_of: Callable[[int], str], count: int, progress: Callable[[int], None]) -> CacheChange:
    """Read every object once, so that this host's page cache holds what it can."""
    return _each(root, path_of, count, progress, _read_one)


def _each(
    root: str,
    path_of: Callable[[int], str],
    count: int,
    progress: Callable[[int], None],
    change: Callable[[str], bool],
) -> CacheChange:
    prefix = root.rstrip("/") + "/"

    def chunk(start: int) -> tuple[int, int]:
        stop = min(start + _CHUNK, count)
        return stop - start, sum(not change(prefix + path_of(index)) for index in range(start, stop))

    done = failed = 0
    with ThreadPoolExecutor(_THREADS) as pool:
        for objects, missed in _windowed(pool, chunk, range(0, count, _CHUNK)):
            done, failed = done + objects, failed + missed
            progress(done)
    return CacheChange(objects=done, failed=failed)


def _windowed(
    pool: ThreadPoolExecutor, work: Callable[[int], tuple[int, int]], starts: range
) -> Iterator[tuple[int, int]]:
    """Keep a few chunks in flight: a million of them queued at once would cost memory and delay Ctrl-C."""
    pending = [pool.submit(work, start) for start in starts[: 2 * _THREADS]]
    for start in starts[2 * _THREADS :]:
        yield pending.pop(0).result()
        pending.append(pool.submit(work, start))
    for future in pending:
        yield future.result()


def _evict_one(path: str) -> bool:
    return _with_file(path, lambda descriptor: os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED))


def _read_one(path: str) -> bool:
    def read(descriptor: int) -> None:
        while os.read(descriptor, 1 << 20):
            pass

    return _with_file(path, read)


def _with_file(path: str, use: Callable[[int], None]) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            use(descriptor)
        finally:
            os.close(descriptor)
    except OSError:
        # The run itself will meet and count this object's error; here it is only not made cold.
        return False
    return True
