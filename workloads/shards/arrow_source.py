"""What pyarrow reads from: a file object whose every read goes through the tap, in reads of the size asked for."""

from __future__ import annotations

import contextlib
import io
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ioprof.workloads.shards.format import OpenShard

from ioprof.formats.errors import ShardError
from ioprof.trace.kinds import BAD_FORMAT

if TYPE_CHECKING:
    import pyarrow as pa

_now = time.perf_counter_ns


class ArrowSource:
    """A shard as pyarrow wants its files; what it is given stays valid for as long as pyarrow holds on to it."""

    closed = False

    def __init__(self, opened: OpenShard) -> None:
        self._opened = opened
        self._at = 0
        self._failed = False
        self._read_ns = self._read_bytes = 0

    def file(self) -> pa.PythonFile:
        """Return the object to hand to pyarrow."""
        import pyarrow as pa

        return pa.PythonFile(self, mode="r")

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        """Let pyarrow work: what it takes beside reading is noted as decoding.

        A read that failed, which the tap has counted, is told from bytes that pyarrow does not understand.

        Raises:
            OSError: the former.
            ShardError: the latter.
        """
        import pyarrow as pa

        start_ns, self._read_ns, start_bytes = _now(), 0, self._read_bytes
        try:
            yield
            self._opened.decoded(_now() - start_ns - self._read_ns, self._read_bytes - start_bytes)
        except OSError as error:
            # pyarrow also raises it for a footer that it cannot read.
            if self._failed:
                raise
            raise ShardError(BAD_FORMAT, str(error)) from error
        except pa.ArrowException as error:
            raise ShardError(BAD_FORMAT, str(error)) from error

    def read(self, size_bytes: int = -1) -> memoryview:
        """Return the next bytes, fewer at the end of the shard."""
        opened = self._opened
        left = max(0, opened.size_bytes - self._at)
        size_bytes = left if size_bytes < 0 else min(size_bytes, left)
        if not size_bytes:
            return memoryview(b"")
        start_ns = _now()
        view = opened.pool.take(size_bytes)
        try:
            for start in range(0, size_bytes, opened.read_bytes):
                opened.file.read_into(view[start : start + opened.read_bytes], self._at + start)
        except OSError:
            self._failed = True
            raise
        self._at += size_bytes
        self._read_bytes += size_bytes
        self._read_ns += _now() - start_ns
        return view

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to an offset."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._opened.size_bytes}[whence]
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        """Return the offset."""
        return self._at

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def close(self) -> None:
        """Leave closing to whoever opened the shard."""
