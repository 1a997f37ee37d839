"""Removing datasets: only names that their layout made, only under a marker; all else is left alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from ioprof.checkpoint.names import LAYOUT as CHECKPOINTS
from ioprof.checkpoint.names import is_ours as is_checkpoint
from ioprof.dataset.chunks import DONE_DIRECTORY, Chunk, chunks, recorded_chunks
from ioprof.dataset.layout import Naming
from ioprof.dataset.lock import LOCK_PATH, locked
from ioprof.dataset.manifest import MANIFEST_PATH, NAMES_PATH, read_names
from ioprof.dataset.marker import BOOKKEEPING, MARKER_PATH, Marker, read_marker
from ioprof.dataset.place import place
from ioprof.dataset.pool import default_workers, lives_in_this_process, run_chunks
from ioprof.dataset.progress import OnProgress, Progress, ignore
from ioprof.dataset.scratch import SCRATCH_PATH, refuse_scratch_in_use, remove_scratch
from ioprof.dataset.unlink import Foreign, remove_directory, remove_objects, unlink_known
from ioprof.dataset.worker import Meter
from ioprof.errors import DatasetError, StoreError
from ioprof.store.base import Store

_CHUNK_OBJECTS = 8192


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundDataset:
    """A dataset that stands on a store."""

    store: Store
    """Rooted at the dataset."""
    path: str
    """Directory below the store it was looked for in; empty where that is the dataset itself."""
    state: Literal["preparing", "complete", "damaged"]
    """`damaged`: the marker cannot be read, so nothing will be removed."""
    identity: dict[str, str | int | float | bool]
    objects: int
    """Objects it has when complete."""
    size_bytes: int
    """Bytes of all its objects when complete."""
    recorded_objects: int
    """Objects known to be written; all where it is complete."""
    problem: str = ""
    """What is wrong with a damaged marker."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """What a removal did."""

    objects: int
    """Objects removed."""
    foreign: int
    """Names left in place because ioprof did not make them."""
    foreign_paths: list[str]
    """The first of them, relative to the dataset."""


@dataclass(frozen=True)
class RemoveJob:
    """Remove the objects of a chunk."""

    store: Store
    """Rooted at the dataset."""
    naming: Naming
    is_whole: bool
    """Whether all objects are there; where some may not be, only what the store lists is removed and counted."""

    def run(self, chunk: Chunk, meter: Meter) -> int:
        """Remove what is there of one chunk and return how many objects that were."""
        paths = (self.naming.path(index) for index in range(chunk.start, chunk.stop))
        removed = remove_objects(self.store, paths, is_whole=self.is_whole)
        meter.advance(removed, 0)
        return removed


def find_datasets(store: Store) -> list[FoundDataset]:
    """Return the datasets in the store's root, and the root itself if it is one, sorted by path."""
    own = _found(store, "")
    if own is not None:
        return [own]
    try:
        entries = store.list()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StoreError(f"{place(store)}: cannot be listed: {error.strerror or error}") from error
    names = sorted(entry.name for entry in entries if entry.is_dir and entry.name != BOOKKEEPING)
    return [found for name in names if (found := _found(store.at(name), name)) is not None]


def remove(dataset: FoundDataset, *, workers: int | None = None, on_progress: OnProgress = ignore) -> Removed:
    """Remove a dataset's objects, its bookkeeping and the directories left empty; foreign files stay.

    The order makes an interrupted removal safe: manifest and records go first, so that what remains never
    passes for a whole dataset, and the marker goes last, so that a second removal finishes the work.

    Raises:
        DatasetError: there is no marker, it is damaged, or the dataset is in use.
        StoreError: the store refused.
    """
    store = dataset.store
    marker = read_marker(store)
    if marker is None:
        raise DatasetError(f"{place(store)}: carries no marker of ioprof; nothing was removed")
    refuse_scratch_in_use(store)
    try:
        with locked(store):
            return _remove(dataset, marker, workers, on_progress)
    except OSError as error:
        raise StoreError(f"{place(store)}: removal stopped: {error.strerror or error}; run it again") from error


