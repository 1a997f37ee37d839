"""The system calls that a local tap makes: the kernel's own, or ones that take as long as a throttled store's would.

The module `os` itself is the plain set: nothing stands between a tap and the kernel.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from ioprof.store.pace import Pace
from ioprof.trace.kinds import Kind


class Calls(Protocol):
    """Functions of `os` by their names, all arguments by position."""

    def open(self, path: str, flags: int, mode: int = ..., /) -> int:
        """Open a file."""
        ...

    def close(self, fd: int, /) -> None:
        """Close a descriptor."""
        ...

    def read(self, fd: int, length: int, /) -> bytes:
        """Read from where the descriptor stands."""
        ...

    def pread(self, fd: int, length: int, offset: int, /) -> bytes:
        """Read from an offset."""
        ...

    def preadv(self, fd: int, buffers: Sequence[memoryview], offset: int, /) -> int:
        """Read from an offset into memory."""
        ...

    def write(self, fd: int, content: memoryview, /) -> int:
        """Write where the descriptor stands."""
        ...

    def writev(self, fd: int, buffers: Sequence[memoryview], /) -> int:
        """Write several pieces where the descriptor stands."""
        ...

    def fsync(self, fd: int, /) -> None:
        """Make a file or directory durable."""
        ...

    def stat(self, path: str, /) -> os.stat_result:
        """Ask for a name's facts."""
        ...

    def listdir(self, path: str, /) -> list[str]:
        """Return the names of a directory."""
        ...

    def scandir(self, path: str, /) -> AbstractContextManager[Iterator[os.DirEntry[str]]]:
        """List a directory with the types of its entries."""
        ...

    def unlink(self, path: str, /) -> None:
        """Remove a file."""
        ...

    def mkdir(self, path: str, /) -> None:
        """Make a directory."""
        ...

    def rmdir(self, path: str, /) -> None:
        """Remove an empty directory."""
        ...

    def rename(self, old: str, new: str, /) -> None:
        """Give a file another name."""
        ...

    def getxattr(self, path: str, name: str, /) -> bytes:
        """Read an attribute."""
        ...

    def setxattr(self, path: str, name: str, content: bytes, /) -> None:
        """Write an attribute."""
        ...


class SlowedCalls:
    """The kernel's calls, each as long as a throttle asks."""

    def __init__(self, pace: Pace) -> None:
        self._timed = pace.timed

    def open(self, path: str, flags: int, mode: int = 0o777, /) -> int:
        """Open a file; a new one is an operation of kind create."""
        opened: list[int] = []
        kind = Kind.CREATE if flags & os.O_EXCL else Kind.OPEN
        try:
            self._timed(kind, lambda: opened.append(os.open(path, flags, mode)))
        except BaseException:
            # A signal's exception strikes most likely while the open file waits, and nobody would know of it.
            for descriptor in opened:
                os.close(descriptor)
            raise
        return opened[0]

    def close(self, fd: int, /) -> None:
        """Close a descriptor."""
        self._timed(Kind.CLOSE, lambda: os.close(fd))

    def read(self, fd: int, length: int, /) -> bytes:
        """Read from where the descriptor stands."""
        return self._timed(Kind.READ, lambda: os.read(fd, length), len)

    def pread(self, fd: int, length: int, offset: int, /) -> bytes:
        """Read from an offset."""
        return self._timed(Kind.READ, lambda: os.pread(fd, length, offset), len)

    def preadv(self, fd: int, buffers: Sequence[memoryview], offset: int, /) -> int:
        """Read from an offset into memory."""
        return self._timed(Kind.READ, lambda: os.preadv(fd, buffers, offset), int)

    def write(self, fd: int, content: memoryview, /) -> int:
        """Write where the descriptor stands."""
        return self._timed(Kind.WRITE, lambda: os.write(fd, content), int)

    def writev(self, fd: int, buffers: Sequence[memoryview], /) -> int:
        """Write several pieces where the descriptor stands."""
        return self._timed(Kind.WRITE, lambda: os.writev(fd, buffers), int)

    def fsync(self, fd: int, /) -> None:
        """Make a file or directory durable."""
        self._timed(Kind.FSYNC, lambda: os.fsync(fd))

    def stat(self, path: str, /) -> os.stat_result:
        """Ask for a name's facts."""
        return self._timed(Kind.STAT, lambda: os.stat(path))

    def listdir(self, path: str, /) -> list[str]:
        """Return the names of a directory."""
        return self._timed(Kind.LIST, lambda: os.listdir(path))

    def scandir(self, path: str, /) -> AbstractContextManager[Iterator[os.DirEntry[str]]]:
        """Begin to list a directory; the time is taken now."""
        return self._timed(Kind.LIST, lambda: os.scandir(path))

    def unlink(self, path: str, /) -> None:
        """Remove a file."""
        self._timed(Kind.UNLINK, lambda: os.unlink(path))

    def mkdir(self, path: str, /) -> None:
        """Make a directory."""
        self._timed(Kind.MKDIR, lambda: os.mkdir(path))

    def rmdir(self, path: str, /) -> None:
        """Remove an empty directory."""
        self._timed(Kind.RMDIR, lambda: os.rmdir(path))

    def rename(self, old: str, new: str, /) -> None:
        """Give a file another name."""
        self._timed(Kind.RENAME, lambda: os.rename(old, new))

    def getxattr(self, path: str, name: str, /) -> bytes:
        """Read an attribute."""
        return self._timed(Kind.GETXATTR, lambda: os.getxattr(path, name))

    def setxattr(self, path: str, name: str, content: bytes, /) -> None:
        """Write an attribute."""
        self._timed(Kind.SETXATTR, lambda: os.setxattr(path, name, content))
