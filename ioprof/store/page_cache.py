"""Making this host's page cache cold or warm for a dataset, without root.

Only file content is evicted. Names and inodes (dentry and inode caches) stay unless `drop_caches` is called, and so do
caches behind the file system: a client miss is not "the medium".
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from ioprof.errors import StoreError
from ioprof.host.residency import PAGE_BYTES, Method, Residency, first_answer

_THREADS = 4
_CHUNK = 2048
COUNTING: tuple[Method, ...] = ("cachestat", "mincore")
"""Ways to look at what an eviction left: the third would read it in again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheChange:
    """What was done to the page cache."""

    objects: int
    failed: int
    """Objects that could not be opened."""
    checked_pages: int | None = None
    """Pages of the objects that were looked at afterwards; None: nobody looked, or the kernel cannot tell."""
    resident_pages: int | None = None
    """How many of them the page cache still held: mapped by a process that lives on, or dirty."""


def evict(
    root: str,
    path_of: Callable[[int], str],
    count: int,
    progress: Callable[[int], None],
    *,
    methods: Sequence[Method] = COUNTING,
) -> CacheChange:
    """Drop the cached pages of every object, those that are not on the device yet after writing them back.

    Each object is looked at afterwards. What stays is mapped by a process, or the kernel does not let go of it.

    Args:
        root: directory of the dataset.
        path_of: path of an object below it.
        count: number of objects.
        progress: told how many objects are done, now and then.
        methods: ways to look that may be tried.
    """
    pages = [0, 0]

    def evict_one(way: Residency | None, descriptor: int) -> None:
        size_pages = -(-os.fstat(descriptor).st_size // PAGE_BYTES)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        stayed = way.pages(descriptor, 0, 0) if way is not None else -1
        if stayed:
            # Only now, and for each object where nobody can tell: on a clean file fsync may cost a flush of the device.
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            stayed = way.pages(descriptor, 0, 0) if way is not None else -1
        if stayed >= 0:
            with adding:
                pages[0] += size_pages
                pages[1] += min(stayed, size_pages)

    adding = threading.Lock()
    done = _each(root, path_of, count, progress, evict_one, methods)
    checked = {"checked_pages": pages[0], "resident_pages": pages[1]} if pages[0] else {}
    return replace(done, **checked)


def warm(root: str, path_of: Callable[[int], str], count: int, progress: Callable[[int], None]) -> CacheChange:
    """Read every object once, so that this host's page cache holds what it can."""
    return _each(root, path_of, count, progress, _read_one, ())


def _each(
    root: str,
    path_of: Callable[[int], str],
    count: int,
    progress: Callable[[int], None],
    change: Callable[[Residency | None, int], None],
    methods: Sequence[Method],
) -> CacheChange:
    prefix = root.rstrip("/") + "/"

    def chunk(start: int) -> tuple[int, int]:
        stop, asking = min(start + _CHUNK, count), _Asking(methods)
        return stop - start, sum(not _changed(prefix + path_of(index), change, asking) for index in range(start, stop))

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


class _Asking:
    """The way to ask of one thread, chosen with its first file."""

    def __init__(self, methods: Sequence[Method]) -> None:
        self._methods: Sequence[Method] | None = methods
        self._way: Residency | None = None

    def way(self, descriptor: int) -> Residency | None:
        """Return the way; None where none answers."""
        if self._methods is not None:
            answer = first_answer(descriptor, methods=self._methods)
            self._way, self._methods = answer[0] if answer is not None else None, None
        return self._way


def _read_one(_: Residency | None, descriptor: int) -> None:
    while os.read(descriptor, 1 << 20):
        pass


def _changed(path: str, change: Callable[[Residency | None, int], None], asking: _Asking) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            change(asking.way(descriptor), descriptor)
        finally:
            os.close(descriptor)
    except OSError:
        # The run itself will meet and count this object's error; here it is only not made cold.
        return False
    return True


_DROP_ALL = "3\n"
"""Page cache, and names and inodes."""


def drop_caches_refusal(proc: Path = Path("/proc")) -> str | None:
    """Return why this process may not drop the host's caches; None: it may."""
    switch = proc / "sys/vm/drop_caches"
    if not switch.exists():
        return f"{switch} is not there"
    # Also False for root where a container has it mounted read-only.
    return None if os.access(switch, os.W_OK) else f"{switch} is not writable for user {os.geteuid()}"


def drop_caches(proc: Path = Path("/proc")) -> None:
    """Drop all clean pages, names and inodes that this host caches, for every program on it.

    Raises:
        StoreError: the kernel refuses.
    """
    os.sync()
    try:
        (proc / "sys/vm/drop_caches").write_text(_DROP_ALL)
    except OSError as error:
        raise StoreError(
            f"--drop-caches: {proc}/sys/vm/drop_caches: {error.strerror}; run as root, or leave it out"
        ) from error
