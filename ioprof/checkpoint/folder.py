"""The directory that a run's checkpoints stand in: marked as ioprof's, locked while in use, removed at the end."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ioprof.checkpoint.names import LAYOUT
from ioprof.dataset.clean import FoundDataset, remove
from ioprof.dataset.lock import locked
from ioprof.dataset.marker import BOOKKEEPING, Marker, write_marker
from ioprof.dataset.place import place
from ioprof.errors import StoreError, StoreFullError
from ioprof.runner.interrupt import shielded
from ioprof.store.base import Store
from ioprof.store.tap_writer import sync_directory
from ioprof.units import format_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderPlan:
    """What a folder will have to hold."""

    name: str
    """Directory below the store's root; nothing may stand there yet."""
    save_bytes: int
    """Bytes of one save."""
    shards: int
    """Files of one save."""
    keep: int
    """Finished saves that stay; one more is there while it is written."""
    seed: int


@contextmanager
def checkpoint_folder(root: Store, plan: FolderPlan, *, keep_files: bool) -> Iterator[Store]:
    """Make the directory, hold it, and remove it at the end unless ``keep_files``; yields the store rooted there.

    A process that is killed leaves it behind; ``ioprof clean`` removes it.

    Raises:
        StoreFullError: the store has too little room for the saves that will stand there at once.
        StoreError: the store refused.
    """
    _check_room(root, plan)
    folder = root.at(plan.name)
    with contextlib.ExitStack() as held:
        try:
            folder.make_dir(BOOKKEEPING)
            held.enter_context(locked(folder))
            write_marker(folder, _marker(plan))
            _sync_parent(folder)
        except OSError as error:
            raise StoreError(
                f"{place(folder)}: checkpoints cannot be written there: {error.strerror or error}; "
                "give another --store, or --checkpoint-every 0 for none"
            ) from error
        try:
            yield folder
        except BaseException:
            held.close()
            if not keep_files:
                # What ended the run is what must be heard of; ioprof clean removes what stays.
                with contextlib.suppress(StoreError):
                    _remove(folder, plan)
            raise
        held.close()
        if not keep_files:
            _remove(folder, plan)


def _check_room(root: Store, plan: FolderPlan) -> None:
    free_bytes, needed_bytes = root.capacity().free_bytes, plan.save_bytes * (plan.keep + 1)
    if free_bytes is not None and free_bytes < needed_bytes:
        raise StoreFullError(
            f"{place(root)}: {plan.keep} checkpoints that stay and one under way need {format_bytes(needed_bytes)}, "
            f"{format_bytes(free_bytes)} are free; use a smaller --checkpoint-size or --checkpoint-keep, "
            "free some space, or give another --store"
        )


def _marker(plan: FolderPlan) -> Marker:
    objects = (plan.keep + 1) * plan.shards
    return Marker(
        state="complete",
        identity={"layout": LAYOUT, "name": plan.name, "save_bytes": plan.save_bytes, "seed": plan.seed},
        dataset_id=plan.name,
        objects=objects,
        total_bytes=(plan.keep + 1) * plan.save_bytes,
        chunk_objects=objects,
    )


def _sync_parent(folder: Store) -> None:
    """Make the directory's own name durable: a checkpoint in a directory that a crash loses is none."""
    if folder.local_root is not None:
        sync_directory(os.path.dirname(folder.local_root))


def _remove(folder: Store, plan: FolderPlan) -> None:
    marker = _marker(plan)
    found = FoundDataset(
        store=folder,
        path=plan.name,
        state="complete",
        identity=marker.identity,
        objects=marker.objects,
        size_bytes=marker.total_bytes,
        recorded_objects=marker.objects,
    )
    # Broken off half-way it would leave checkpoints behind that nobody asked to keep.
    with shielded():
        remove(found)
