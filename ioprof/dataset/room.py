"""Whether a dataset fits: asked before anything is written, in bytes and in inodes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ioprof.dataset.chunks import Chunk
from ioprof.dataset.manifest import fixed_size, size_blocks
from ioprof.dataset.place import place
from ioprof.errors import StoreFullError
from ioprof.store.base import Store
from ioprof.units import format_bytes, format_count

if TYPE_CHECKING:
    # pydantic comes with it, and every worker would wait for that.
    from ioprof.contract import Layout

_ALLOCATION_BYTES = 4096
_ENTRY_BYTES = 32
"""What one name takes in a directory, roughly."""
_SPARE_RATIO = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What writing takes, with 5 % to spare."""

    size_bytes: int
    """Objects rounded up to 4 KiB, directories and the manifest."""
    inodes: int
    """Objects, directories, chunk records and the manifest."""


def total_bytes(layout: Layout) -> int:
    """Return the bytes of all objects."""
    fixed = fixed_size(layout)
    return layout.count * fixed if fixed is not None else sum(int(sizes.sum()) for sizes in size_blocks(layout))


def need(layout: Layout, remaining: Iterable[Chunk]) -> Need:
    """Return what the chunks that remain need; directories are counted whole, as if none existed."""
    directories = sum(1 for _ in layout.directories())
    objects = chunk_count = object_bytes = 0
    for chunk in remaining:
        chunk_count += 1
        objects += chunk.stop - chunk.start
        object_bytes += _allocated_bytes(layout, chunk)
    per_directory = _round_up(_ENTRY_BYTES * (layout.count // max(1, directories) + 1))
    manifest_bytes = 8 * layout.count if fixed_size(layout) is None else 0
    size_bytes = object_bytes + directories * per_directory + manifest_bytes
    return Need(
        size_bytes=round(size_bytes * (1 + _SPARE_RATIO)),
        inodes=round((objects + directories + chunk_count + 8) * (1 + _SPARE_RATIO)),
    )


SMALLER = "a smaller dataset"
"""What to do where a dataset does not fit; callers that know the workload name its flags."""


def check_room(store: Store, needed: Need, smaller: str = SMALLER) -> None:
    """Raise where the store has less left than is needed; stores that cannot say are believed.

    ``smaller`` says how the dataset can be made smaller.

    Raises:
        StoreFullError: too few bytes or inodes.
    """
    capacity = store.capacity()
    if capacity.free_bytes is not None and capacity.free_bytes < needed.size_bytes:
        raise StoreFullError(
            f"{place(store)}: needs {format_bytes(needed.size_bytes)}, "
            f"{format_bytes(capacity.free_bytes)} are free; "
            f"use {smaller}, free some space, or give another --store"
        )
    if capacity.free_inodes is not None and capacity.free_inodes < needed.inodes:
        raise StoreFullError(
            f"{place(store)}: needs {format_count(needed.inodes)} inodes, "
            f"{format_count(capacity.free_inodes)} are free; "
            f"use {smaller}, or a filesystem made for more of them"
        )


def _allocated_bytes(layout: Layout, chunk: Chunk) -> int:
    fixed = fixed_size(layout)
    if fixed is not None:
        return (chunk.stop - chunk.start) * _round_up(fixed)
    sizes = layout.sizes(chunk.start, chunk.stop)
    return int((-(-sizes // _ALLOCATION_BYTES)).sum(dtype=np.int64)) * _ALLOCATION_BYTES


def _round_up(size_bytes: int) -> int:
    return -(-size_bytes // _ALLOCATION_BYTES) * _ALLOCATION_BYTES
