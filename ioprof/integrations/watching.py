"""What the trainers' callbacks share: one recording from the start of a training to its end."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from ioprof.watcher.session import WatchSession


class TrainingWatch:
    """A recording that is opened by the first loader, and closed once, however the training ends."""

    def __init__(self, results: Path | str, label: str | None, warmup: int | Literal["auto"]) -> None:
        """Say where run directories go; nothing is written before a loader is used."""
        self._facts = (Path(results), label, warmup)
        self._session: WatchSession | None = None

    def attach(self, loader: object) -> None:
        """Record all further iterations over a torch DataLoader; any other loader is left alone."""
        if self._session is None:
            results, label, warmup = self._facts
            self._session = WatchSession(results, label=label, warmup=warmup, device="auto")
        self._session.attach(loader)

    def close(self, error: BaseException | None = None) -> Path | None:
        """End the recording; return the run directory, None where no loader was watched.

        Args:
            error: what ended the training; None: it went to its end.
        """
        session, self._session = self._session, None
        return None if session is None else session.close(error)
