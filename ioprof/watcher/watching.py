"""`ioprof.watch(loader)`: two lines around a training loop."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sized
from pathlib import Path
from types import TracebackType
from typing import Generic, Literal, Self, SupportsIndex, TypeVar, cast

from rich.console import Console

from ioprof.api import Run, leave_page, load
from ioprof.errors import RunError, SpecError
from ioprof.report.jsonfile import write_summary
from ioprof.report.terminal import render
from ioprof.watcher.facts import torch_loader
from ioprof.watcher.session import WatchSession

Item = TypeVar("Item", covariant=True)
Device = Literal["auto", "cpu", "cuda"]
_DEVICES = ("auto", "cpu", "cuda")


class Watched(Generic[Item]):
    """A loader and, beside it, the recording of what it does: iterate over it, ask it for anything the loader has.

    Batches, their order, exceptions, ``len`` and attributes are the loader's own. Used with or without ``with``; what
    ends the block is told in the run directory, and goes on to whoever is to hear of it.
    """

    _loader: Iterable[Item]
    _session: WatchSession
    _items: Iterator[Item] | None

    def __init__(self, loader: Iterable[Item], session: WatchSession) -> None:
        vars(self).update(_loader=loader, _session=session, _items=None)

    def __iter__(self) -> Iterator[Item]:
        """Iterate over the loader."""
        loader, session = self._loader, self._session
        if torch_loader(loader) is None:
            return cast("Iterator[Item]", session.iterate(loader))
        session.attach(loader)
        return iter(loader)

    def __next__(self) -> Item:
        """Return the next batch of a loader that is its own iterator.

        Raises:
            TypeError: it is not.
        """
        if not isinstance(self._loader, Iterator):
            raise TypeError(f"'{type(self._loader).__name__}' object is not an iterator")
        items = self._items
        if items is None:
            vars(self)["_items"] = items = iter(self)
        return next(items)

    def __len__(self) -> int:
        return len(cast("Sized", self._loader))

    def __bool__(self) -> bool:
        return bool(self._loader)

    def __getitem__(self, key: SupportsIndex) -> object:
        return cast("list[object]", self._loader)[key]

    def __getattr__(self, name: str) -> object:
        return getattr(self._loader, name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self._loader, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self._loader, name)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._session.close(error)

    @property
    def directory(self) -> Path | None:
        """The run directory; None before the first batch is asked for, and where none could be made."""
        return self._session.directory

    @property
    def run(self) -> Run:
        """The run, analysed: what was recorded so far, where the recording still goes on.

        Raises:
            RunError: nothing was recorded.
            RunDirectoryError: what was recorded cannot be read.
        """
        directory, session = self._session.directory, self._session
        if directory is None or not (directory / "run.json").exists():
            why = session.failure or "no batch was asked for; iterate over what ioprof.watch returned"
            raise RunError(f"nothing was recorded: {why}")
        return load(directory)

    def report(self) -> None:
        """Print the report of what was recorded so far, as ``ioprof report`` does; a closed run gets its report.html.

        Raises:
            RunError: nothing was recorded.
            RunDirectoryError: what was recorded cannot be read.
        """
        found = self.run
        if found.record.outcome != "running":
            # What would help takes seconds to predict: nobody waits for that where a recording ends.
            write_summary(found.directory, found.summary)
            leave_page(found)
        console = Console(highlight=False)
        for line in render(found.summary, found.record, console.width):
            console.print(line, soft_wrap=True)
        console.print(f"\nioprof report {found.directory}", style="dim", soft_wrap=True)


def watch(
    loader: Iterable[Item],
    *,
    results: Path | str = "results",
    label: str | None = None,
    warmup: int | Literal["auto"] = "auto",
    device: Device = "auto",
) -> Watched[Item]:
    """Watch a loader while a program of your own uses it.

    Used like this::

        with ioprof.watch(train_loader) as watched:
            for batch in watched:
                train_step(batch)
        watched.report()

    Args:
        loader: a torch DataLoader, whose workers are watched too, or any iterable of batches, of which only the
            consumer's side is seen.
        results: folder that gets the run directory.
        label: added to its name: letters, digits, and ``._-``.
        warmup: first steps to leave out of the figures; ``auto``: as many as prove to be start-up.
        device: where the accelerator's work is timed. ``cpu``: it is the program's own time between two batches;
            ``cuda``: by events in the device's stream; ``auto``: ``cuda`` where the program has used it before the
            loop, else ``cpu``.

    Raises:
        SpecError: a setting is wrong.
        TypeError: the loader cannot be iterated over.

    Whatever else goes wrong on ioprof's side, such as a full disk, is warned of once, and the program goes on.
    """
    if not any(hasattr(type(loader), name) for name in ("__iter__", "__getitem__")):
        raise TypeError(f"'{type(loader).__name__}' object is not iterable")
    if device not in _DEVICES:
        raise SpecError(f"device = {device!r}: one of {', '.join(_DEVICES)}")
    return Watched(loader, WatchSession(Path(results), label=label, warmup=warmup, device=device))
