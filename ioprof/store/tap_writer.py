"""New objects, written piece by piece: every operation leaves its kind, stamps, bytes and outcome in the recorder.

`Tap.create_file` returns one. What is not committed is not there: a remote object appears with `commit` and not before,
a local file may be cut short.
"""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self, TypeVar
from weakref import WeakSet

from ioprof.closing import ClosesAtExit
from ioprof.store.base import Store
from ioprof.store.calls import Calls
from ioprof.trace.kinds import Kind, error_code
from ioprof.trace.recorder import Recorder

_FLAGS = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
_SMALL_BYTES = 64 * 1024
"""Smaller pieces are gathered and go out with the next large one in one call, as a C++ file stream does it."""
_MOST_PER_WRITE = 1 << 30
"""The kernel writes a little under 2 GiB per call; whole gibibytes keep the recorded sizes exact."""
_now = time.perf_counter_ns
_Result = TypeVar("_Result")


class TapWriter(Protocol):
    """An object of a store that is being written; a context manager, which closes it."""

    size_bytes: int
    """Bytes taken so far."""

    def write(self, content: bytes | bytearray | memoryview) -> int:
        """Take all of ``content`` and return its length in bytes.

        Raises:
            OSError: the store refused; the error is counted.
        """
        ...

    def commit(self, *, sync: bool) -> None:
        """Hand over what is still held back; ``sync`` also makes the content durable.

        Raises:
            OSError: the store refused; the error is counted.
        """
        ...

    def close(self) -> None:
        """Release it; safe to call twice."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class LocalTapWriter(ClosesAtExit):
    """A new file, written by writev."""

    def __init__(self, path: str, obj: int, recorder: Recorder, calls: Calls = os) -> None:
        """Create the file.

        Args:
            path: the whole path; there must be nothing of that name.
            obj: the object's index, for the trace.
            recorder: what the operations are recorded with.
            calls: what they are done with.
        Raises:
            OSError: it cannot be created; the error is counted.
        """
        self.size_bytes = 0
        self._obj = obj
        self._recorder = recorder
        self._calls = calls
        self._held = bytearray()
        self._descriptor = self._timed(Kind.CREATE, lambda: calls.open(path, _FLAGS, 0o666))
        _being_written.add(self)

    def write(self, content: bytes | bytearray | memoryview) -> int:
        """Write; see `TapWriter.write`."""
        piece = memoryview(content).cast("B")
        if len(piece) < _SMALL_BYTES:
            self._held += piece
            if len(self._held) >= _SMALL_BYTES:
                self._flush(memoryview(b""))
        else:
            self._flush(piece)
        self.size_bytes += len(piece)
        return len(piece)

    def _flush(self, piece: memoryview) -> None:
        """Write what was held back and then ``piece``."""
        parts = [memoryview(bytes(self._held)), piece]
        self._held.clear()
        while parts := [part for part in parts if part]:
            written = self._write_some([part[:_MOST_PER_WRITE] for part in parts])
            for number, part in enumerate(parts):
                taken = min(written, len(part))
                parts[number], written = part[taken:], written - taken

    def _write_some(self, parts: list[memoryview]) -> int:
        start = _now()
        try:
            written = self._calls.writev(self._descriptor, parts)
        except OSError as error:
            self._recorder.record(Kind.WRITE, start, _now(), 0, self._obj, error_code(error))
            raise
        self._recorder.record(Kind.WRITE, start, _now(), written, self._obj, 0)
        return written

    def commit(self, *, sync: bool) -> None:
        """Write what is held back, and fsync where asked for; see `TapWriter.commit`."""
        self._flush(memoryview(b""))
        if sync:
            self._timed(Kind.FSYNC, lambda: self._calls.fsync(self._descriptor))

    def close(self) -> None:
        """Close the file; safe to call twice."""
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            self._timed(Kind.CLOSE, lambda: self._calls.close(descriptor))

    def leave_to_parent(self) -> None:
        """Close the file in a process that was forked while it is being written; nothing is recorded of that."""
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)

    def _timed(self, kind: Kind, call: Callable[[], _Result]) -> _Result:
        start = _now()
        try:
            result = call()
        except OSError as error:
            self._recorder.record(kind, start, _now(), 0, self._obj, error_code(error))
            raise
        self._recorder.record(kind, start, _now(), 0, self._obj, 0)
        return result


_being_written = WeakSet[LocalTapWriter]()


def _leave_to_parent() -> None:
    """Keep no file open that a thread of the parent is writing: removed, it would keep its room for a worker's life."""
    for writer in list(_being_written):
        writer.leave_to_parent()


os.register_at_fork(after_in_child=_leave_to_parent)


class RemoteTapWriter(ClosesAtExit):
    """An object gathered in memory and put in one request."""

    def __init__(self, store: Store, path: str, obj: int, recorder: Recorder) -> None:
        self.size_bytes = 0
        self._store = store
        self._path = path
        self._obj = obj
        self._recorder = recorder
        self._content = io.BytesIO()

    def write(self, content: bytes | bytearray | memoryview) -> int:
        """Gather; see `TapWriter.write`."""
        taken = self._content.write(content)
        self.size_bytes += taken
        return taken

    def commit(self, *, sync: bool) -> None:
        """Put the object: a store that has answered has it; see `TapWriter.commit`."""
        start = _now()
        try:
            self._store.write(self._path, self._content.getbuffer(), sync=sync)
        except OSError as error:
            self._recorder.record(Kind.PUT, start, _now(), 0, self._obj, error_code(error))
            raise
        self._recorder.record(Kind.PUT, start, _now(), self.size_bytes, self._obj, 0)

    def close(self) -> None:
        """Let the memory go."""
        self._content = io.BytesIO()


def sync_directory(path: str) -> None:
    """Make the names in a directory durable.

    Raises:
        OSError: it failed.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
