"""Finding files as a training script does when it starts: the whole tree, listed directory by directory."""

from __future__ import annotations

from collections.abc import Iterator

from ioprof.store.tap import Tap


def found_files(tap: Tap) -> Iterator[str]:
    """Yield the path of every file below the dataset's root; names that start with a dot are not its."""
    pending = [""]
    while pending:
        directory = pending.pop()
        for entry in tap.list(directory):
            if entry.name.startswith("."):
                continue
            path = f"{directory}/{entry.name}" if directory else entry.name
            if entry.is_dir:
                pending.append(path)
            else:
                yield path
