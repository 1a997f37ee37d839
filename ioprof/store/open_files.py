"""Files that a reader keeps open from batch to batch, the least recently used closed first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from ioprof.store.tap_file import TapFile
from ioprof.store.tap_map import LocalTapMap


class OpenFiles:
    """At most so many open files of one tap."""

    def __init__(self, most: int, open_one: Callable[[int], TapFile]) -> None:
        """Say how files are opened.

        Args:
            most: files open at a time; at least 1.
            open_one: opens object number so-and-so.
        """
        self._most = most
        self._open_one = open_one
        self._files: OrderedDict[int, TapFile] = OrderedDict()

    def file(self, obj: int) -> TapFile:
        """Return an object, opened where it is not.

        Raises:
            OSError: it cannot be opened; the error is counted.
        """
        found = self._files.get(obj)
        if found is not None:
            self._files.move_to_end(obj)
            return found
        while len(self._files) >= self._most:
            self._files.popitem(last=False)[1].close()
        self._files[obj] = opened = self._open_one(obj)
        return opened

    def unmap(self) -> None:
        """Give mappings back and keep descriptors: mapped pages cannot be evicted from the page cache."""
        for file in self._files.values():
            if isinstance(file, LocalTapMap):
                file.unmap()

    def close(self) -> None:
        """Close them all; safe to call twice."""
        while self._files:
            self._files.popitem()[1].close()
