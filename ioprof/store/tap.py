"""Traced storage operations: every call leaves its kind, stamps, bytes and outcome in the process's recorder."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from ioprof.clock import as_ns
from ioprof.errors import StoreError
from ioprof.store.base import Entry, Store
from ioprof.store.cache_witness import CacheWitness
from ioprof.store.direct_file import AlignedBuffer
from ioprof.store.open_files import OpenFiles
from ioprof.store.pace import Pace
from ioprof.store.tap_file import RemoteTapFile, TapFile
from ioprof.store.tap_map import Advice
from ioprof.store.tap_writer import RemoteTapWriter, TapWriter
from ioprof.store.whole_read import PAGE_MASK, pages_of_range, touched_pages
from ioprof.trace.chains import Objects, object_at
from ioprof.trace.kinds import SHORT_READ, Kind, error_code
from ioprof.trace.place_word import GET_FROM_0
from ioprof.trace.recorder import Recorder

_now = time.perf_counter_ns
_now_s = time.perf_counter
_Result = TypeVar("_Result")
_Content = TypeVar("_Content", bound=bytes | memoryview)
_Target = TypeVar("_Target")


class Tap:
    """The traced side of a store in one process.

    Attributes:
        root: what goes in front of object paths for `read_objects`.
        mapped_bytes: those of the tapped bytes that were copied out of mapped files, which read(2) knows nothing of.
        kept: files that a reader keeps open from batch to batch; they end with the tap.
        pace: what makes the operations of a throttled store last; None where they are the store's own.
        decodes: False hands samples on as they were read, for who asks what the store alone gives.
        witness: asks what the page cache holds of what is about to be read; asks nothing by itself.
    """

    def __init__(self, store: Store, recorder: Recorder) -> None:
        self.store = store
        self.root = ""
        self.recorder = recorder
        self._tally = recorder.tally
        self._range_end = -1
        self.mapped_bytes = 0
        self.kept: OpenFiles | None = None
        self.pace: Pace | None = None
        self.decodes = True
        self.witness = CacheWitness(recorder)

    @property
    def tapped_bytes(self) -> int:
        """Bytes read so far; compared with the kernel's own count."""
        return self._tally.tapped_bytes

    @property
    def tapped_page_bytes(self) -> int:
        """The same with every object rounded up to whole pages, as the kernel counts what it fetches."""
        return self._tally.tapped_page_bytes

    @property
    def touched_page_bytes(self) -> int:
        """The same with every page that a range reaches into.

        It is above the former where ranges begin or end inside pages: the most that the kernel may have had to fetch.
        """
        return self._tally.touched_page_bytes

    @property
    def failed_samples(self) -> int:
        """Object reads that did not deliver."""
        return self._tally.failed_samples

    @failed_samples.setter
    def failed_samples(self, samples: int) -> None:
        self._tally.failed_samples = samples

    def list(self, path: str) -> list[Entry]:
        """List a directory.

        Raises:
            OSError: it failed; the error is counted.
        """
        return self._timed(Kind.LIST, -1, lambda: self.store.list(path))

    def stat(self, path: str, obj: int = -1) -> Entry:
        """Ask for one name's facts.

        Raises:
            OSError: it failed; the error is counted.
        """
        return self._timed(Kind.STAT, obj, lambda: self.store.stat(path))

    def open_file(self, path: str, obj: int = -1, *, sequential: bool = False) -> TapFile:
        """Open an object to be read piece by piece.

        Args:
            path: relative to the store's root.
            obj: the object's index.
            sequential: tell the kernel that the file is read front to back; nothing where it is none of the kernel's.
        Raises:
            OSError: it cannot be opened; the error is counted.
        """
        return RemoteTapFile(self.store, path, obj, self.recorder, self._tapped)

    def create_file(self, path: str, obj: int = -1) -> TapWriter:
        """Start a new object that is written piece by piece; there must be none of that name.

        Raises:
            OSError: it cannot be created; the error is counted.
        """
        return RemoteTapWriter(self.store, path, obj, self.recorder)

    def sync_dir(self, path: str) -> None:
        """Make the names in a directory durable; a remote store that has answered has them.

        Raises:
            OSError: it failed; the error is counted.
        """

    def open_direct(self, path: str, obj: int, *, buffer: AlignedBuffer, block_bytes: int) -> TapFile:
        """Open an object to be read around this host's page cache.

        Args:
            path: relative to the store's root.
            obj: the object's index.
            buffer: what reads go through.
            block_bytes: the device's logical block.
        Raises:
            OSError: it cannot be opened; the error is counted.
            StoreError: the store is not a local path.
        """
        raise StoreError(f"{self.store.url}: only files on a local path can be read with O_DIRECT")

    def map_file(self, path: str, obj: int, size_bytes: int, advice: Advice) -> TapFile:
        """Return an object to be read through a memory mapping; it is mapped with the first read.

        Args:
            path: relative to the store's root.
            obj: the object's index.
            size_bytes: how long it should be; a shorter one is refused.
            advice: what the kernel is told of the accesses to come.
        Raises:
            StoreError: the store is not a local path.
        """
        raise StoreError(f"{self.store.url}: only files on a local path can be mapped")

    def unmap(self) -> None:
        """Give the mappings of kept files back, so that the page cache can evict them."""
        if self.kept is not None:
            self.kept.unmap()

    def close(self) -> None:
        """Close the files that are kept open; safe to call twice."""
        if self.kept is not None:
            self.kept.close()

    def lose(self, samples: int) -> None:
        """Count samples that will not be delivered; the operation that failed has been recorded already."""
        self._tally.failed_samples += samples

    def reject(self, code: int, obj: int, samples: int = 1) -> None:
        """Count samples of object ``obj`` whose bytes came but are wrong: one error of kind decode.

        Args:
            code: what is wrong with them, an error code of `ioprof.trace.kinds`.
            obj: the object's index.
            samples: how many will not be delivered for it.
        """
        self._failed(Kind.DECODE, _now(), obj, code)
        self._tally.failed_samples += samples - 1

    def write(self, path: str, content: bytes | bytearray | memoryview, obj: int = -1, *, sync: bool = False) -> None:
        """Create or replace an object; ``sync`` also makes it durable.

        Raises:
            OSError: it failed; the error is counted.
        """
        self._timed(Kind.PUT, obj, lambda: self.store.write(path, content, sync=sync), len(content))

    def rename(self, old: str, new: str, obj: int = -1) -> None:
        """Move one object, replacing the target.

        Raises:
            OSError: it failed; the error is counted.
        """
        self._timed(Kind.RENAME, obj, lambda: self.store.rename(old, new))

    def unlink(self, path: str, obj: int = -1) -> None:
        """Remove one object.

        Raises:
            OSError: it failed; the error is counted.
        """
        self._timed(Kind.UNLINK, obj, lambda: self.store.unlink(path))

    def make_dir(self, path: str) -> None:
        """Create a directory and its parents; no error if it exists.

        Raises:
            OSError: it failed; the error is counted.
        """
        self._timed(Kind.MKDIR, -1, lambda: self.store.make_dir(path))

    def remove_dir(self, path: str) -> None:
        """Remove an empty directory.

        Raises:
            OSError: it failed; the error is counted.
        """
        self._timed(Kind.RMDIR, -1, lambda: self.store.remove_dir(path))

    def on_each(
        self, kind: Kind, call: Callable[[_Target], object], targets: Sequence[_Target], objects: Objects | None
    ) -> Sequence[int]:
        """Do one operation after the other, each on its own target, and return the places of those that failed.

        A failure is recorded with its error and counts as a failed sample; the rest goes on.

        Args:
            kind: what ``call`` does.
            call: the operation; an `OSError` is its failure.
            targets: what it is called with.
            objects: index of each target's object; None where they have none.
        """
        now, failed, place = _now_s, list[int](), 0
        left = iter(targets)
        while place < len(targets):
            stamps = [now()]
            note = stamps.append
            try:
                # The end of one operation is the start of the next: a clock read and an append are all that a name
                # pays here, because a cached stat takes little more than a microsecond.
                for target in left:
                    call(target)
                    note(now())
            except OSError as error:
                done = self._chained((kind,), stamps, objects, place)
                self._failed(kind, as_ns(stamps[-1]), object_at(objects, done), error_code(error))
                failed.append(done)
                place = done + 1
            else:
                place = self._chained((kind,), stamps, objects, place)
        return failed

    def _chained(self, kinds: Sequence[Kind], stamps_s: Sequence[float], objects: Objects | None, first: int) -> int:
        """Record the operations of whole objects from ``first`` on; return the place after the last of them."""
        stop = first + (len(stamps_s) - 1) // len(kinds)
        if stop > first:
            whole = (stop - first) * len(kinds) + 1
            self.recorder.record_chain(
                kinds,
                stamps_s if len(stamps_s) == whole else stamps_s[:whole],
                None if objects is None else objects[first:stop],
            )
        return stop

    def read_objects(self, paths: Sequence[str], sizes_bytes: Sequence[int], objects: Sequence[int]) -> Sequence[bytes]:
        """Read whole objects, one after the other, and return their contents.

        An object that could not be read, or is not as long as it should be, is counted and left out.

        Args:
            paths: where each object is, with `root` in front.
            sizes_bytes: how long each object is.
            objects: index of each object.
        """
        contents = []
        for path, size_bytes, obj in zip(paths, sizes_bytes, objects, strict=True):
            content = self.get(partial(self.store.read, path), size_bytes, obj)
            if content is not None:
                contents.append(content)
        return contents

    def get(self, read: Callable[[], bytes], size_bytes: int, obj: int) -> bytes | None:
        """Let a client read a whole object, the store's or a library's own; return it, None where that failed.

        Args:
            read: returns the content; an `OSError` is its failure, and is counted, as is a content of another length.
            size_bytes: how long the object is.
            obj: the object's index.
        """
        start = _now()
        try:
            content = read()
        except OSError as error:
            self._failed(Kind.GET, start, obj, error_code(error))
            return None
        end = _now()
        self._tapped(len(content))
        if len(content) == size_bytes:
            self.recorder.record(GET_FROM_0, start, end, size_bytes, obj, 0)
            return content
        self._tally.failed_samples += 1
        self.recorder.record(GET_FROM_0, start, end, len(content), obj, SHORT_READ)
        return None

    def note_get(self, obj: int, start_ns: int, end_ns: int, got_bytes: int, size_bytes: int, error: int) -> bool:
        """Record a request that somebody else has made; return whether it delivered.

        Requests of one worker may overlap: each lasted as long as it did, and together longer than the batch.

        Args:
            obj: the object's index.
            start_ns: when it was sent.
            end_ns: when the last byte was there.
            got_bytes: how many came.
            size_bytes: how many should have.
            error: its code of `ioprof.trace.kinds`, 0 for none.
        """
        code = error or (SHORT_READ if got_bytes != size_bytes else 0)
        self.recorder.record(GET_FROM_0, start_ns, end_ns, got_bytes, obj, code)
        self._tapped(got_bytes)
        self.failed_samples += code != 0
        return not code

    def decode(self, transform: Callable[[_Content], _Content], content: _Content, obj: int) -> _Content:
        """Spend the CPU work of a sample of object ``obj`` and record it as an operation of kind decode."""
        if not self.decodes:
            return content
        start = _now()
        decoded = transform(content)
        self.recorder.record(Kind.DECODE, start, _now(), len(content), obj, 0)
        return decoded

    def _tapped(self, size_bytes: int, offset: int | None = None) -> None:
        """Count bytes and the pages they are fetched in; ``offset`` is None for an object that is read whole."""
        self._tally.tapped_bytes += size_bytes
        if offset is None:
            pages = (size_bytes + PAGE_MASK) & ~PAGE_MASK
            self._tally.tapped_page_bytes += pages
            self._tally.touched_page_bytes += pages
        else:
            self._tally.tapped_page_bytes += pages_of_range(offset, size_bytes)
            self._tally.touched_page_bytes += touched_pages(offset, size_bytes, self._range_end)
            self._range_end = offset + size_bytes

    def _touched(self, size_bytes: int, offset: int, major_faults: int, minor_faults: int) -> None:
        self._tapped(size_bytes, offset)
        self.mapped_bytes += size_bytes
        if major_faults or minor_faults:
            self.recorder.note_faults(major_faults, minor_faults)

    def _failed(self, kind: Kind, start_ns: int, obj: int, error: int) -> None:
        self._tally.failed_samples += 1
        self.recorder.record(kind, start_ns, _now(), 0, obj, error)

    def _timed(self, kind: Kind, obj: int, call: Callable[[], _Result], size_bytes: int = 0) -> _Result:
        start = _now()
        try:
            result = call()
        except OSError as error:
            self.recorder.record(kind, start, _now(), 0, obj, error_code(error))
            raise
        self.recorder.record(kind, start, _now(), size_bytes, obj, 0)
        return result
