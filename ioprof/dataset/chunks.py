"""A dataset is written in chunks; each finished one leaves a record, so that another start continues."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ioprof.dataset.marker import BOOKKEEPING
from ioprof.store.base import Store

DONE_DIRECTORY = f"{BOOKKEEPING}/done"
_MOST_OBJECTS = 4096
_LEAST_OBJECTS = 512
_MOST_REMOTE_OBJECTS = 256
_MOST_BYTES = 64 * 1024**2
_PER_WORKER = 8
"""Chunks each worker should get at least, so that all finish at about the same time."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A range of objects handled as one."""

    number: int
    start: int
    """First object."""
    stop: int
    """One past the last object."""


def chunk_objects(count: int, total_bytes: int, workers: int, *, local: bool) -> int:
    """Return how many objects a chunk should hold: up to 4,096 (remote stores 256) and 64 MiB."""
    mean_bytes = max(1, total_bytes // count)
    most = min(_MOST_OBJECTS if local else _MOST_REMOTE_OBJECTS, _MOST_BYTES // mean_bytes)
    least = _LEAST_OBJECTS if local else 1
    return max(1, min(most, max(least, count // (workers * _PER_WORKER))))


def chunks(count: int, per_chunk: int) -> Iterator[Chunk]:
    """Yield the chunks of ``count`` objects in order."""
    for number in range(-(-count // per_chunk)):
        yield Chunk(number, number * per_chunk, min((number + 1) * per_chunk, count))


def record_path(number: int) -> str:
    """Return the path of the empty object that records a finished chunk."""
    return f"{DONE_DIRECTORY}/{number}"


def recorded_chunks(store: Store) -> set[int]:
    """Return the numbers of the chunks that a former preparation finished."""
    try:
        entries = store.list(DONE_DIRECTORY)
    except FileNotFoundError:
        return set()
    return {int(entry.name) for entry in entries if entry.name.isdigit() and not entry.is_dir}


def forget_chunks(store: Store) -> None:
    """Remove the records, once the marker says that the dataset is complete."""
    for number in sorted(recorded_chunks(store)):
        store.unlink(record_path(number))
    try:
        store.remove_dir(DONE_DIRECTORY)
    except OSError:
        # Object stores have no such directory; on disks a leftover is harmless and `ioprof clean` removes it.
        return
