"""A file mapped into memory: reading is copying out of the mapping, and what it costs shows in page faults.

read(2) is never called, so the kernel counts no bytes for it (``rchar`` stays where it was). What it does count for
the thread are page faults: major ones waited for the device or server, minor ones found the page in the page cache.
"""

from __future__ import annotations

import mmap
import os
import resource
import time
from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ioprof.closing import ClosesAtExit
from ioprof.store.tap_file import ShortReadError
from ioprof.trace.kinds import SHORT_READ, Kind, error_code
from ioprof.trace.place_word import NOTE_SHIFT, TOUCH_FROM_0
from ioprof.trace.recorder import Recorder

Advice = Literal["normal", "random", "sequential"]
"""What madvise(2) is told of the coming accesses."""
_ADVICE: dict[Advice, int] = {
    "normal": mmap.MADV_NORMAL,
    "random": mmap.MADV_RANDOM,
    "sequential": mmap.MADV_SEQUENTIAL,
}
_now = time.perf_counter_ns
_FLAGS = os.O_RDONLY | os.O_CLOEXEC
_usage, _THREAD = resource.getrusage, resource.RUSAGE_THREAD


Touched = Callable[[int, int, int, int], None]
"""Told of each copy: its bytes, its offset, page faults that waited for the device or server (major), and those whose
page was in the page cache (minor). By position: a copy of a few KiB takes a microsecond or two."""


class LocalTapMap(ClosesAtExit):
    """A mapped file; the mapping is made by the first touch, and made anew by the first one after `unmap`."""

    def __init__(
        self, path: str, obj: int, size_bytes: int, advice: Advice, recorder: Recorder, touched: Touched
    ) -> None:
        """Say what to map.

        Args:
            path: the whole path.
            obj: the object's index, for the trace.
            size_bytes: how long the file should be: one that is shorter is refused when it is mapped, because
                touching a page behind a file's end kills the process (SIGBUS).
            advice: what the kernel is told of the accesses to come.
            recorder: what the operations are recorded with.
            touched: told of each copy.
        """
        self.obj = obj
        self._path = path
        self._size_bytes = size_bytes
        self._advice = _ADVICE[advice]
        self._recorder = recorder
        self._touched = touched
        self._map: mmap.mmap | None = None
        self._view: NDArray[np.uint8] | None = None

    def read_at(self, offset: int, size_bytes: int) -> bytes:
        """Return exactly these bytes; see `TapFile.read_at`."""
        buffer = bytearray(size_bytes)
        self.read_into(memoryview(buffer), offset)
        return bytes(buffer)

    def read_into(self, buffer: memoryview, offset: int) -> None:
        """Fill a buffer from the mapping; see `TapFile.read_into`. Other threads run while pages are awaited.

        Raises:
            ShortReadError: the file is shorter than it should be, or the range reaches beyond its end.
            OSError: the file cannot be opened or mapped; as above, the error is counted.
        """
        view = self._mapped() if self._view is None else self._view
        end = offset + len(buffer)
        if end > len(view):
            self._recorder.record(Kind.TOUCH, (at := _now()), at, 0, self.obj, SHORT_READ)
            raise ShortReadError(f"object {self.obj} ends at byte {len(view)}")
        target = np.frombuffer(buffer, dtype=np.uint8)
        before = _usage(_THREAD)
        start_ns = _now()
        target[:] = view[offset:end]
        end_ns = _now()
        after = _usage(_THREAD)
        self._recorder.record(TOUCH_FROM_0 + (offset << NOTE_SHIFT), start_ns, end_ns, len(buffer), self.obj, 0)
        self._touched(len(buffer), offset, after.ru_majflt - before.ru_majflt, after.ru_minflt - before.ru_minflt)

    def _mapped(self) -> NDArray[np.uint8]:
        """Open, map and close the file, each for itself; return all of its bytes."""
        start_ns = _now()
        try:
            descriptor = os.open(self._path, _FLAGS)
        except OSError as error:
            self._recorder.record(Kind.OPEN, start_ns, _now(), 0, self.obj, error_code(error))
            raise
        opened_ns = _now()
        self._recorder.record(Kind.OPEN, start_ns, opened_ns, 0, self.obj, 0)
        try:
            self._view = self._map_of(descriptor, opened_ns)
        finally:
            closing_ns = _now()
            os.close(descriptor)
            self._recorder.record(Kind.CLOSE, closing_ns, _now(), 0, self.obj, 0)
        return self._view

    def _map_of(self, descriptor: int, start_ns: int) -> NDArray[np.uint8]:
        try:
            found_bytes = os.fstat(descriptor).st_size
            if found_bytes < self._size_bytes:
                self._recorder.record(Kind.MAP, start_ns, _now(), 0, self.obj, SHORT_READ)
                raise ShortReadError(f"object {self.obj} has {found_bytes} bytes, not {self._size_bytes}")
            made = mmap.mmap(descriptor, self._size_bytes, prot=mmap.PROT_READ)
            made.madvise(self._advice)
        except ShortReadError:
            raise
        except OSError as error:
            self._recorder.record(Kind.MAP, start_ns, _now(), 0, self.obj, error_code(error))
            raise
        self._recorder.record(Kind.MAP, start_ns, _now(), 0, self.obj, 0)
        self._map = made
        return np.frombuffer(made, dtype=np.uint8)

    def unmap(self) -> None:
        """Give the mapping back: the page cache cannot evict pages that are mapped. Safe to call twice."""
        self._view = None
        if self._map is not None:
            self._map.close()
            self._map = None

    def close(self) -> None:
        """Give the mapping back; safe to call twice."""
        self.unmap()
