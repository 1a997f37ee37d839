"""A directory on this host, reached by plain os calls."""

from __future__ import annotations

import os

from ioprof.store.base import Capacity, Entry

_open, _read, _close = os.open, os.read, os.close
_READ_FLAGS = os.O_RDONLY | os.O_CLOEXEC


class LocalStore:
    """A store whose paths are files below one directory; no layer between the caller and the kernel."""

    __slots__ = ("_prefix", "local_root", "url")

    def __init__(self, root: str) -> None:
        """Root the store at ``root``; the directory need not exist yet."""
        self.local_root: str | None = os.path.abspath(root)
        self.url = self.local_root
        self._prefix = self.local_root.rstrip("/") + "/"

    def list(self, path: str = "") -> list[Entry]:
        """Return the entries of a directory, in the kernel's order; sizes are not asked for."""
        with os.scandir(self._prefix + path) as entries:
            return [Entry(name=e.name, is_dir=e.is_dir(follow_symlinks=False), size_bytes=None) for e in entries]

    def stat(self, path: str) -> Entry:
        """Return what is known of one name."""
        found = os.stat(self._prefix + path)
        is_dir = (found.st_mode & 0o170000) == 0o040000
        return Entry(name=path.rpartition("/")[2], is_dir=is_dir, size_bytes=found.st_size)

    def read(self, path: str, size_bytes: int | None = None) -> bytes:
        """Return the whole object; a caller who knows its size saves asking for it."""
        descriptor = _open(self._prefix + path, _READ_FLAGS)
        try:
            wanted = os.fstat(descriptor).st_size if size_bytes is None else size_bytes
            content = _read(descriptor, wanted)
            if len(content) == wanted:
                return content
            return _rest(descriptor, content, wanted)
        finally:
            _close(descriptor)

    def read_range(self, path: str, offset: int, size_bytes: int) -> bytes:
        """Return the bytes of an object from ``offset`` on; fewer than ``size_bytes`` where it ends before."""
        descriptor = _open(self._prefix + path, _READ_FLAGS)
        try:
            return os.pread(descriptor, size_bytes, offset)
        finally:
            _close(descriptor)

    def write(self, path: str, content: bytes | bytearray | memoryview, *, sync: bool = False) -> None:
        """Create or replace an object; ``sync`` also makes it durable."""
        descriptor = os.open(self._prefix + path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o666)
        try:
            left = memoryview(content)
            while left:
                left = left[os.write(descriptor, left) :]
            if sync:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def make_dir(self, path: str) -> None:
        """Create a directory and its parents; no error if it exists."""
        os.makedirs(self._prefix + path, exist_ok=True)

    def rename(self, old: str, new: str) -> None:
        """Move one object, replacing the target."""
        os.replace(self._prefix + old, self._prefix + new)

    def unlink(self, path: str) -> None:
        """Remove one object."""
        os.unlink(self._prefix + path)

    def remove_dir(self, path: str) -> None:
        """Remove an empty directory."""
        os.rmdir(self._prefix + path)

    def capacity(self) -> Capacity:
        """Return what unprivileged users may still write on the nearest existing parent's filesystem."""
        path = self._prefix
        while not os.path.exists(path):
            path = os.path.dirname(path.rstrip("/")) or "/"
        found = os.statvfs(path)
        # Filesystems without an inode table (btrfs, some network ones) report zero inodes in total.
        inodes = found.f_favail if found.f_files else None
        return Capacity(
            free_bytes=found.f_bavail * found.f_frsize,
            free_inodes=inodes,
            total_bytes=found.f_blocks * found.f_frsize,
        )

    def at(self, path: str) -> LocalStore:
        """Return the same store rooted at a directory below."""
        return LocalStore(self._prefix + path)


def _rest(descriptor: int, content: bytes, wanted: int) -> bytes:
    """Go on after a partial read: the kernel caps one read at 2 GiB; the end of the file ends it early."""
    parts, left = [content], wanted - len(content)
    while left > 0 and parts[-1]:
        parts.append(_read(descriptor, left))
        left -= len(parts[-1])
    return b"".join(parts)
