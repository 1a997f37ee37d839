"""Saves and restores: one thread per shard writes, syncs and renames; one thread leads them.

The consumer's thread never writes itself: Ctrl-C must find it waiting, where it can be heard, and not inside torch.
A save is done when every shard has its final name and, with fsync, the directory is durable as well.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import pickle
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from ioprof.checkpoint.names import PARTIAL, shard_name
from ioprof.clock import now_ns
from ioprof.store.base import Store
from ioprof.store.local_tap import tap_store
from ioprof.store.tap import Tap
from ioprof.store.tap_file import TapFile
from ioprof.trace.kinds import CHECKPOINT_BATCH, Phase
from ioprof.trace.recorder import Recorder

if TYPE_CHECKING:
    from ioprof.checkpoint.state import ShardState

FIRST_WORKER = -3
"""Worker number of the first shard's writer in the trace; the next ones count down from it."""
_SPAN_BUDGET = 100_000
_READ_BYTES = 4096
"""Small reads are gathered in pieces of so many bytes, as C's standard input does it."""
_UNREADABLE = (OSError, RuntimeError, ValueError, EOFError, KeyError, pickle.UnpicklingError)
"""What torch.load may raise of a damaged file."""
_Result = TypeVar("_Result")


class AbandonedError(OSError):
    """The run ends: what is being saved is dropped."""

    def __init__(self) -> None:
        super().__init__(errno.ECANCELED, "the run ended while it was written")


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """What became of one save."""

    step: int
    begun_ns: int
    """When the first writer began."""
    durable_ns: int
    """When the last shard stood under its name; -1: never."""
    ended_ns: int
    """When older saves were removed as well."""
    size_bytes: int
    """Bytes of the files, all shards."""
    error: OSError | None
    """Why it does not stand."""
    removal_error: OSError | None = None
    """Why older saves stand beside it, more than were asked for; the next save tries to remove them again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What reading a save back took."""

    step: int
    start_ns: int
    end_ns: int
    size_bytes: int
    states: list[ShardState]
    """The state that was read, shard by shard."""


