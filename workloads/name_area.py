"""Where one worker makes, renames and removes names: its part of the run's scratch directory."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from ioprof.store.base import Store
from ioprof.store.calls import Calls
from ioprof.store.local_tap import LocalTap
from ioprof.store.tap import Tap
from ioprof.trace.chains import Objects
from ioprof.trace.kinds import Kind

ATTRIBUTE = "user.ioprof"
_VALUE = b"1"
FILES = 100
"""Files that an area begins with, so that renaming and removing find some before creating comes in."""
DIRECTORIES = 10
_NEW = os.O_CREAT | os.O_EXCL | os.O_WRONLY


@dataclass(frozen=True, slots=True)
class NameCalls:
    """What operations on names are on one kind of store; each returns the places of those that failed."""

    tap: Tap
    root: str
    """In front of paths."""

    def each(self, kind: Kind, paths: Sequence[str], objects: Objects | None = None) -> Sequence[int]:
        """Do an operation that takes one path, on every path."""
        if not isinstance(self.tap, LocalTap):
            # Where nothing is opened, creating an object is putting it.
            done_as = Kind.PUT if kind is Kind.CREATE else kind
            return self.tap.on_each(done_as, _remote_calls(self.tap.store)[kind], paths, objects)
        if kind in (Kind.OPEN, Kind.CREATE):
            return self.tap.open_each(kind, _NEW if kind is Kind.CREATE else os.O_RDONLY, paths, objects)
        return self.tap.on_each(kind, _local_calls(self.tap.calls)[kind], paths, objects)

    def rename(self, pairs: Sequence[tuple[str, str]]) -> Sequence[int]:
        """Move every first path to its second."""
        if isinstance(self.tap, LocalTap):
            rename = self.tap.calls.rename
            return self.tap.on_each(Kind.RENAME, lambda pair: rename(pair[0], pair[1]), pairs, None)
        store = self.tap.store
        return self.tap.on_each(Kind.RENAME, lambda pair: store.rename(*pair), pairs, None)

    def walk(self, top: str) -> int:
        """List a directory and all below it, hidden ones apart; return the names found that are no directories."""
        found = 0
        below = [self.root + top]

        def look(path: str) -> None:
            nonlocal found
            for name, is_dir in _entries(self.tap, path):
                if name.startswith("."):
                    continue
                if is_dir:
                    deeper.append(f"{path.rstrip('/')}/{name}" if path else name)
                else:
                    found += 1

        while below:
            deeper: list[str] = []
            self.tap.on_each(Kind.LIST, look, below, None)
            below = deeper
        return found


@dataclass(slots=True)
class NameArea:
    """The names of one worker; every operation leaves out what failed.

    What one makes, another removes: the oldest file goes first. Where nothing is left to remove, something is made.
    """

    calls: NameCalls
    prefix: str
    """In front of every name: a directory of its own, or its own names in a shared one."""
    files: deque[str] = field(default_factory=deque)
    directories: deque[str] = field(default_factory=deque)
    attributed: list[str] = field(default_factory=list)
    """Files that carry the attribute and stay."""
    made: int = 0

    def prepare(self, names: Collection[str]) -> None:
        """Make what the operations of a mix need to begin with."""
        if {"rename", "unlink"} & set(names):
            self.create(FILES)
        if "rmdir" in names:
            self.make_dirs(DIRECTORIES)
        if {"getxattr", "setxattr"} & set(names):
            paths = self._new(FILES)
            self.calls.each(Kind.CREATE, paths)
            self.calls.each(Kind.SETXATTR, paths)
            self.attributed = paths

    def create(self, count: int) -> None:
        """Make files."""
        paths = self._new(count)
        self.files.extend(_kept(paths, self.calls.each(Kind.CREATE, paths)))

    def make_dirs(self, count: int) -> None:
        """Make directories."""
        paths = self._new(count)
        self.directories.extend(_kept(paths, self.calls.each(Kind.MKDIR, paths)))

    def unlink(self, count: int) -> None:
        """Remove the oldest files."""
        mine = _taken(self.files, count)
        self.calls.each(Kind.UNLINK, mine)
        if len(mine) < count:
            self.create(count - len(mine))

    def remove_dirs(self, count: int) -> None:
        """Remove the oldest directories."""
        mine = _taken(self.directories, count)
        self.calls.each(Kind.RMDIR, mine)
        if len(mine) < count:
            self.make_dirs(count - len(mine))

    def rename(self, count: int) -> None:
        """Give the oldest files new names; where there are fewer, the same ones again."""
        while count > 0:
            mine = _taken(self.files, count)
            if not mine:
                self.create(count)
                return
            new = self._new(len(mine))
            failed = self.calls.rename(list(zip(mine, new, strict=True)))
            self.files.extend(_kept(new, failed))
            count -= len(mine)

    def attributes(self, kind: Kind, samples: Sequence[int]) -> None:
        """Read or write the attribute of files."""
        self.calls.each(kind, [self.attributed[sample % len(self.attributed)] for sample in samples])

    def _new(self, count: int) -> list[str]:
        first = self.made
        self.made += count
        return [f"{self.prefix}{number}" for number in range(first, first + count)]


def _taken(names: deque[str], count: int) -> list[str]:
    return [names.popleft() for _ in range(min(count, len(names)))]


def _kept(paths: list[str], failed: Sequence[int]) -> list[str]:
    if not failed:
        return paths
    left_out = set(failed)
    return [path for place, path in enumerate(paths) if place not in left_out]


def _entries(tap: Tap, path: str) -> list[tuple[str, bool]]:
    if not isinstance(tap, LocalTap):
        return [(entry.name, entry.is_dir) for entry in tap.store.list(path)]
    with tap.calls.scandir(path) as entries:
        return [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]


def _local_calls(calls: Calls) -> dict[Kind, Callable[[str], object]]:
    return {
        Kind.STAT: calls.stat,
        Kind.LIST: calls.listdir,
        Kind.UNLINK: calls.unlink,
        Kind.MKDIR: calls.mkdir,
        Kind.RMDIR: calls.rmdir,
        Kind.GETXATTR: lambda path: calls.getxattr(path, ATTRIBUTE),
        Kind.SETXATTR: lambda path: calls.setxattr(path, ATTRIBUTE, _VALUE),
    }


def _remote_calls(store: Store) -> dict[Kind, Callable[[str], object]]:
    return {
        Kind.STAT: store.stat,
        Kind.LIST: store.list,
        Kind.UNLINK: store.unlink,
        Kind.MKDIR: store.make_dir,
        Kind.RMDIR: store.remove_dir,
        Kind.CREATE: lambda path: store.write(path, b""),
    }
