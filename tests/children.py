"""The processes that a test started, told from those that an earlier test in the same process left running."""

from __future__ import annotations

import contextlib

import psutil

_SERVANTS = ("resource_tracker", "forkserver")
"""Words in the command lines of multiprocessing's own processes, which outlive their users until this process ends."""


def children() -> set[psutil.Process]:
    """Return the live descendants of this process but multiprocessing's own."""
    found: set[psutil.Process] = set()
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):  # it has ended meanwhile
            command = " ".join(child.cmdline())
            if child.status() != psutil.STATUS_ZOMBIE and not any(word in command for word in _SERVANTS):
                found.add(child)
    return found
