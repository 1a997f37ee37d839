"""What a preparation finds in its directory, and what is left to do."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ioprof.dataset.chunks import (
    DONE_DIRECTORY,
    Chunk,
    chunk_objects,
    chunks,
    forget_chunks,
    recorded_chunks,
)
from ioprof.dataset.manifest import Manifest, open_manifest
from ioprof.dataset.marker import BOOKKEEPING, MARKER_PATH, Marker, dataset_id, identity_json, read_marker
from ioprof.dataset.place import place
from ioprof.dataset.room import SMALLER, check_room, need, total_bytes
from ioprof.errors import DatasetError
from ioprof.store.base import Entry, Store

if TYPE_CHECKING:
    # pydantic comes with it, and every worker would wait for that.
    from ioprof.contract import Layout

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is left to do."""

    dataset: Store
    layout: Layout
    marker: Marker
    remaining: list[Chunk]
    resumed_objects: int
    resumed_bytes: int


def claimed(dataset: Store, layout: Layout) -> Marker | None:
    """Return the marker of what stands in the directory; None where nothing does.

    Raises:
        DatasetError: foreign files, or another dataset.
    """
    marker = read_marker(dataset)
    if marker is None:
        _refuse_foreign(dataset)
        return None
    if identity_json(marker.identity) != identity_json(layout.identity()):
        raise DatasetError(
            f"{place(dataset)}: holds another dataset ({identity_json(marker.identity)}); "
            "was it renamed? Move it away, or remove it with ioprof clean"
        )
    return marker


def make_plan(dataset: Store, layout: Layout, workers: int, smaller: str = SMALLER) -> Plan:
    """Return what is left to do in a claimed directory.

    Raises:
        StoreFullError: the store lacks bytes or inodes for it.
    """
    found = read_marker(dataset)
    done: set[int] = set()
    if found is None or found.state == "complete":
        # Complete, but its manifest is gone: its removal was interrupted. The records go first in a removal,
        # so any that remain here are of no use.
        forget_chunks(dataset)
        dataset.make_dir(DONE_DIRECTORY)
        marker = _new_marker(dataset, layout, workers)
    else:
        marker = found
        done = _trusted_chunks(dataset, layout, marker)
        marker = replace(marker, boot_id=_boot_id())
    everything = list(chunks(layout.count, marker.chunk_objects))
    remaining = [chunk for chunk in everything if chunk.number not in done]
    kept = [chunk for chunk in everything if chunk.number in done]
    check_room(dataset, need(layout, remaining), smaller)
    return Plan(
        dataset=dataset,
        layout=layout,
        marker=marker,
        remaining=remaining,
        resumed_objects=sum(chunk.stop - chunk.start for chunk in kept),
        resumed_bytes=sum(int(layout.sizes(chunk.start, chunk.stop).sum()) for chunk in kept),
    )


def matching_manifest(dataset: Store, layout: Layout) -> Manifest | None:
    """Return the manifest if it describes this layout; None where it is missing or damaged."""
    try:
        manifest = open_manifest(dataset)
    except DatasetError:
        return None
    return manifest if manifest.identity == identity_json(layout.identity()) else None


def _new_marker(dataset: Store, layout: Layout, workers: int) -> Marker:
    size_bytes = total_bytes(layout)
    local = dataset.local_root is not None
    return Marker(
        state="preparing",
        identity=layout.identity(),
        dataset_id=dataset_id(layout.identity()),
        objects=layout.count,
        total_bytes=size_bytes,
        chunk_objects=chunk_objects(layout.count, size_bytes, max(1, workers), local=local),
        boot_id=_boot_id(),
    )


def _trusted_chunks(dataset: Store, layout: Layout, marker: Marker) -> set[int]:
    """Return the recorded chunks whose objects are there.

    Records survive a killed process, whose writes the kernel keeps. They may also survive a power cut that
    took the objects' bytes with it: after another boot, sizes are looked at before a record is believed.
    """
    done = recorded_chunks(dataset)
    if dataset.local_root is None or marker.boot_id == _boot_id():
        return done
    root = dataset.local_root
    return {
        chunk.number
        for chunk in chunks(layout.count, marker.chunk_objects)
        if chunk.number in done and _sizes_match(root, layout, chunk)
    }


def _sizes_match(root: str, layout: Layout, chunk: Chunk) -> bool:
    try:
        return all(
            os.stat(f"{root}/{layout.path(index)}").st_size == size_bytes
            for index, size_bytes in enumerate(layout.sizes(chunk.start, chunk.stop).tolist(), chunk.start)
        )
    except FileNotFoundError:
        return False


def _refuse_foreign(dataset: Store) -> None:
    """Raise if the directory holds more than what a preparation leaves that died before its marker stood."""
    foreign = [entry.name for entry in _entries(dataset, "") if entry.name != BOOKKEEPING]
    ours = {"lock", "done", MARKER_PATH.rpartition("/")[2] + ".new"}
    foreign += [f"{BOOKKEEPING}/{entry.name}" for entry in _entries(dataset, BOOKKEEPING) if entry.name not in ours]
    if foreign:
        raise DatasetError(
            f"{place(dataset)}: holds files that ioprof did not make ({foreign[0]}"
            f"{' and others' if len(foreign) > 1 else ''}); move them away or give another --store"
        )


def _entries(dataset: Store, path: str) -> list[Entry]:
    try:
        return dataset.list(path)
    except FileNotFoundError:
        return []


def _boot_id() -> str:
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""
