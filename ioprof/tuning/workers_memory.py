"""How much memory one worker has for itself, asked of the kernel while the workers are still there."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path

import psutil

from ioprof.runner.observer import Observer

MOST_ASKED = 4
"""Asking takes the kernel milliseconds for each process, and workers are alike."""
_OTHERS = ("ioprof.host.", "ioprof.cli.", "multiprocessing.resource_tracker", "multiprocessing.forkserver")
"""What a run starts besides workers, by its command line."""


def worker_bytes(pids: Sequence[int] | None = None) -> int | None:
    """Return the memory that a worker of this process shares with nobody; None: there is none, or it is not told.

    Args:
        pids: the workers; None: all children of this process that are nothing else.
    """
    found: list[int] = []
    for child in psutil.Process().children():
        if pids is not None and child.pid not in pids:
            continue
        if len(found) == MOST_ASKED:
            break
        try:
            if not any(word in " ".join(child.cmdline()) for word in _OTHERS):
                found.append(int(child.memory_full_info().uss))
        except psutil.Error:
            continue
    return int(statistics.median(found)) if found else None


class AsksWorkers:
    """An observer that asks when the last step is done, before anything is torn down, and passes everything on."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self.worker_bytes: int | None = None
        """None: not asked yet, or not known."""

    def phase(self, text: str) -> None:
        """Pass it on."""
        self._observer.phase(text)

    def progress(self, done: int, total: int) -> None:
        """Pass it on."""
        self._observer.progress(done, total)

    def measuring(self, directory: Path) -> None:
        """Pass it on."""
        self._observer.measuring(directory)

    def finished(self) -> None:
        """Ask, the first time; later the workers are gone."""
        if self.worker_bytes is None:
            self.worker_bytes = worker_bytes()
        self._observer.finished()
