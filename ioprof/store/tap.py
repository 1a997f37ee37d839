"""Traced storage operations: every call leaves its kind, stamps, bytes and outcome in the process's recorder.

Start stamps are shared with the end of the operation before, so an object read by os calls costs four clock
reads: before open, before read, before close, and after.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TypeVar

from ioprof.store.base import Entry, Store
from ioprof.trace.kinds import SHORT_READ, UNNAMED_ERROR, Kind
from ioprof.trace.recorder import Recorder

_open, _read, _close = os.open, os.read, os.close
_READ_FLAGS = os.O_RDONLY | os.O_CLOEXEC
_now = time.perf_counter_ns
_Result = TypeVar("_Result")


class Tap:
    """The traced side of a store in one process.

    Attributes:
        tapped_bytes: bytes read so far; compared with the kernel's own count.
        failed_samples: object reads that did not deliver.
    """

    def __init__(self, store: Store, recorder: Recorder) -> None:
        self.store = store
        self.recorder = recorder
        self.tapped_bytes = 0
        self.failed_samples = 0

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

    def read_object(self, path: str, size_bytes: int, obj: int) -> bytes | None:
        """Read a whole object; None when it could not be read or is not ``size_bytes`` long, which is counted."""
        start = _now()
        try:
            content = self.store.read(path)
        except OSError as error:
            return self._failed(Kind.GET, start, obj, error_code(error))
        end = _now()
        self.tapped_bytes += len(content)
        if len(content) != size_bytes:
            self.failed_samples += 1
            self.recorder.record(Kind.GET, start, end, len(content), obj, SHORT_READ)
            return None
        self.recorder.record(Kind.GET, start, end, size_bytes, obj, 0)
        return content

    def _failed(self, kind: Kind, start_ns: int, obj: int, error: int) -> None:
        self.failed_samples += 1
        self.recorder.record(kind, start_ns, _now(), 0, obj, error)

    def _timed(self, kind: Kind, obj: int, call: Callable[[], _Result]) -> _Result:
        start = _now()
        try:
            result = call()
        except OSError as error:
            self.recorder.record(kind, start, _now(), 0, obj, error_code(error))
            raise
        self.recorder.record(kind, start, _now(), 0, obj, 0)
        return result


class LocalTap(Tap):
    """Traced plain os calls below a directory."""

    def __init__(self, store: Store, recorder: Recorder) -> None:
        super().__init__(store, recorder)
        self._prefix = f"{(store.local_root or '').rstrip('/')}/"
        self._keep = recorder.reads.extend

    def read_object(self, path: str, size_bytes: int, obj: int) -> bytes | None:
        """Open, read and close a file; None when that failed or it is not ``size_bytes`` long, which is counted."""
        start = _now()
        try:
            descriptor = _open(self._prefix + path, _READ_FLAGS)
        except OSError as error:
            return self._failed(Kind.OPEN, start, obj, error_code(error))
        opened = _now()
        try:
            content = _read(descriptor, size_bytes)
        except OSError as error:
            return self._read_failed(start, opened, descriptor, obj, error)
        read = _now()
        if len(content) != size_bytes:
            return self._came_short(start, opened, descriptor, content, size_bytes, obj)
        _close(descriptor)
        self._keep((start, opened, read, _now(), size_bytes, obj))
        self.tapped_bytes += size_bytes
        return content

    def _read_failed(self, start: int, opened: int, descriptor: int, obj: int, error: OSError) -> None:
        self.recorder.record(Kind.OPEN, start, opened, 0, obj, 0)
        self._failed(Kind.READ, opened, obj, error_code(error))
        _close(descriptor)

    def _came_short(
        self, start: int, opened: int, descriptor: int, content: bytes, size_bytes: int, obj: int
    ) -> bytes | None:
        """Read on after a partial read: the kernel caps one read at 2 GiB; end of file means truncation."""
        parts, left = [content], size_bytes - len(content)
        while left and parts[-1]:
            parts.append(_read(descriptor, left))
            left -= len(parts[-1])
        read = _now()
        _close(descriptor)
        got = size_bytes - left
        self.tapped_bytes += got
        if not left:
            self._keep((start, opened, read, _now(), size_bytes, obj))
            return b"".join(parts)
        self.recorder.record(Kind.OPEN, start, opened, 0, obj, 0)
        self.recorder.record(Kind.READ, opened, read, got, obj, SHORT_READ)
        self.recorder.record(Kind.CLOSE, read, _now(), 0, obj, 0)
        self.failed_samples += 1
        return None


def tap_store(store: Store, recorder: Recorder) -> Tap:
    """Return the traced side of a store: os calls where they reach it, its own client elsewhere."""
    return LocalTap(store, recorder) if store.local_root is not None else Tap(store, recorder)


def error_code(error: OSError) -> int:
    """Return the errno of an error, or `UNNAMED_ERROR` where it has none."""
    return error.errno or UNNAMED_ERROR
