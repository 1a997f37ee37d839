"""Reading every object back and comparing it with what it should be."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from ioprof.dataset.chunks import Chunk, chunk_objects, chunks
from ioprof.dataset.content import PIECE_BYTES
from ioprof.dataset.pool import default_workers, lives_in_this_process, run_chunks
from ioprof.dataset.progress import OnProgress, Progress, ignore
from ioprof.dataset.room import total_bytes
from ioprof.dataset.worker import Meter
from ioprof.dataset.write import PiecewiseLayout
from ioprof.store.base import Store

if TYPE_CHECKING:
    # pydantic comes with it, and every worker would wait for that.
    from ioprof.contract import Layout

Problem = Literal["missing", "wrong size", "wrong content", "unreadable"]

_EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class Damage:
    """One object that is not as it should be."""

    index: int
    path: str
    problem: Problem


@dataclass(slots=True)
class Verification:
    """What reading everything back showed."""

    objects: int = 0
    """Objects looked at."""
    size_bytes: int = 0
    """Bytes they should have."""
    missing: int = 0
    wrong_size: int = 0
    wrong_content: int = 0
    unreadable: int = 0
    """Objects whose reading failed for another reason than that they are missing."""
    examples: list[Damage] = field(default_factory=list)
    """The first few damaged objects, by index."""

    @property
    def damaged(self) -> int:
        """Objects that are not as they should be."""
        return self.missing + self.wrong_size + self.wrong_content + self.unreadable

    def note(self, damage: Damage) -> None:
        """Count one damaged object."""
        match damage.problem:
            case "missing":
                self.missing += 1
            case "wrong size":
                self.wrong_size += 1
            case "wrong content":
                self.wrong_content += 1
            case "unreadable":
                self.unreadable += 1
        if len(self.examples) < _EXAMPLES:
            self.examples.append(damage)

    def add(self, other: Verification) -> None:
        """Take in the figures of another part of the dataset."""
        self.objects += other.objects
        self.size_bytes += other.size_bytes
        self.missing += other.missing
        self.wrong_size += other.wrong_size
        self.wrong_content += other.wrong_content
        self.unreadable += other.unreadable
        self.examples = sorted([*self.examples, *other.examples], key=lambda damage: damage.index)[:_EXAMPLES]


@dataclass(frozen=True)
class VerifyJob:
    """Read the objects of a chunk back."""

    store: Store
    """Rooted at the dataset."""
    layout: Layout

    def run(self, chunk: Chunk, meter: Meter) -> Verification:
        """Compare one chunk with what its layout says."""
        found = Verification()
        sizes = self.layout.sizes(chunk.start, chunk.stop).tolist()
        for index, size_bytes in enumerate(sizes, chunk.start):
            problem = self._problem(index, size_bytes)
            if problem is not None:
                found.note(Damage(index, self.layout.path(index), problem))
            found.objects += 1
            found.size_bytes += size_bytes
            meter.advance(1, size_bytes)
        return found

    def _problem(self, index: int, size_bytes: int) -> Problem | None:
        try:
            if self.store.local_root is not None:
                return _local_problem(self.store.local_root, self.layout, index, size_bytes)
            return _remote_problem(self.store, self.layout, index, size_bytes)
        except FileNotFoundError:
            return "missing"
        except OSError:
            return "unreadable"


def verify(
    store: Store, layout: Layout, *, workers: int | None = None, on_progress: OnProgress = ignore
) -> Verification:
    """Read every object of the dataset at the store's root and compare it with ``layout``.

    On local stores each file is first dropped from this host's page cache, so that what is compared came from
    the store (clean pages only: a file that was never synced may still be served from memory).

    Raises:
        StoreError: a worker process died.
    """
    if lives_in_this_process(store):
        workers = 0
    workers = default_workers(store) if workers is None else workers
    all_bytes = total_bytes(layout)
    local = store.local_root is not None
    per_chunk = chunk_objects(layout.count, all_bytes, max(1, workers), local=local)
    result = Verification()
    tally = _Tally(layout.count, all_bytes, on_progress)
    work = list(chunks(layout.count, per_chunk))
    for _, found in run_chunks(VerifyJob(store, layout), work, workers, tally.advance):
        result.add(found)
    return result


class _Tally:
    def __init__(self, total_objects: int, all_bytes: int, on_progress: OnProgress) -> None:
        self._total_objects = total_objects
        self._total_bytes = all_bytes
        self._on_progress = on_progress
        self._objects = self._bytes = 0

    def advance(self, objects: int, size_bytes: int) -> None:
        self._objects += objects
        self._bytes += size_bytes
        self._on_progress(
            Progress(
                phase="verify",
                objects=self._objects,
                total_objects=self._total_objects,
                size_bytes=self._bytes,
                total_bytes=self._total_bytes,
            )
        )


def _remote_problem(store: Store, layout: Layout, index: int, size_bytes: int) -> Problem | None:
    content = store.read(layout.path(index))
    if len(content) != size_bytes:
        return "wrong size"
    return None if content == bytes(layout.render(index, size_bytes)) else "wrong content"


def _local_problem(root: str, layout: Layout, index: int, size_bytes: int) -> Problem | None:
    descriptor = os.open(f"{root}/{layout.path(index)}", os.O_RDONLY)
    try:
        if os.fstat(descriptor).st_size != size_bytes:
            return "wrong size"
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        for piece in _pieces(layout, index, size_bytes):
            # bytes against bytes is one memcmp; comparing views goes item by item.
            if _read_exactly(descriptor, len(piece)) != bytes(piece):
                return "wrong content"
    finally:
        os.close(descriptor)
    return None


def _pieces(layout: Layout, index: int, size_bytes: int) -> Iterator[bytes | bytearray | memoryview]:
    if size_bytes > PIECE_BYTES and isinstance(layout, PiecewiseLayout):
        yield from layout.pieces(index, size_bytes)
    else:
        yield layout.render(index, size_bytes)


def _read_exactly(descriptor: int, size_bytes: int) -> bytes:
    content = os.read(descriptor, size_bytes)
    while len(content) < size_bytes:
        more = os.read(descriptor, size_bytes - len(content))
        if not more:
            break
        content += more
    return content
