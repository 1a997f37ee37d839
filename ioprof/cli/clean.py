"""The work of ``ioprof clean``: show what ioprof made on a store, ask, remove exactly that."""

from __future__ import annotations

import os
import sys

from rich.console import Console

from ioprof.checkpoint.names import LAYOUT as CHECKPOINTS
from ioprof.cli.prepare import open_show
from ioprof.dataset.clean import FoundDataset, Removed, find_datasets, remove
from ioprof.dataset.place import place
from ioprof.errors import StoreError, UsageError
from ioprof.store.base import Store
from ioprof.units import format_bytes, format_count

_SHOWN = 5


def clean_store(store: Store, url: str, *, console: Console, assume_yes: bool) -> int:
    """Remove every dataset of ioprof on a store and return the exit code.

    0: removed, or nothing was there. 1: something stayed, because it is not ioprof's, its marker is damaged,
    or the answer was no.

    Args:
        store: where to look: the place for datasets, or one dataset.
        url: what the user typed.
        console: where to show and ask, usually stderr.
        assume_yes: do not ask.

    Raises:
        UsageError: there is nobody to ask.
        StoreError: there is no such place, or the store refused.
    """
    if store.local_root is not None and not os.path.isdir(store.local_root):
        raise StoreError(f"{url}: no such directory; nothing to remove")
    found = find_datasets(store)
    if not found:
        _say(console, f"{url}: holds no dataset of ioprof; nothing to remove")
        return 0
    for dataset in found:
        _say(console, _line(dataset))
    sound = [dataset for dataset in found if dataset.state != "damaged"]
    if not sound or not (assume_yes or _agreed(console, len(sound))):
        return 1
    stayed = len(found) - len(sound)
    for dataset in sound:
        with open_show(console, quiet=False) as show:
            removed = remove(dataset, on_progress=show)
        _say(console, _removed_line(dataset, removed))
        stayed += removed.foreign
    return 1 if stayed else 0


def _agreed(console: Console, count: int) -> bool:
    if not (console.is_terminal and sys.stdin.isatty()):
        raise UsageError("clean asks before it removes, and there is no terminal to ask on; add --yes")
    try:
        answer = console.input(f"Remove {count} dataset{'s' if count > 1 else ''}? [y/N] ")
    except EOFError:
        return False
    return answer.strip().lower() in ("y", "yes")


def _line(dataset: FoundDataset) -> str:
    where = place(dataset.store)
    if dataset.state == "damaged":
        return f"{where}: left alone: {dataset.problem}"
    if dataset.identity.get("layout") == CHECKPOINTS:
        return f"{where}: checkpoints of a run, {format_bytes(dataset.size_bytes)} at most"
    objects, size = format_count(dataset.objects), format_bytes(dataset.size_bytes)
    if dataset.state == "preparing":
        written = format_count(dataset.recorded_objects)
        return f"{where}: {written} objects or a few more, of the {objects} ({size}) that it was to have"
    return f"{where}: {objects} objects, {size}, complete"


def _removed_line(dataset: FoundDataset, removed: Removed) -> str:
    line = f"{place(dataset.store)}: removed {format_count(removed.objects)} objects"
    if not removed.foreign:
        return line
    names = ", ".join(removed.foreign_paths[:_SHOWN]) + (", ..." if removed.foreign > _SHOWN else "")
    return f"{line}; left {format_count(removed.foreign)} that ioprof did not make: {names}"


def _say(console: Console, line: str) -> None:
    console.print(line, highlight=False, markup=False, soft_wrap=True)