def _remove(dataset: FoundDataset, marker: Marker, workers: int | None, on_progress: OnProgress) -> Removed:
    store, is_whole = dataset.store, dataset.state == "complete" and _is_there(dataset.store, MANIFEST_PATH)
    unlink_known(store, [MANIFEST_PATH, f"{MANIFEST_PATH}.new"])
    unlink_known(store, (f"{DONE_DIRECTORY}/{number}" for number in recorded_chunks(store)))
    naming, directories = Naming.of(marker.identity), list[str]()
    if marker.identity.get("layout") == CHECKPOINTS:
        removed = _remove_checkpoints(store)
    elif naming is None:
        removed, directories = _remove_named(store)
    else:
        job, expected = RemoveJob(store, naming, is_whole), dataset.recorded_objects
        removed = _remove_numbered(job, workers, on_progress, expected)
        directories = list(naming.directories())
    foreign = Foreign()
    for directory in reversed(directories):
        remove_directory(store, directory, foreign)
    unlink_known(store, [NAMES_PATH, f"{NAMES_PATH}.new", f"{MARKER_PATH}.new", LOCK_PATH])
    remove_directory(store, DONE_DIRECTORY, foreign)
    remove_scratch(store)
    remove_directory(store, SCRATCH_PATH, foreign)
    unlink_known(store, [MARKER_PATH])
    remove_directory(store, BOOKKEEPING, foreign)
    remove_directory(store, "", foreign)
    return Removed(objects=removed, foreign=foreign.count, foreign_paths=foreign.paths)


def _is_there(store: Store, path: str) -> bool:
    try:
        store.stat(path)
    except FileNotFoundError:
        return False
    return True


def _remove_numbered(job: RemoveJob, workers: int | None, on_progress: OnProgress, expected: int) -> int:
    """Remove all objects; progress counts those that were there, of at least as many as are known to be written."""
    store, naming = job.store, job.naming
    if lives_in_this_process(store):
        workers = 0
    workers = default_workers(store) if workers is None else workers
    done = removed = 0

    def advance(objects: int, size_bytes: int) -> None:
        nonlocal done
        done += objects
        show(max(done, expected))

    def show(total: int) -> None:
        on_progress(Progress(phase="remove", objects=done, total_objects=total, size_bytes=0, total_bytes=0))

    work = list(chunks(naming.count, _CHUNK_OBJECTS))
    for _, count in run_chunks(job, work, workers, advance):
        removed += count
    show(done)
    return removed


def _remove_named(store: Store) -> tuple[int, list[str]]:
    """Remove the objects that a list names; return their number and all their directories, parents first."""
    removed = 0
    directories: set[str] = set()
    try:
        for paths in read_names(store):
            removed += remove_objects(store, paths, is_whole=False)
            directories.update(parent for path in paths for parent in _parents(path))
    except FileNotFoundError:
        # It died before the names were written, and objects come after those.
        return 0, []
    return removed, sorted(directories, key=lambda directory: (directory.count("/"), directory))


def _remove_checkpoints(store: Store) -> int:
    """Remove the files of saves, finished or not; which there are depends on when the run ended."""
    names = sorted(entry.name for entry in store.list() if is_checkpoint(entry.name))
    return remove_objects(store, names, is_whole=True)


def _parents(path: str) -> Iterator[str]:
    while path := path.rpartition("/")[0]:
        yield path


def _found(store: Store, path: str) -> FoundDataset | None:
    try:
        marker = read_marker(store)
        if marker is None:
            return None
        recorded = marker.objects
        if marker.state != "complete":
            recorded = min(marker.objects, len(recorded_chunks(store)) * marker.chunk_objects)
    except (DatasetError, OSError) as error:
        return FoundDataset(
            store=store, path=path, state="damaged", identity={}, objects=0, size_bytes=0,
            recorded_objects=0, problem=str(error),
        )  # fmt: skip
    return FoundDataset(
        store=store,
        path=path,
        state=marker.state,
        identity=marker.identity,
        objects=marker.objects,
        size_bytes=marker.total_bytes,
        recorded_objects=recorded,
    )
