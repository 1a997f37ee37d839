"""What this process holds open, below one directory: what others leave to the collector does not count."""

from __future__ import annotations

import contextlib
from pathlib import Path


def open_below(directory: Path) -> list[Path]:
    """Return the open files at any depth below a directory."""
    found = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # that of the listing itself
            found.append(descriptor.readlink())
    return [path for path in found if path.is_relative_to(directory)]
