"""Open objects, read piece by piece: every piece leaves its kind, stamps, bytes and outcome in the recorder.

`Tap.open_file` returns one. Reads are exact: what comes back is as long as what was asked for, or the read failed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self

from ioprof.closing import ClosesAtExit
from ioprof.store.base import Store
from ioprof.store.cache_witness import CacheWitness
from ioprof.store.calls import Calls
from ioprof.trace.hits import UNKNOWN, with_hit
from ioprof.trace.kinds import SHORT_READ, Kind, error_code
from ioprof.trace.place_word import DIRECT_OPEN, GET_FROM_0, NOTE_SHIFT, PLAIN_OPEN, READ_FROM_0
from ioprof.trace.recorder import Recorder

_now = time.perf_counter_ns
Tapped = Callable[[int, int], None]
"""Told the bytes of each read and the offset at which it began."""


class ShortReadError(OSError):
    """The object ended before what was asked for."""

    def __init__(self, message: str, end: int = 0) -> None:
        """Say where it ends.

        Args:
            message: which object, and where.
            end: offset up to which `TapFile.read_into` has filled its buffer; 0 where it filled nothing.
        """
        super().__init__(message)
        self.end = end


class TapFile(Protocol):
    """An object of a store that is open for reading at any offset; a context manager."""

    def read_at(self, offset: int, size_bytes: int) -> bytes:
        """Return exactly these bytes.

        Raises:
            ShortReadError: the object ends earlier.
            OSError: the read failed; as above, the error is counted under its kind.
        """
        ...

    def read_into(self, buffer: memoryview, offset: int) -> None:
        """Fill ``buffer`` with the bytes from ``offset`` on; fails as `read_at` does."""
        ...

    def close(self) -> None:
        """Close it; safe to call twice."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class LocalTapFile(ClosesAtExit):
    """A file read by pread."""

    def __init__(
        self,
        path: str,
        obj: int,
        recorder: Recorder,
        tapped: Tapped,
        witness: CacheWitness,
        calls: Calls = os,
        *,
        flags: int = 0,
    ) -> None:
        """Open the file.

        Args:
            path: the whole path.
            obj: the object's index, for the trace.
            recorder: what the operations are recorded with.
            tapped: told the bytes of each read.
            witness: asked what the page cache holds before a read, where it wants to be.
            calls: what they are done with.
            flags: further flags of open(2), such as ``os.O_DIRECT``.
        Raises:
            OSError: it cannot be opened; the error is counted.
        """
        self.obj = obj
        self._recorder = recorder
        self._tapped = tapped
        self._witness = witness
        self._calls = calls
        opening = DIRECT_OPEN if flags & os.O_DIRECT else PLAIN_OPEN
        start = _now()
        try:
            self.descriptor = calls.open(path, os.O_RDONLY | os.O_CLOEXEC | flags)
        except OSError as error:
            recorder.record(opening, start, _now(), 0, obj, error_code(error))
            raise
        recorder.record(opening, start, _now(), 0, obj, 0)

    def read_at(self, offset: int, size_bytes: int) -> bytes:
        """Return exactly these bytes; see `TapFile.read_at`."""
        hit = self._witness.range(self.descriptor, offset, size_bytes) if self._witness.asking else UNKNOWN
        start = _now()
        try:
            content = self._calls.pread(self.descriptor, size_bytes, offset)
        except OSError as error:
            self._recorder.record(READ_FROM_0 + (offset << NOTE_SHIFT), start, _now(), 0, self.obj, error_code(error))
            raise
        self._note(start, offset, len(content), size_bytes, hit)
        if len(content) == size_bytes:
            return content
        if not content:
            raise self._short(offset)
        return content + self.read_at(offset + len(content), size_bytes - len(content))

    def read_into(self, buffer: memoryview, offset: int) -> None:
        """Fill a buffer; see `TapFile.read_into`."""
        while buffer:
            hit = self._witness.range(self.descriptor, offset, len(buffer)) if self._witness.asking else UNKNOWN
            start = _now()
            try:
                got_bytes = self._calls.preadv(self.descriptor, (buffer,), offset)
            except OSError as error:
                failed_ns, kind = _now(), READ_FROM_0 + (offset << NOTE_SHIFT)
                self._recorder.record(kind, start, failed_ns, 0, self.obj, error_code(error))
                raise
            self._note(start, offset, got_bytes, len(buffer), hit)
            if not got_bytes:
                raise self._short(offset)
            buffer, offset = buffer[got_bytes:], offset + got_bytes

    def _note(self, start_ns: int, offset: int, got_bytes: int, asked_bytes: int, hit: int) -> None:
        """Record a read; one that gave less than it was asked for is no error before the end is reached."""
        failed = SHORT_READ if asked_bytes and not got_bytes else 0
        end_ns, kind = _now(), READ_FROM_0 + (offset << NOTE_SHIFT)
        self._recorder.record(kind, start_ns, end_ns, with_hit(got_bytes, hit), self.obj, failed)
        self._tapped(got_bytes, offset)

    def _short(self, offset: int) -> ShortReadError:
        return ShortReadError(f"object {self.obj} ends at byte {offset}", offset)

    def close(self) -> None:
        """Close the file; safe to call twice."""
        if self.descriptor >= 0:
            start = _now()
            self._calls.close(self.descriptor)
            self._recorder.record(Kind.CLOSE, start, _now(), 0, self.obj, 0)
            self.descriptor = -1


class RemoteTapFile(ClosesAtExit):
    """An object read by ranged requests, each on its own: nothing is opened, cached or read ahead."""

    def __init__(self, store: Store, path: str, obj: int, recorder: Recorder, tapped: Tapped) -> None:
        self._store = store
        self._path = path
        self._obj = obj
        self._recorder = recorder
        self._tapped = tapped

    def read_at(self, offset: int, size_bytes: int) -> bytes:
        """Return exactly these bytes; see `TapFile.read_at`."""
        if not size_bytes:
            return b""
        kind, start = GET_FROM_0 + (offset << NOTE_SHIFT), _now()
        try:
            content = self._store.read_range(self._path, offset, size_bytes)
        except OSError as error:
            self._recorder.record(kind, start, _now(), 0, self._obj, error_code(error))
            raise
        short = SHORT_READ if len(content) < size_bytes else 0
        self._recorder.record(kind, start, _now(), len(content), self._obj, short)
        self._tapped(len(content), offset)
        if short:
            raise ShortReadError(f"object {self._obj} ends at byte {offset + len(content)}")
        return content

    def read_into(self, buffer: memoryview, offset: int) -> None:
        """Fill a buffer; see `TapFile.read_into`."""
        buffer[:] = self.read_at(offset, len(buffer))

    def close(self) -> None:
        """Nothing was opened."""
