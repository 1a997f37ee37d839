"""The interface every store offers; paths are relative to the store's root, with forward slashes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One name on a store."""

    name: str
    """Last part of the path."""
    is_dir: bool
    size_bytes: int | None
    """None where the listing does not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """What is left on a store; None where the store cannot say."""

    free_bytes: int | None
    free_inodes: int | None
    total_bytes: int | None


class Store(Protocol):
    """Untraced storage operations; picklable, usable after fork and spawn.

    Operations raise OSError (FileNotFoundError and the like); remote stores' own exceptions are translated.
    """

    url: str
    local_root: str | None
    """Absolute path of the root where plain os calls reach it, else None."""

    def list(self, path: str = "") -> list[Entry]:
        """Return the entries of a directory, in the store's order."""
        ...

    def stat(self, path: str) -> Entry:
        """Return what is known of one name."""
        ...

    def read(self, path: str, size_bytes: int | None = None) -> bytes:
        """Return the whole object; ``size_bytes`` is its size where the caller knows it."""
        ...

    def read_range(self, path: str, offset: int, size_bytes: int) -> bytes:
        """Return the bytes of an object from ``offset`` on; fewer than ``size_bytes`` where it ends before."""
        ...

    def write(self, path: str, content: bytes | bytearray | memoryview, *, sync: bool = False) -> None:
        """Create or replace an object; its directory exists. ``sync`` also makes it durable."""
        ...

    def make_dir(self, path: str) -> None:
        """Create a directory and its parents; no error if it exists. Object stores have nothing to do."""
        ...

    def rename(self, old: str, new: str) -> None:
        """Move one object, replacing the target."""
        ...

    def unlink(self, path: str) -> None:
        """Remove one object."""
        ...

    def remove_dir(self, path: str) -> None:
        """Remove an empty directory; object stores have nothing to do."""
        ...

    def capacity(self) -> Capacity:
        """Return the space left."""
        ...

    def at(self, path: str) -> Store:
        """Return the same store rooted at a directory below."""
        ...
