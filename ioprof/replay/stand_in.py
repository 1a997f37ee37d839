"""A dataset in the place of one that is not here: objects of the same number, names and sizes, random inside."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from ioprof.dataset.content import Content
from ioprof.replay.accesses import Accesses, Column
from ioprof.trace.kinds import Kind

FILES_PER_DIRECTORY = 1000
"""Of objects whose names are not known."""


class StandInLayout:
    """Objects by their paths and sizes; picklable. What is in them depends on the seed alone."""

    kind = "stand-in"

    def __init__(self, paths: Sequence[str], sizes_bytes: NDArray[np.int64], seed: int) -> None:
        """Describe the objects.

        Args:
            paths: of each, relative to the dataset's root; no two are equal, and none is a directory of another.
            sizes_bytes: how large each is.
            seed: decides their content.
        """
        self.count = len(paths)
        self.seed = seed
        self._paths = list(paths)
        self._sizes_bytes = sizes_bytes
        equal = len(sizes_bytes) > 0 and bool((sizes_bytes == sizes_bytes[0]).all())
        self.fixed_size_bytes = int(sizes_bytes[0]) if equal else None
        self._content = Content(seed)

    def __reduce__(self) -> tuple[type[StandInLayout], tuple[list[str], NDArray[np.int64], int]]:
        return StandInLayout, (self._paths, self._sizes_bytes, self.seed)

    def identity(self) -> dict[str, str | int | float | bool]:
        """Return all that decides the stored bytes and names."""
        digest = hashlib.sha256("\n".join(self._paths).encode())
        digest.update(np.ascontiguousarray(self._sizes_bytes).tobytes())
        return {
            "layout": self.kind,
            "layout_format": 1,
            "objects": self.count,
            "digest": digest.hexdigest()[:32],
            "seed": self.seed,
        }

    def path(self, index: int) -> str:
        """Return the path of object ``index``."""
        return self._paths[index]

    def directories(self) -> Iterator[str]:
        """Yield every directory, parents before children."""
        seen: set[str] = set()
        for path in self._paths:
            parts = path.split("/")[:-1]
            for depth in range(1, len(parts) + 1):
                directory = "/".join(parts[:depth])
                if directory not in seen:
                    seen.add(directory)
                    yield directory

    def sizes(self, start: int, stop: int) -> NDArray[np.int64]:
        """Return the sizes in bytes of objects ``start`` to ``stop`` - 1.

        Raises:
            IndexError: the range reaches outside of the dataset.
        """
        if not 0 <= start <= stop <= self.count:
            raise IndexError(f"objects {start} to {stop} of {self.count}")
        return self._sizes_bytes[start:stop]

    def render(self, index: int, size_bytes: int) -> memoryview:
        """Return the whole content of object ``index``; the next call may reuse the buffer."""
        return self._content.render(index, size_bytes)

    def pieces(self, index: int, size_bytes: int) -> Iterator[memoryview]:
        """Yield the content of object ``index`` in pieces, for objects that memory should not hold whole."""
        return self._content.pieces(index, size_bytes)


def numbered_path(index: int) -> str:
    """Return the path of an object whose own is not known."""
    return f"{index // FILES_PER_DIRECTORY}/{index}"


def needed_sizes(accesses: Sequence[Accesses], count: int) -> Column:
    """Return how large each of ``count`` objects must be for what was done with it: up to the end of its last read.

    Reads of which it is not known where they began are taken to go front to back, from one opening to the next.
    """
    sizes_bytes = np.zeros(count, dtype=np.int64)
    for one in accesses:
        reads = np.isin(one.kind, (Kind.READ, Kind.GET, Kind.TOUCH)) & (one.object >= 0)
        placed = reads & (one.offset >= 0)
        np.maximum.at(sizes_bytes, one.object[placed], one.offset[placed] + one.size_bytes[placed])
        _follow_reads(one.where((reads & (one.offset < 0)) | (one.kind == Kind.OPEN)), sizes_bytes)
    return sizes_bytes


def _follow_reads(accesses: Accesses, sizes_bytes: Column) -> None:
    ends: dict[tuple[int, int], int] = {}
    for lane, kind, obj, size_bytes in zip(
        accesses.lane.tolist(),
        accesses.kind.tolist(),
        accesses.object.tolist(),
        accesses.size_bytes.tolist(),
        strict=True,
    ):
        if kind == Kind.OPEN:
            ends[lane, obj] = 0
        else:
            ends[lane, obj] = end = ends.get((lane, obj), 0) + size_bytes if kind == Kind.READ else size_bytes
            sizes_bytes[obj] = max(int(sizes_bytes[obj]), end)
