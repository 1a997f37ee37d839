"""Putting a dataset on a store: parallel, resumable after any kind of death, never over someone's files."""

from __future__ import annotations

import ctypes
import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ioprof.clock import now_ns
from ioprof.dataset.chunks import (
    DONE_DIRECTORY,
    chunks,
    forget_chunks,
    recorded_chunks,
)
from ioprof.dataset.lock import locked
from ioprof.dataset.manifest import Manifest, open_manifest, write_manifest
from ioprof.dataset.marker import (
    dataset_id,
    write_marker,
)
from ioprof.dataset.place import place
from ioprof.dataset.plan import Plan, claimed, make_plan, matching_manifest
from ioprof.dataset.pool import default_workers, lives_in_this_process, run_chunks
from ioprof.dataset.progress import OnProgress, Phase, Progress, ignore
from ioprof.dataset.room import SMALLER, Need, check_room, need
from ioprof.dataset.write import WriteJob
from ioprof.errors import SpecError, StoreError, StoreFullError
from ioprof.store.base import Store
from ioprof.units import format_bytes, format_count

if TYPE_CHECKING:
    # pydantic comes with it, and every worker would wait for that.
    from ioprof.contract import Layout

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A dataset that is ready."""

    store: Store
    """Rooted at the dataset."""
    manifest: Manifest
    reused: bool
    """Whether it was complete before, and nothing was written."""
    seconds: float
    """The whole preparation, checks and sync included."""
    write_seconds: float
    """From the start of the workers to the last object."""
    sync_seconds: float
    """Flushing the store's filesystem once, at the end; zero on stores that are not local."""
    written_objects: int
    """Objects written now."""
    written_bytes: int
    resumed_objects: int
    """Objects that an interrupted preparation had finished."""
    workers: int
    """Worker processes that wrote; 0 where this process did."""


def prepare(
    store: Store,
    name: str,
    layout: Layout,
    *,
    workers: int | None = None,
    on_progress: OnProgress = ignore,
    smaller: str = SMALLER,
) -> Prepared:
    """Make sure that the dataset of ``layout`` stands complete in ``<store>/<name>-<identity digits>``.

    A complete one is used as it is; an interrupted one is continued. All objects are flushed to the store's
    filesystem at the end, so that their pages can be evicted later.

    Args:
        store: the place for datasets.
        name: first part of the directory's name.
        layout: the objects.
        workers: processes that write; None takes as many as suit the store.
        on_progress: called with cumulative figures, some times a second.
        smaller: how the dataset can be made smaller, for a refusal.

    Raises:
        StoreFullError: the store lacks bytes or inodes, before or part way; what was written stays.
        DatasetError: the directory holds foreign files or another dataset, or is being prepared elsewhere.
        StoreError: the store cannot be written.
    """
    started_ns = now_ns()
    dataset = store.at(dataset_path(name, layout))
    workers = _worker_count(dataset, workers)
    with _store_errors(dataset):
        marker = claimed(dataset, layout)
        if marker is not None and marker.state == "complete":
            manifest = matching_manifest(dataset, layout)
            if manifest is not None:
                return _reused(dataset, manifest, started_ns)
        if marker is None:
            check_room(store, need(layout, chunks(layout.count, 4096)), smaller)
        dataset.make_dir(DONE_DIRECTORY)
        with locked(dataset):
            return _fill(dataset, make_plan(dataset, layout, workers, smaller), workers, on_progress, started_ns)


def dataset_path(name: str, layout: Layout) -> str:
    """Return the directory of a dataset, relative to its store: the name and ten digits of the identity.

    Raises:
        SpecError: the name cannot be that of a directory.
    """
    if not _NAME.fullmatch(name):
        raise SpecError(f"dataset name {name!r}: use letters, digits, '.', '_' and '-', a letter or digit first")
    return f"{name}-{dataset_id(layout.identity())}"


def still_needed(store: Store, name: str, layout: Layout) -> Need:
    """Return what preparing would still write: nothing where the dataset stands complete; nothing is written here.

    Raises:
        DatasetError: the directory holds foreign files or another dataset.
        StoreError: the store cannot be read.
    """
    dataset = store.at(dataset_path(name, layout))
    with _store_errors(dataset):
        marker = claimed(dataset, layout)
        if marker is None:
            return need(layout, chunks(layout.count, 4096))
        if marker.state == "complete" and matching_manifest(dataset, layout) is not None:
            return Need(size_bytes=0, inodes=0)
        done = recorded_chunks(dataset) if marker.state == "preparing" else set()
        return need(layout, [one for one in chunks(layout.count, marker.chunk_objects) if one.number not in done])


