"""The loaders of one process of a profiled program, watched from their first iteration on."""

from __future__ import annotations

import importlib
import multiprocessing.util
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import MethodType

from ioprof.errors import IoprofError
from ioprof.profile.notes import note_unwatched
from ioprof.profile.session import ProfileSession
from ioprof.watcher.session import WatchSession

_BEFORE_CHILDREN_ARE_JOINED = 100


def watch_class(kind: type, folder: str) -> None:
    """Have every object of a loader class watched as soon as it is iterated over.

    Args:
        kind: a torch DataLoader, or a class made of it with an ``__iter__`` of its own.
        folder: the shared one of the session.
    """
    own = vars(kind).get("__iter__")
    if own is not None:
        kind.__iter__ = _WatchedIter(own, ProcessWatch(ProfileSession(Path(folder))))  # type: ignore[attr-defined]


class _WatchedIter:
    """A class's way to make an iterator. It is looked up, not called: in no traceback stands a frame of ours."""

    def __init__(self, own: Callable[[object], Iterator[object]], watch: ProcessWatch) -> None:
        self._own = own
        self._watch = watch

    def __get__(self, loader: object, kind: type | None = None) -> object:
        if loader is None:
            return self._own
        self._watch.attach(loader)
        return MethodType(self._own, loader)


class ProcessWatch:
    """What one process records; a process that was forked from it records for itself."""

    def __init__(self, profile: ProfileSession) -> None:
        self._profile = profile
        self._pid = 0
        self._session: WatchSession | None = None
        self._is_announced = False

    def attach(self, loader: object) -> None:
        """Watch a loader from here on, unless it is one that a worker of another loader uses."""
        if _is_worker():
            return
        if self._pid != os.getpid():
            self._begin()
        if self._session is None:
            return
        self._session.attach(loader)
        if not self._is_announced and self._session.directory is not None:
            self._is_announced = True
            self._profile.announce(self._session.directory.absolute())

    def _begin(self) -> None:
        self._pid, self._session, self._is_announced = os.getpid(), None, False
        try:
            wanted = self._profile.wanted()
            label = "-".join(filter(None, [wanted.label, _rank_label()])) or None
            self._session = WatchSession(
                Path(wanted.results), label=label, warmup="auto", device="auto", conclude=_left_to_the_profiler
            )
        except (OSError, ValueError, IoprofError) as error:
            # The one who profiles has gone, or its disk is full: the program goes on all the same.
            note_unwatched(str(self._profile.folder), str(error))
            return
        multiprocessing.util.Finalize(None, self._end, exitpriority=_BEFORE_CHILDREN_ARE_JOINED)

    def _end(self) -> None:
        """End the recording where a process leaves without Python's own exit handlers, as multiprocessing's do."""
        if self._session is not None and self._pid == os.getpid():
            self._session.close_at_exit()


def _left_to_the_profiler(directory: Path) -> None:
    """Analyse nothing: the program should end when its work is done."""


def _rank_label() -> str | None:
    """Return how this process's run is told from those of its job's other ranks."""
    rank, ranks = os.environ.get("RANK"), os.environ.get("WORLD_SIZE", "1")
    return f"rank{rank}" if rank is not None and ranks != "1" else None


def _is_worker() -> bool:
    return importlib.import_module("torch.utils.data").get_worker_info() is not None
