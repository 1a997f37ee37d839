"""Tar shards written by one worker: a shard grows under a name of its own and gets its final one when it is whole."""

from __future__ import annotations

import errno
import os

from ioprof.workloads.shards.tar import header

from ioprof.dataset.place import place
from ioprof.errors import StoreError, StoreFullError
from ioprof.formats.ustar import BLOCK_BYTES
from ioprof.store.base import Store
from ioprof.store.tap import Tap
from ioprof.store.tap_writer import TapWriter

PART = ".part"
"""Ends the name of a shard that is not whole yet."""
_END = bytes(2 * BLOCK_BYTES)
"""Two empty blocks end an archive."""
_FULL = (errno.ENOSPC, errno.EDQUOT)


def member_bytes(size_bytes: int) -> int:
    """Return what a member of so many bytes takes in an archive: header, content, padding."""
    return BLOCK_BYTES + -(-size_bytes // BLOCK_BYTES) * BLOCK_BYTES


class ShardWriter:
    """Writes one worker's shards of one epoch after the other."""

    def __init__(self, tap: Tap, directory: str, shard_bytes: int, *, sync: bool) -> None:
        """Begin in a directory of the worker's own.

        Args:
            tap: the traced store.
            directory: relative to the store's root.
            shard_bytes: a shard is whole when it holds so many bytes.
            sync: make every whole shard durable, and its name.
        Raises:
            StoreError: the directory cannot be made.
        """
        self._tap = tap
        self._directory = directory
        self._shard_bytes = shard_bytes
        self._sync = sync
        self._open: TapWriter | None = None
        self._shards = 0
        try:
            tap.make_dir(directory)
        except OSError as error:
            raise self._failure(error) from error

    def begin_epoch(self) -> None:
        """Finish what the epoch before left open, then remove its shards: an epoch's output takes the last one's place.

        Raises:
            StoreError: the store refused.
        """
        try:
            self._finish()
            for entry in self._tap.list(self._directory):
                self._tap.unlink(f"{self._directory}/{entry.name}")
        except OSError as error:
            raise self._failure(error) from error
        self._shards = 0

    def add(self, name: str, content: bytes) -> None:
        """Append a member; finish the shard if that makes it whole.

        Raises:
            StoreError: the store refused, or is full.
        """
        try:
            writer = self._open
            if writer is None:
                writer = self._open = self._tap.create_file(self._growing(), self._shards)
            writer.write(header(name, len(content)))
            writer.write(content)
            writer.write(bytes(-len(content) % BLOCK_BYTES))
            if writer.size_bytes + len(_END) >= self._shard_bytes:
                self._finish()
        except OSError as error:
            raise self._failure(error) from error

    def flush(self) -> None:
        """Hand over what a local file still holds back, so that nothing of a batch is lost with its worker.

        Raises:
            StoreError: the store refused, or is full.
        """
        if self._open is None or self._tap.store.local_root is None:
            return
        try:
            self._open.commit(sync=False)
        except OSError as error:
            raise self._failure(error) from error

    def end_epoch(self) -> None:
        """Finish the shard that is open, however small it is.

        Raises:
            StoreError: the store refused, or is full.
        """
        try:
            self._finish()
        except OSError as error:
            raise self._failure(error) from error

    def _finish(self) -> None:
        writer, self._open = self._open, None
        if writer is None:
            return
        with writer:
            writer.write(_END)
            writer.commit(sync=self._sync)
        if self._growing() != self._path():
            self._tap.rename(self._growing(), self._path(), self._shards)
        if self._sync:
            self._tap.sync_dir(self._directory)
        self._shards += 1

    def _path(self) -> str:
        return f"{self._directory}/shard-{self._shards:06d}.tar"

    def _growing(self) -> str:
        """Return what the open shard is called; one put as an object appears whole, and a rename would copy it."""
        return self._path() + (PART if self._tap.store.local_root is not None else "")

    def _failure(self, error: OSError) -> StoreError:
        writer, self._open = self._open, None
        if writer is not None:
            writer.close()
        where, why = f"{place(self._tap.store)}/{self._directory}", error.strerror or str(error)
        if error.errno in _FULL:
            return StoreFullError(
                f"{where}: full ({why}) after {self._shards} shards of this worker; the output is removed; free some "
                "space, or use fewer or smaller files"
            )
        return StoreError(f"{where}: writing a shard failed: {why}")


def end_shard(store: Store, path: str) -> None:
    """Make a local shard whole that its worker left: cut what is not a whole member, end it, give it its name.

    Raises:
        OSError: the store refused.
    """
    full = f"{store.local_root}/{path}"
    descriptor = os.open(full, os.O_RDWR | os.O_CLOEXEC)
    try:
        end = _whole_members(descriptor)
        os.ftruncate(descriptor, end)
        os.pwrite(descriptor, _END, end)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    store.rename(path, path.removesuffix(PART))


def _whole_members(descriptor: int) -> int:
    """Return where the last whole member of an archive ends."""
    size_bytes, at = os.fstat(descriptor).st_size, 0
    while len(head := os.pread(descriptor, BLOCK_BYTES, at)) == BLOCK_BYTES and head[257:262] == b"ustar":
        after = at + member_bytes(int(head[124:135], 8))
        if after > size_bytes:
            break
        at = after
    return at
