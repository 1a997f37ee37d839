"""What an interpreter of a profiled program does first: wait for the libraries whose loaders can be watched.

Nothing heavy is imported here: most interpreters of a program never load data.
"""

from __future__ import annotations

from types import ModuleType

from ioprof.profile.importing import after_import
from ioprof.profile.notes import note_unwatched

LOADERS = {
    "torch.utils.data.dataloader": "DataLoader",
    "torchdata.stateful_dataloader.stateful_dataloader": "StatefulDataLoader",
}
"""Modules, and the class of each whose objects are watched when they are iterated over."""


def install(folder: str) -> None:
    """Have loaders watched as soon as there are any; ``folder`` is the shared one of the session."""

    def found(module: ModuleType) -> None:
        try:
            from ioprof.profile.patch import watch_class

            watch_class(getattr(module, LOADERS[module.__name__]), folder)
        except Exception as error:  # noqa: BLE001 - whatever it is, the program's own import goes on
            note_unwatched(folder, f"{type(error).__name__}: {error}")

    after_import(dict.fromkeys(LOADERS, found))