class Saver:
    """Saves a state to a folder again and again, and reads the last save back."""

    def __init__(self, folder: Store, trace_dir: str, *, rank: int, shards: int, fsync: bool, keep: int) -> None:
        """Open a recorder for each shard.

        Args:
            folder: store rooted where the files go.
            trace_dir: where recorders write.
            rank: of the accelerator whose state it is.
            shards: files of one save, each with a writer of its own.
            fsync: whether a save waits until its bytes and names are durable.
            keep: saves that stay.

        Raises:
            RunDirectoryError: the trace directory is not writable or full.
        """
        self._folder = folder
        self._shards = shards
        self._fsync = fsync
        self._keep = keep
        self._cancelled = threading.Event()
        self._recorders: list[Recorder] = []
        with contextlib.ExitStack() as opened:
            for shard in range(shards):
                recorder = Recorder(trace_dir, rank=rank, worker=FIRST_WORKER - shard, span_budget=_SPAN_BUDGET)
                opened.callback(recorder.close)
                recorder.begin(Phase.CHECKPOINT, batch=CHECKPOINT_BATCH)
                self._recorders.append(recorder)
            self._taps = [tap_store(folder, recorder) for recorder in self._recorders]
            opened.pop_all()
        self._writers = ThreadPoolExecutor(shards, thread_name_prefix="checkpoint-shard")
        self._leader = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._standing: list[tuple[int, list[int]]] = []

    def save(self, step: int, states: Sequence[ShardState]) -> Future[Saved]:
        """Begin to save the state after ``step``; the one before must have ended."""
        return self._leader.submit(self._save, step, states)

    def restore(self) -> Future[Restored] | None:
        """Begin to read the last save back, evicted from the page cache before; None where there is none."""
        return self._leader.submit(self._restore, *self._standing[-1]) if self._standing else None

    def close(self) -> None:
        """Drop what is being saved, and release everything; safe to call twice."""
        self._cancelled.set()
        self._leader.shutdown()
        self._writers.shutdown()
        for recorder in self._recorders:
            recorder.close()

    def _save(self, step: int, states: Sequence[ShardState]) -> Saved:
        begun_ns, durable_ns, error, removal_error, sizes = now_ns(), -1, None, None, list[int]()
        try:
            sizes = self._each(lambda shard: self._write(step, shard, states[shard]))
            if self._fsync:
                self._taps[0].sync_dir("")
            durable_ns = now_ns()
            self._standing.append((step, sizes))
            removal_error = self._remove_old()
        except OSError as failure:
            error = failure
            self._remove_save(step)
        for recorder in self._recorders:
            recorder.end()
        return Saved(
            step=step,
            begun_ns=begun_ns,
            durable_ns=durable_ns,
            ended_ns=now_ns(),
            size_bytes=sum(sizes),
            error=error,
            removal_error=removal_error,
        )

    def _write(self, step: int, shard: int, state: ShardState) -> int:
        """Write one shard under a temporary name, make it durable, and give it its name; return its bytes."""
        from ioprof.checkpoint.state import save

        tap, name = self._taps[shard], shard_name(step, shard, self._shards)
        # Where objects are put in one request, a temporary name would only be a second copy.
        path = name + PARTIAL if self._folder.local_root is not None else name
        with self._removed_if_it_fails(tap, path, shard):
            with tap.create_file(path, shard) as file:
                save(state, lambda content: self._checked(file.write(content)))
                self._checked(0)
                file.commit(sync=self._fsync)
            if path != name:
                tap.rename(path, name, shard)
        return file.size_bytes

    def _checked(self, written: int) -> int:
        """Pass a number through, unless the run ends.

        Raises:
            AbandonedError: it does.
        """
        if self._cancelled.is_set():
            raise AbandonedError
        return written

    @contextlib.contextmanager
    def _removed_if_it_fails(self, tap: Tap, path: str, shard: int) -> Iterator[None]:
        try:
            yield
        except BaseException:
            if self._folder.local_root is not None:
                # What failed is told; that its rest cannot be removed either adds nothing.
                with contextlib.suppress(OSError):
                    tap.unlink(path, shard)
            raise

    def _remove_save(self, step: int) -> None:
        """Remove the shards of a save that will never be whole."""
        for shard in range(self._shards):
            # What made the save fail is told; that its rest cannot be removed either adds nothing.
            with contextlib.suppress(OSError):
                self._folder.unlink(shard_name(step, shard, self._shards))

    def _remove_old(self) -> OSError | None:
        """Remove what is older than the saves that stay; return why one could not be removed."""
        try:
            while len(self._standing) > self._keep:
                step, sizes = self._standing[0]
                for shard in range(len(sizes)):
                    # Gone already where another shard of it failed before: the whole save is tried again.
                    with contextlib.suppress(FileNotFoundError):
                        self._taps[0].unlink(shard_name(step, shard, self._shards), shard)
                del self._standing[0]
        except OSError as failure:
            return failure
        return None

    def _restore(self, step: int, sizes: list[int]) -> Restored:
        self._evict(step)
        start_ns = now_ns()
        try:
            states = self._each(lambda shard: self._read(shard_name(step, shard, self._shards), shard, sizes[shard]))
        finally:
            end_ns = now_ns()
            for recorder in self._recorders:
                recorder.end()
        return Restored(step=step, start_ns=start_ns, end_ns=end_ns, size_bytes=sum(sizes), states=states)

    def _read(self, name: str, shard: int, size_bytes: int) -> ShardState:
        """Read one shard.

        Raises:
            OSError: it could not be read whole, or is nothing that torch can load.
        """
        from ioprof.checkpoint.state import load

        tap = self._taps[shard]
        if self._folder.local_root is None:
            contents = tap.read_objects([name], [size_bytes], [shard])
            if not contents:
                raise OSError(errno.EIO, f"{name} could not be read whole")
            try:
                return load(io.BytesIO(contents[0]))
            except _UNREADABLE as error:
                raise _damaged(name) from error
        with tap.open_file(name, shard) as file:
            readable = _Readable(file, size_bytes)
            try:
                return load(io.BufferedReader(readable, _READ_BYTES))
            except _UNREADABLE as error:
                # torch hides what a read failed of.
                raise readable.failure or _damaged(name) from error

    def _evict(self, step: int) -> None:
        """Drop the files from this host's page cache; unsynced ones are written back before, outside of the trace."""
        if self._folder.local_root is None:
            return
        for shard in range(self._shards):
            path = os.path.join(self._folder.local_root, shard_name(step, shard, self._shards))
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(descriptor)

    def _each(self, work: Callable[[int], _Result]) -> list[_Result]:
        """Do the same for every shard, each in its own thread; all have ended when this returns or raises."""
        running = [self._writers.submit(work, shard) for shard in range(self._shards)]
        wait(running)
        return [one.result() for one in running]


def _damaged(name: str) -> OSError:
    return OSError(errno.EIO, f"{name} is damaged: torch cannot load it")


class _Readable(io.RawIOBase):
    """A traced file as torch.load wants it: readable and seekable."""

    def __init__(self, file: TapFile, size_bytes: int) -> None:
        self._file = file
        self._size_bytes = size_bytes
        self._at = 0
        self.failure: OSError | None = None

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a byte and return its place."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size_bytes}[whence]
        self._at = base + offset
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill as much of a buffer as the file has left, and return how much that was."""
        wanted = max(0, min(len(buffer), self._size_bytes - self._at))
        if wanted:
            try:
                self._file.read_into(memoryview(buffer).cast("B")[:wanted], self._at)
            except OSError as error:
                self.failure = error
                raise
            self._at += wanted
        return wanted