def _fill(dataset: Store, plan: Plan, workers: int, on_progress: OnProgress, started_ns: int) -> Prepared:
    """Write what is missing; this process holds the dataset."""
    layout = plan.layout
    write_marker(dataset, plan.marker)
    write_manifest(dataset, layout, plan.marker.total_bytes)
    tally = _Tally(plan, on_progress)
    tally.show("directories")
    for directory in layout.directories():
        _make_dir(dataset, directory)
    write_ns = now_ns()
    _write(plan, workers, tally)
    sync_ns = now_ns()
    tally.show("sync")
    _sync(dataset)
    ended_ns = now_ns()
    write_marker(dataset, replace(plan.marker, state="complete"))
    forget_chunks(dataset)
    return Prepared(
        store=dataset,
        manifest=open_manifest(dataset),
        reused=False,
        seconds=(now_ns() - started_ns) / 1e9,
        write_seconds=(sync_ns - write_ns) / 1e9,
        sync_seconds=(ended_ns - sync_ns) / 1e9,
        written_objects=tally.objects - plan.resumed_objects,
        written_bytes=tally.size_bytes - plan.resumed_bytes,
        resumed_objects=plan.resumed_objects,
        workers=min(workers, len(plan.remaining)),
    )


class _Tally:
    """Adds up what the workers report and passes it on."""

    def __init__(self, plan: Plan, on_progress: OnProgress) -> None:
        self._plan = plan
        self._on_progress = on_progress
        self.objects = plan.resumed_objects
        self.size_bytes = plan.resumed_bytes
        self.recorded_objects = plan.resumed_objects

    def advance(self, objects: int, size_bytes: int) -> None:
        self.objects += objects
        self.size_bytes += size_bytes
        self.show("write")

    def show(self, phase: Phase) -> None:
        self._on_progress(
            Progress(
                phase=phase,
                objects=self.objects,
                total_objects=self._plan.marker.objects,
                size_bytes=self.size_bytes,
                total_bytes=self._plan.marker.total_bytes,
                resumed_objects=self._plan.resumed_objects,
                resumed_bytes=self._plan.resumed_bytes,
            )
        )


def _write(plan: Plan, workers: int, tally: _Tally) -> None:
    job = WriteJob(plan.dataset, plan.layout)
    try:
        for chunk, _ in run_chunks(job, plan.remaining, workers, tally.advance):
            tally.recorded_objects += chunk.stop - chunk.start
    except OSError as error:
        kept = f"{format_count(tally.recorded_objects)} of {format_count(plan.marker.objects)} objects are kept"
        if error.errno in _FULL:
            left = format_bytes(plan.marker.total_bytes - tally.size_bytes)
            raise StoreFullError(
                f"{place(plan.dataset)}: full ({error.strerror}); {kept}; free about {left} "
                "and run the same again: it continues"
            ) from error
        raise StoreError(
            f"{place(plan.dataset)}: writing failed: {_reason(error)}; {kept}, running again continues"
        ) from error


def _reused(dataset: Store, manifest: Manifest, started_ns: int) -> Prepared:
    return Prepared(
        store=dataset,
        manifest=manifest,
        reused=True,
        seconds=(now_ns() - started_ns) / 1e9,
        write_seconds=0.0,
        sync_seconds=0.0,
        written_objects=0,
        written_bytes=0,
        resumed_objects=0,
        workers=0,
    )


def _worker_count(dataset: Store, workers: int | None) -> int:
    if workers is not None and workers < 0:
        raise SpecError(f"{workers} workers: must be 0 (this process writes) or more")
    if lives_in_this_process(dataset):
        return 0
    return default_workers(dataset) if workers is None else workers


def _make_dir(dataset: Store, directory: str) -> None:
    if dataset.local_root is None:
        dataset.make_dir(directory)
        return
    try:
        os.mkdir(f"{dataset.local_root}/{directory}")
    except FileExistsError:
        if not os.path.isdir(f"{dataset.local_root}/{directory}"):
            raise


def _sync(dataset: Store) -> None:
    """Flush the filesystem that holds the dataset: one call, where an fsync per object would take minutes."""
    if dataset.local_root is None:
        return
    descriptor = os.open(dataset.local_root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
        if syncfs is None:
            os.sync()
        elif syncfs(descriptor) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), dataset.local_root)
    finally:
        os.close(descriptor)


@contextmanager
def _store_errors(dataset: Store) -> Iterator[None]:
    """Turn the store's own refusals into errors that say what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise StoreFullError(f"{place(dataset)}: full ({error.strerror}); free some space and run again") from error
        raise StoreError(f"{place(dataset)}: cannot prepare here: {_reason(error)}; give another --store") from error


def _reason(error: OSError) -> str:
    where = f" ({error.filename})" if error.filename else ""
    return f"{error.strerror or error}{where}"
