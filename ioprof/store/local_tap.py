"""Traced plain os calls below a directory: files are opened, read and closed with nothing in between but a clock."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence

from ioprof.clock import as_ns
from ioprof.errors import StoreError
from ioprof.store.base import Store
from ioprof.store.calls import Calls, SlowedCalls
from ioprof.store.direct_file import AlignedBuffer, DirectTapFile
from ioprof.store.object_reads import Reads, Stop, compiled_read_files, reads_in_use
from ioprof.store.plain_reads import Stopped, read_files
from ioprof.store.tap import Tap
from ioprof.store.tap_file import LocalTapFile
from ioprof.store.tap_map import Advice, LocalTapMap
from ioprof.store.tap_writer import LocalTapWriter
from ioprof.store.throttled import MAPPED_IS_UNTHROTTLED, SlowedStore, ThrottledStore
from ioprof.store.whole_read import PartialReadError, pages_of_range, read_on, whole_pages
from ioprof.trace.chains import Objects, object_at
from ioprof.trace.kinds import Kind, error_code
from ioprof.trace.opsfile import READS
from ioprof.trace.recorder import READ_STAMPS, Recorder

_MOST_PER_WRITE = 1 << 30
"""The kernel writes a little under 2 GiB per call; whole gibibytes keep the recorded sizes exact."""
_now = time.perf_counter_ns
_now_s = time.perf_counter
_pack, _STAMPS_BYTES = READ_STAMPS.pack_into, READ_STAMPS.size


class LocalTap(Tap):
    """Traced plain os calls below a directory.

    Attributes:
        calls: what the operations are done with: `os`, or a throttle's.
    """

    def __init__(self, store: Store, recorder: Recorder, calls: Calls = os) -> None:
        super().__init__(store, recorder)
        self.calls = calls
        self._compiled = compiled_read_files()
        self.root = f"{(store.local_root or '').rstrip('/')}/"

    def read_objects(self, paths: Sequence[str], sizes_bytes: Sequence[int], objects: Sequence[int]) -> Sequence[bytes]:
        """Open, read and close files; see `Tap.read_objects`."""
        if self._compiled is None or self.calls is not os or self.witness.asking:
            return self._read_from(paths, sizes_bytes, objects, list[bytes](), -1, 0.0, None)
        # What happens to nearly every batch is written out here: where files are large, each function that a batch
        # goes through has left the CPU's caches since the batch before, and costs microseconds to call.
        contents, tally = list[bytes](), self._tally
        try:
            trouble = tally.read_whole(self._compiled, self.recorder.mapping, paths, sizes_bytes, objects, contents)
        except BaseException:
            if tally.in_room:
                self._name(objects, sizes_bytes, len(contents), [], 0.0)
            raise
        if trouble is not None:
            return self._read_from(paths, sizes_bytes, objects, contents, *trouble)
        return contents

    def _read_from(
        self,
        paths: Sequence[str],
        sizes_bytes: Sequence[int],
        objects: Sequence[int],
        contents: list[bytes],
        first: int,
        took_s: float,
        told: Stop | None,
    ) -> Sequence[bytes]:
        """Read all objects, or go on where one made trouble; see `Tally.read_whole` for the last three arguments."""
        if len(paths) > READS:
            return self._in_pieces(paths, sizes_bytes, objects)
        left_out = list[int]()
        is_begun = told is not None
        if not is_begun:
            first = self.recorder.room_for(objects, sizes_bytes)
        stopped = Stopped(*told) if told is not None else None
        try:
            if not is_begun:
                took_s, stopped = self._read(paths, sizes_bytes, 0, contents, first)
            while stopped is not None:
                place = len(contents) + len(left_out)
                rest = self._rest(stopped, sizes_bytes[place], objects[place], first + len(contents) * _STAMPS_BYTES)
                if rest is None:
                    left_out.append(place)
                else:
                    contents.append(rest[0])
                    took_s += rest[1]
                segment_s, stopped = self._read(paths, sizes_bytes, place + 1, contents, first)
                took_s += segment_s
        finally:
            if len(contents) == len(objects) and not self.witness.asking:
                self._tally.all_read(took_s)
            else:
                self._name(objects, sizes_bytes, len(contents), left_out, took_s)
        return contents

    def _read(
        self, paths: Sequence[str], sizes_bytes: Sequence[int], place: int, contents: list[bytes], first: int
    ) -> tuple[float, Stopped | None]:
        """Read objects from ``place`` on, up to the first that makes trouble; ``first``: where the stamps begin."""
        witness, stamps, at = self.witness, self.recorder.mapping, first + len(contents) * _STAMPS_BYTES
        lists = witness.lists() if self._compiled is not None and self.calls is os else None
        if self._compiled is not None and lists is not None:
            took_s, stopped = self._compiled(paths, sizes_bytes, place, contents, stamps, at, *lists)
            return took_s, None if stopped is None else Stopped(*stopped)
        open_: Callable[[str, int], int] = self.calls.open
        if not witness.asking:
            return read_files(paths, sizes_bytes, place, contents, stamps, at, open_, self.calls)
        asked = witness.asked
        segment = read_files(paths, sizes_bytes, place, contents, stamps, at, witness.opener(open_), self.calls)
        return self._without_asking(*segment, at, witness.seconds(asked))

    def _without_asking(
        self, took_s: float, stopped: Stopped | None, at: int, asks_s: list[float]
    ) -> tuple[float, Stopped | None]:
        """Let objects read in Python begin later by what asking took, which the compiled loop does by itself."""
        if stopped is not None and stopped.descriptor >= 0:
            stopped = stopped._replace(start_s=stopped.start_s + asks_s.pop())
        self.recorder.put_off(at, asks_s)
        return took_s - sum(asks_s), stopped

    def _rest(self, stopped: Stopped, size_bytes: int, obj: int, at: int) -> tuple[bytes, float] | None:
        """Read an object to its end that did not come whole at once; return its content and the seconds it took.

        None: it failed, and that is recorded.
        """
        start_s, descriptor, opened_s, content, failure = stopped
        if failure is None:
            try:
                content = read_on(descriptor, content, size_bytes, self.calls.read)
            except OSError as error:
                # Its traceback would hold this frame, which holds the error: the tap would stay open until collected.
                failure = error.with_traceback(None)
        if failure is not None:
            self._object_failed(obj, descriptor, start_s, opened_s, failure)
            return None
        read_s = _now_s()
        self.calls.close(descriptor)
        end_s = _now_s()
        _pack(self.recorder.mapping, at, start_s, opened_s, read_s, end_s)
        return content, end_s - start_s

    def _in_pieces(self, paths: Sequence[str], sizes_bytes: Sequence[int], objects: Sequence[int]) -> Sequence[bytes]:
        """Read more objects than the recorder has room for at once."""
        contents = list[bytes]()
        for first in range(0, len(paths), READS):
            part = slice(first, first + READS)
            contents += self.read_objects(paths[part], sizes_bytes[part], objects[part])
        return contents

    def open_each(self, kind: Kind, flags: int, paths: Sequence[str], objects: Objects | None) -> Sequence[int]:
        """Open and close one file after the other; return the places of those that could not be opened.

        Args:
            kind: what opening is: `Kind.OPEN`, or `Kind.CREATE` with the flags for it.
            flags: of open(2), beside ``O_CLOEXEC``.
            paths: whole paths.
            objects: index of each object; None where they have none.
        """
        now, open_, close_, flags = _now_s, self.calls.open, self.calls.close, flags | os.O_CLOEXEC
        failed, place, left, kinds = list[int](), 0, iter(paths), (kind, Kind.CLOSE)
        while place < len(paths):
            stamps = [now()]
            note = stamps.append
            try:
                for path in left:
                    descriptor = open_(path, flags, 0o666)
                    note(now())
                    close_(descriptor)
                    note(now())
            except OSError as error:
                # On an even number of stamps it was close that failed: Linux has released the descriptor all the same.
                opened = len(stamps) % 2 == 0
                done = self._chained(kinds, stamps, objects, place)
                if opened:
                    self.recorder.record_chain((kind,), stamps[-2:], [object_at(objects, done)])
                failing = Kind.CLOSE if opened else kind
                self._failed(failing, as_ns(stamps[-1]), object_at(objects, done), error_code(error))
                failed.append(done)
                place = done + 1
            else:
                place = self._chained(kinds, stamps, objects, place)
        return failed

    def open_file(self, path: str, obj: int = -1, *, sequential: bool = False) -> LocalTapFile:
        """Open a file; see `Tap.open_file`."""
        opened = LocalTapFile(self.root + path, obj, self.recorder, self._tapped, self.witness, self.calls)
        if sequential:
            os.posix_fadvise(opened.descriptor, 0, 0, os.POSIX_FADV_SEQUENTIAL)
        return opened

    def open_direct(self, path: str, obj: int, *, buffer: AlignedBuffer, block_bytes: int) -> DirectTapFile:
        """Open a file with O_DIRECT; see `Tap.open_direct`."""
        return DirectTapFile(
            self.root + path, obj, self.recorder, self._tapped_blocks, self.witness, self.calls,
            buffer=buffer, block_bytes=block_bytes,
        )  # fmt: skip

    def map_file(self, path: str, obj: int, size_bytes: int, advice: Advice) -> LocalTapMap:
        """Return a file to be mapped; see `Tap.map_file`."""
        if self.pace is not None:
            raise StoreError(f"{self.store.url}: {MAPPED_IS_UNTHROTTLED}")
        return LocalTapMap(self.root + path, obj, size_bytes, advice, self.recorder, self._touched)

    def create_file(self, path: str, obj: int = -1) -> LocalTapWriter:
        """Create a file; see `Tap.create_file`."""
        return LocalTapWriter(self.root + path, obj, self.recorder, self.calls)

    def sync_dir(self, path: str) -> None:
        """Fsync a directory; see `Tap.sync_dir`."""
        self._timed(Kind.FSYNC, -1, lambda: self._sync_directory(self.root + path))

    def _sync_directory(self, path: str) -> None:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self.calls.fsync(descriptor)
        finally:
            os.close(descriptor)

    def write(self, path: str, content: bytes | bytearray | memoryview, obj: int = -1, *, sync: bool = False) -> None:
        """Create or replace a file: open, write, fsync where asked for, and close, each for itself; see `Tap.write`."""
        flags = os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC
        full = self.root + path
        descriptor = self._timed(Kind.OPEN, obj, lambda: self.calls.open(full, flags, 0o666))
        try:
            left = memoryview(content).cast("B")
            while left:
                left = left[self._write_some(descriptor, left, obj) :]
            if sync:
                self._timed(Kind.FSYNC, obj, lambda: self.calls.fsync(descriptor))
        finally:
            self._timed(Kind.CLOSE, obj, lambda: self.calls.close(descriptor))

    def _write_some(self, descriptor: int, content: memoryview, obj: int) -> int:
        start = _now()
        try:
            written = self.calls.write(descriptor, content[:_MOST_PER_WRITE])
        except OSError as error:
            self.recorder.record(Kind.WRITE, start, _now(), 0, obj, error_code(error))
            raise
        self.recorder.record(Kind.WRITE, start, _now(), written, obj, 0)
        return written

    def _name(
        self,
        objects: Sequence[int],
        sizes_bytes: Sequence[int],
        done: int,
        left_out: list[int],
        took_s: float,
    ) -> None:
        """Tell the recorder whose the ``done`` stamps are, and what asking found of them."""
        if done < len(objects):
            kept = sorted(set(range(done + len(left_out))).difference(left_out))
            objects, sizes_bytes = [objects[place] for place in kept], [sizes_bytes[place] for place in kept]
        words = self.witness.objects_read(sizes_bytes) if self.witness.asking else sizes_bytes
        self.recorder.name_reads(objects, words, took_s)
        page_bytes = whole_pages(sizes_bytes)
        self._tally.tapped_bytes += sum(sizes_bytes)
        self._tally.tapped_page_bytes += page_bytes
        self._tally.touched_page_bytes += page_bytes

    def _tapped_blocks(self, size_bytes: int, offset: int) -> None:
        """Count what was read around the page cache: the kernel fetches these bytes, not the pages they lie in."""
        pages = pages_of_range(offset, size_bytes)
        self._tally.tapped_bytes += size_bytes
        self._tally.tapped_page_bytes += pages
        self._tally.touched_page_bytes += pages

    def _object_failed(self, obj: int, descriptor: int, start_s: float, opened_s: float, error: OSError) -> None:
        """Record what was done of an object read up to the operation that failed, and close the file."""
        if descriptor < 0:
            self._failed(Kind.OPEN, as_ns(start_s), obj, error_code(error))
            return
        failed = _now()
        self.calls.close(descriptor)
        if self.witness.asking:
            self.witness.object_failed()
        got_bytes, code = (
            (error.got_bytes, error.code) if isinstance(error, PartialReadError) else (0, error_code(error))
        )
        self.recorder.record(Kind.OPEN, as_ns(start_s), as_ns(opened_s), 0, obj, 0)
        self.recorder.record(Kind.READ, as_ns(opened_s), failed, got_bytes, obj, code)
        self.recorder.record(Kind.CLOSE, failed, _now(), 0, obj, 0)
        self._tapped(got_bytes)
        self._tally.failed_samples += 1


def tap_store(store: Store, recorder: Recorder) -> Tap:
    """Return the traced side of a store: os calls where they reach it, its own client elsewhere.

    Raises:
        StoreError: the store is throttled, and its queue cannot be shared with other processes here.
    """
    if isinstance(store, ThrottledStore):
        return _throttled_tap(store, recorder)
    return LocalTap(store, recorder) if store.local_root is not None else Tap(store, recorder)


def reads_of(store: Store) -> Reads | None:
    """Return which loop `tap_store`'s tap reads whole objects with; None: the store's own client does.

    Raises:
        UsageError: the environment asks for one that is not there.
    """
    if store.local_root is None:
        return None
    return "python" if isinstance(store, ThrottledStore) else reads_in_use()


def _throttled_tap(store: ThrottledStore, recorder: Recorder) -> Tap:
    pace = store.pace(recorder.rank, recorder.worker)
    slowed = SlowedStore(store, pace)
    tap = LocalTap(slowed, recorder, SlowedCalls(pace)) if store.local_root is not None else Tap(slowed, recorder)
    tap.pace = pace
    return tap
