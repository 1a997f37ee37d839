"""The note that a process of a profiled program leaves where it cannot be watched."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

UNWATCHED = "unwatched-"
"""How its file name begins, in the folder of the session."""


def note_unwatched(folder: str, why: str) -> None:
    """Say why this process is not watched; where even that cannot be written, nobody is there to read it."""
    with contextlib.suppress(OSError):
        note = Path(folder) / f"{UNWATCHED}{os.getpid()}"
        note.write_text(f"{sys.executable}: {' '.join(why.split())}", encoding="utf-8")
