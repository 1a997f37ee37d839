"""Scratch: where a run may write below a dataset. Each run has a directory of its own, which goes when the run ends.

A run that was killed leaves its directory behind; the next run of the dataset, or ``ioprof clean``, removes it. The
kernel says which runs are alive: each holds a lock on a file in its directory. Where a store has no locks, the
directory's name says which process of which host it is: on this host that process is looked for, and what belongs to
another host is left to ``ioprof clean``.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import psutil

from ioprof.dataset.lock import NO_LOCKS_HERE
from ioprof.dataset.marker import BOOKKEEPING
from ioprof.dataset.place import place
from ioprof.errors import DatasetError, StoreError, StoreFullError
from ioprof.store.base import Store
from ioprof.units import format_bytes, format_count

SCRATCH_PATH = f"{BOOKKEEPING}/scratch"
_LOCK = "lock"
_OF_A_RUN = re.compile(r"run-(?P<host>[0-9a-f]{8})-(?P<pid>[0-9]+)-[0-9a-f]{8}")
_State = Literal["alive", "gone", "unknown"]
_SPARE_RATIO = 0.05


@dataclass(slots=True)
class Scratch:
    """The scratch directory of this run."""

    path: str
    """Relative to the dataset."""
    descriptor: int
    """Holds the run's lock; -1 on stores that have none."""
    keep: bool = False
    """Set where what the workers wrote is to outlive the run."""


def claim_scratch(dataset: Store, size_bytes: int, names: int) -> Scratch:
    """Make a scratch directory and remove those of runs that are gone.

    Args:
        dataset: the store, rooted at the dataset.
        size_bytes: what the run holds there at once, at most.
        names: files and directories that it holds there at once, at most.

    Raises:
        StoreError: the store cannot be written.
        StoreFullError: it has less room than the run needs.
    """
    path = f"{SCRATCH_PATH}/run-{_this_host()}-{os.getpid()}-{secrets.token_hex(4)}"
    try:
        dataset.make_dir(SCRATCH_PATH)
        with _alone(dataset):
            for dead in _runs(dataset, "gone"):
                _remove_tree(dataset, dead)
            _check_room(dataset, size_bytes, names)
            dataset.make_dir(path)
            return Scratch(path=path, descriptor=_locked(dataset, path))
    except OSError as error:
        raise StoreError(
            f"{place(dataset)}: cannot be written ({error.strerror or error}), and this workload writes while it runs; "
            "give a --store that can be written"
        ) from error


def release_scratch(dataset: Store, scratch: Scratch) -> None:
    """Remove a run's scratch directory, unless it is to be kept.

    Raises:
        StoreError: the store refused.
    """
    try:
        if not scratch.keep:
            _remove_tree(dataset, scratch.path)
    except OSError as error:
        raise StoreError(
            f"{place(dataset)}/{scratch.path}: cannot be removed ({error.strerror or error}); the next run of this "
            "dataset, or ioprof clean, tries again"
        ) from error
    finally:
        if scratch.descriptor >= 0:
            os.close(scratch.descriptor)


def refuse_scratch_in_use(dataset: Store) -> None:
    """Refuse to go on while a run writes into the dataset.

    Raises:
        DatasetError: a run is alive.
    """
    if alive := _runs(dataset, "alive"):
        raise DatasetError(f"{place(dataset)}: a run is writing there ({alive[0]}); wait for it to end")


def remove_scratch(dataset: Store) -> None:
    """Remove what runs left, of other hosts too; what ioprof did not make stays, and with it the directory.

    Raises:
        OSError: the store refused.
    """
    for dead in _runs(dataset, "gone", "unknown"):
        _remove_tree(dataset, dead)
    with contextlib.suppress(FileNotFoundError):
        dataset.unlink(f"{SCRATCH_PATH}/{_LOCK}")


def _runs(dataset: Store, *states: _State) -> list[str]:
    """Return the scratch directories of runs in these states."""
    try:
        entries = dataset.list(SCRATCH_PATH)
    except FileNotFoundError:
        return []
    paths = [f"{SCRATCH_PATH}/{entry.name}" for entry in entries if entry.is_dir and _OF_A_RUN.fullmatch(entry.name)]
    return [path for path in paths if _state(dataset, path) in states]


def _state(dataset: Store, path: str) -> _State:
    if dataset.local_root is None:
        return _state_by_name(path)
    try:
        descriptor = os.open(f"{dataset.local_root}/{path}/{_LOCK}", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return "gone"
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return "alive"
    except OSError as error:
        if error.errno not in NO_LOCKS_HERE:
            raise
        return _state_by_name(path)
    finally:
        os.close(descriptor)
    return "gone"


def _state_by_name(path: str) -> _State:
    """Judge by the process that the directory is named after; one of another host cannot be seen from here."""
    named = _OF_A_RUN.fullmatch(path.rpartition("/")[2])
    if named is None or named["host"] != _this_host():
        return "unknown"
    return "alive" if psutil.pid_exists(int(named["pid"])) else "gone"


def _this_host() -> str:
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]


def _locked(dataset: Store, path: str) -> int:
    """Create and hold the lock of a directory; return its descriptor, -1 where the store has no locks."""
    if dataset.local_root is None:
        return -1
    descriptor = os.open(f"{dataset.local_root}/{path}/{_LOCK}", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError as error:
        if error.errno not in NO_LOCKS_HERE:
            os.close(descriptor)
            raise
    return descriptor


@contextmanager
def _alone(dataset: Store) -> Iterator[None]:
    """Keep other runs from looking while this one removes and makes directories."""
    descriptor = _locked(dataset, SCRATCH_PATH)
    try:
        yield
    finally:
        if descriptor >= 0:
            os.close(descriptor)


def _remove_tree(dataset: Store, path: str) -> None:
    """Remove a directory and all below; links are removed, not followed; what is gone already is no error."""
    with contextlib.suppress(FileNotFoundError):
        for entry in dataset.list(path):
            if entry.is_dir:
                _remove_tree(dataset, f"{path}/{entry.name}")
            else:
                with contextlib.suppress(FileNotFoundError):
                    dataset.unlink(f"{path}/{entry.name}")
        dataset.remove_dir(path)


def _check_room(dataset: Store, size_bytes: int, names: int) -> None:
    capacity = dataset.capacity()
    needed_bytes, needed_inodes = round(size_bytes * (1 + _SPARE_RATIO)), round(names * (1 + _SPARE_RATIO))
    if capacity.free_bytes is not None and capacity.free_bytes < needed_bytes:
        raise StoreFullError(
            f"{place(dataset)}: this workload writes {format_bytes(needed_bytes)} there while it runs, and "
            f"{format_bytes(capacity.free_bytes)} are free; free some space, or give another --store"
        )
    if capacity.free_inodes is not None and capacity.free_inodes < needed_inodes:
        raise StoreFullError(
            f"{place(dataset)}: this workload makes {format_count(needed_inodes)} files there while it runs, and "
            f"{format_count(capacity.free_inodes)} inodes are free; free some, or give another --store"
        )
