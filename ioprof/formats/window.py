"""A shard read front to back: whole reads into a buffer, of which samples are shown without a copy.

What is cut off at the end of one buffer is copied to the front of the next. A buffer is filled again once nobody
looks at it any more; until then, views of it stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterator

from ioprof.formats.buffers import BufferPool
from ioprof.formats.errors import ShardError
from ioprof.store.tap_file import ShortReadError, TapFile
from ioprof.trace.kinds import BAD_FORMAT


class Window:
    """Sequential reads of one size over a range of a shard.

    Attributes:
        view: what was read last; grows old with the next `need`, but never changes.
        at: where in it the next byte is; readers of small samples move it themselves.
    """

    def __init__(self, file: TapFile, pool: BufferPool, *, read_bytes: int, start: int, stop: int) -> None:
        """Begin at ``start``; nothing is read yet.

        Args:
            file: the open shard.
            pool: where buffers come from.
            read_bytes: the most that one read asks for.
            start: offset of the first byte.
            stop: offset behind the last one.
        """
        self._file = file
        self._pool = pool
        self._read_bytes = read_bytes
        self._offset = start
        self._stop = stop
        self.view = memoryview(b"")
        self.at = 0
        self._short: ShortReadError | None = None

    @property
    def left_bytes(self) -> int:
        """Bytes from here to the end of the range."""
        return len(self.view) - self.at + self._stop - self._offset

    def need(self, size_bytes: int) -> None:
        """Make sure that the next bytes stand in `view`, from `at` on; fails as `take` does."""
        if self.at + size_bytes > len(self.view):
            self._refill(size_bytes)

    def take(self, size_bytes: int) -> memoryview:
        """Return the next bytes as a view that never changes.

        Raises:
            ShardError: they reach beyond the range.
            OSError: a read failed, or gave less than there should be.
        """
        self.need(size_bytes)
        start = self.at
        self.at = stop = start + size_bytes
        return self.view[start:stop]

    def records(self, size_bytes: int, count: int) -> Iterator[memoryview]:
        """Yield the next ``count`` records of one size; fails as `take` does."""
        while count:
            self.need(size_bytes)
            view, start = self.view, self.at
            here = min(count, (len(view) - start) // size_bytes)
            self.at = stop = start + here * size_bytes
            count -= here
            for at in range(start, stop, size_bytes):
                yield view[at : at + size_bytes]

    def skip(self, size_bytes: int) -> None:
        """Read past bytes that nobody wants; fails as `take` does."""
        while size_bytes:
            step = min(size_bytes, max(len(self.view) - self.at, self._read_bytes))
            self.take(step)
            size_bytes -= step

    def _refill(self, wanted_bytes: int) -> None:
        """Put what is left of the buffer and as many whole reads as are needed into another one."""
        rest = self.view[self.at :]
        missing = wanted_bytes - len(rest)
        if self._short is not None:
            raise self._short
        if missing > self._stop - self._offset:
            raise ShardError(BAD_FORMAT, f"{missing} bytes are needed from {self._offset} on; it ends at {self._stop}")
        reads = -(-missing // self._read_bytes)
        fresh_bytes = min(reads * self._read_bytes, self._stop - self._offset)
        view = self._pool.take(len(rest) + fresh_bytes)
        view[: len(rest)] = rest
        filled = len(rest)
        self.view, self.at = view, 0
        while filled < len(view):
            step = min(self._read_bytes, len(view) - filled)
            try:
                self._file.read_into(view[filled : filled + step], self._offset)
            except ShortReadError as error:
                # What came before the end is good: it is shown first, and the error raised after it.
                self.view = view[: filled + max(0, error.end - self._offset)]
                self._short = error
                if len(self.view) < wanted_bytes:
                    raise
                return
            self._offset += step
            filled += step
