"""Who runs beside whom: tests that judge times have the machine to themselves though others run side by side."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def turn(folder: Path, *, alone: bool) -> Iterator[None]:
    """Wait until nobody runs alone, or with ``alone`` until nobody runs; ``folder`` is what all processes share."""
    with open(folder / "next.lock", "w") as next_one, open(folder / "running.lock", "w") as running:
        # Whoever waits to run alone keeps the first lock meanwhile: nobody overtakes, or it would wait for ever.
        fcntl.flock(next_one, fcntl.LOCK_EX)
        fcntl.flock(running, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(next_one, fcntl.LOCK_UN)
        try:
            yield
        finally:
            # By name: a process that a test forked holds the file open as well.
            fcntl.flock(running, fcntl.LOCK_UN)
