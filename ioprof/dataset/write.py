"""Writing the objects of a chunk: on local stores with three system calls each, else through the store."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from ioprof.dataset.chunks import Chunk, record_path
from ioprof.dataset.content import PIECE_BYTES
from ioprof.dataset.worker import Meter
from ioprof.store.base import Store

if TYPE_CHECKING:
    # pydantic comes with it, and every worker would wait for that.
    from ioprof.contract import Layout

RUN_OBJECTS = 256
"""Objects handled between two reports to the meter."""
RUN_BYTES = 8 * 1024**2
_FLAGS = os.O_CREAT | os.O_WRONLY | os.O_TRUNC


@runtime_checkable
class PiecewiseLayout(Protocol):
    """A layout that can also make objects piece by piece, so that memory need not hold a whole one."""

    def pieces(self, index: int, size_bytes: int) -> Iterator[memoryview]:
        """Yield the content of object ``index`` in order."""
        ...


@dataclass(frozen=True)
class WriteJob:
    """Write the objects of a chunk, then record that it is done."""

    store: Store
    """Rooted at the dataset; the directories exist."""
    layout: Layout

    def run(self, chunk: Chunk, meter: Meter) -> int:
        """Write one chunk and return its bytes."""
        if self.store.local_root is not None:
            written_bytes = self._run_local(self.store.local_root, chunk, meter)
        else:
            written_bytes = self._run_remote(chunk, meter)
        self.store.write(record_path(chunk.number), b"")
        return written_bytes

    def _run_local(self, root: str, chunk: Chunk, meter: Meter) -> int:
        root_descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
        written_bytes = 0
        try:
            for start, sizes in runs(self.layout, chunk):
                if sizes[0] > PIECE_BYTES and len(sizes) == 1 and isinstance(self.layout, PiecewiseLayout):
                    write_large(root_descriptor, self.layout, start, sizes[0])
                else:
                    write_whole(root_descriptor, self.layout, start, sizes)
                meter.advance(len(sizes), sum(sizes))
                written_bytes += sum(sizes)
        finally:
            os.close(root_descriptor)
        return written_bytes

    def _run_remote(self, chunk: Chunk, meter: Meter) -> int:
        layout, store = self.layout, self.store
        sizes = layout.sizes(chunk.start, chunk.stop).tolist()
        for index, size_bytes in enumerate(sizes, chunk.start):
            store.write(layout.path(index), layout.render(index, size_bytes))
            meter.advance(1, size_bytes)
        return sum(sizes)


def runs(layout: Layout, chunk: Chunk) -> Iterator[tuple[int, list[int]]]:
    """Yield a chunk in runs of objects, each with its first index and its sizes; large objects come alone."""
    sizes: list[int] = layout.sizes(chunk.start, chunk.stop).tolist()
    first, run_bytes = 0, 0
    for position, size_bytes in enumerate(sizes):
        if position > first and (
            run_bytes + size_bytes > RUN_BYTES or position - first == RUN_OBJECTS or size_bytes > PIECE_BYTES
        ):
            yield chunk.start + first, sizes[first:position]
            first, run_bytes = position, 0
        run_bytes += size_bytes if size_bytes <= PIECE_BYTES else RUN_BYTES
    yield chunk.start + first, sizes[first:]


def write_whole(root_descriptor: int, layout: Layout, start: int, sizes: list[int]) -> None:
    """Write a run of objects, each rendered in memory: the loop that a million small files pass through."""
    # Local names: each attribute looked up here is looked up a million times.
    open_, write, close, path, render = os.open, os.write, os.close, layout.path, layout.render
    for index, size_bytes in enumerate(sizes, start):
        content = render(index, size_bytes)
        descriptor = open_(path(index), _FLAGS, 0o666, dir_fd=root_descriptor)
        try:
            written = write(descriptor, content)
            if written != size_bytes:
                _write_rest(descriptor, content, written)
        finally:
            close(descriptor)


def write_large(root_descriptor: int, layout: Layout, index: int, size_bytes: int) -> None:
    """Write one object piece by piece."""
    if not isinstance(layout, PiecewiseLayout):
        raise TypeError(f"{layout!r} makes no pieces")
    descriptor = os.open(layout.path(index), _FLAGS, 0o666, dir_fd=root_descriptor)
    try:
        for piece in layout.pieces(index, size_bytes):
            _write_rest(descriptor, piece, 0)
    finally:
        os.close(descriptor)


def _write_rest(descriptor: int, content: bytes | bytearray | memoryview, written: int) -> None:
    left = memoryview(content)[written:]
    while left:
        left = left[os.write(descriptor, left) :]
