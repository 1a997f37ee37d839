"""Looks at /dev/shm while other tests, in other processes, come and go there too."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

import psutil


def segments() -> set[str]:
    """Return the names in /dev/shm."""
    return set(os.listdir("/dev/shm"))


def segments_left(before: set[str], patience_s: float = 10) -> set[str]:
    """Return what stays in /dev/shm beyond ``before`` and is no other program's.

    What is being handed from one process to another may be in use by none; it is gone within ``patience_s``.
    """
    deadline_s = time.monotonic() + patience_s
    left = segments() - before
    while left and time.monotonic() < deadline_s:
        time.sleep(0.02)
        left = {name for name in left & segments() if not _made_by_another(name)}
    return left


def _made_by_another(segment: str) -> bool:
    """Whether a live process that is none of ours maps a segment or is named in its name (torch: ``torch_PID_...``)."""
    pids = [int(part) for part in segment.split("_") if part.isdigit()]
    return any(pid != os.getpid() and psutil.pid_exists(pid) for pid in pids) or _mapped_by_another(segment)


def _mapped_by_another(segment: str) -> bool:
    # By its inode: the name in the map of a semaphore is one that it had while it was made.
    try:
        inode = os.stat(f"/dev/shm/{segment}").st_ino
    except FileNotFoundError:
        return False
    ours = {os.getpid()} | {child.pid for child in psutil.Process().children(recursive=True)}
    for pid in set(psutil.pids()) - ours:
        with contextlib.suppress(OSError):  # it has ended
            maps = Path(f"/proc/{pid}/maps").read_text().splitlines()
            if any(f" {inode} " in line and "/dev/shm/" in line for line in maps):
                return True
    return False
