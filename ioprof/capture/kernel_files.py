"""Files that the kernel makes up: no data lies in them, though it counts reading them as reading."""

from __future__ import annotations

import os
from pathlib import Path

_FOLDERS = ("proc", "sys", "dev")
_MEMORY = ("dev", "shm")
"""What lies there is somebody's data."""
_stat = os.stat
_DEVICES = ("/proc", "/sys", "/sys/fs/cgroup", "/sys/kernel/debug", "/sys/kernel/tracing")


def is_kernels(path: object) -> bool:
    """Tell whether a path, as a file call is given it, leads to such a file; judged by the path alone."""
    if not isinstance(path, (str, os.PathLike)):
        return False
    text = os.fspath(path)
    if not isinstance(text, str) or not text.startswith("/"):
        return False
    _, first, *rest = text.split("/", 3)
    return first in _FOLDERS and bool(rest) and (first, rest[0]) != _MEMORY


def kernel_devices() -> list[int]:
    """Return ``st_dev`` of the file systems that hold such files."""
    return [_stat(path).st_dev for path in _DEVICES if Path(path).is_dir()]
