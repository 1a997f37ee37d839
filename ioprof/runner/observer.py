"""What a run tells whoever shows it."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol


class Observer(Protocol):
    """Told how a run goes on; must return quickly."""

    def phase(self, text: str) -> None:
        """A part of the run begins."""
        ...

    def progress(self, done: int, total: int) -> None:
        """The present part has done so many of its objects."""
        ...

    def measuring(self, directory: Path) -> None:
        """Steps begin; the run directory can be followed from now on."""
        ...

    def finished(self) -> None:
        """The last step is done; nothing of the run directory may be held open any longer."""
        ...


class Silent:
    """Shows nothing."""

    def phase(self, text: str) -> None:
        """Ignore it."""

    def progress(self, done: int, total: int) -> None:
        """Ignore it."""

    def measuring(self, directory: Path) -> None:
        """Ignore it."""

    def finished(self) -> None:
        """Ignore it."""
