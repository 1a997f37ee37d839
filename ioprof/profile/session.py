"""The folder that a profiled program's processes and the one who profiles share: what is wanted, and what was made."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from ioprof.clock import now_ns
from ioprof.profile.notes import UNWATCHED

VARIABLE = "IOPROF_PROFILE"
"""Names the folder to every process of the program."""
_WANTED = "wanted.json"
_RUN = "run-"


class Wanted(BaseModel):
    """What the user asked for, as the program's processes need it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    results: str
    """Absolute: programs change their directory."""
    label: str | None
    command: list[str]
    """The words that started it."""


class ProfileSession:
    """The shared folder, from either side."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def wanted(self) -> Wanted:
        """Return what was asked for.

        Raises:
            OSError: the one who profiles is gone, and its folder with it.
        """
        return Wanted.model_validate_json((self.folder / _WANTED).read_text(encoding="utf-8"))

    def announce(self, directory: Path) -> None:
        """Say that this process records into a run directory.

        Raises:
            OSError: as `wanted`.
        """
        (self.folder / f"{_RUN}{now_ns():020}-{os.getpid()}").write_text(str(directory), encoding="utf-8")

    def run_directories(self) -> list[Path]:
        """Return the run directories that were announced, the first one first."""
        return [Path(note.read_text(encoding="utf-8")) for note in sorted(self.folder.glob(f"{_RUN}*"))]

    def unwatched(self) -> list[str]:
        """Return why interpreters that the program started could not be watched, each reason once."""
        return sorted({note.read_text(encoding="utf-8") for note in self.folder.glob(f"{UNWATCHED}*")})


@contextmanager
def profile_session(wanted: Wanted) -> Iterator[ProfileSession]:
    """Make the shared folder, and remove it at the end."""
    with tempfile.TemporaryDirectory(prefix="ioprof-profile-") as folder:
        session = ProfileSession(Path(folder))
        (session.folder / _WANTED).write_text(wanted.model_dump_json(), encoding="utf-8")
        yield session
