"""Buffers that are read into again and again, but never while anyone still looks at them."""

from __future__ import annotations

from collections import deque

POOL_BYTES = 64 * 1024**2
"""What a pool keeps for later; buffers beyond it are left to whoever looks at them."""
_TRIES = 8
"""Buffers looked at before a new one is made: what is held for long must not be asked each time."""


class BufferPool:
    """Hands out buffers whose former content nobody holds; one process, one thread."""

    def __init__(self, limit_bytes: int = POOL_BYTES) -> None:
        """Start empty; keep ``limit_bytes`` at most."""
        self._limit_bytes = limit_bytes
        self._kept: deque[bytearray] = deque()
        self._kept_bytes = 0

    def take(self, size_bytes: int) -> memoryview:
        """Return a writable view of ``size_bytes`` of a buffer that no other view shows.

        It returns to the pool by itself when the last view of it is gone.
        """
        kept = self._kept
        for _ in range(min(len(kept), _TRIES)):
            buffer = kept[0]
            kept.rotate(-1)
            if size_bytes <= len(buffer) <= 2 * size_bytes and _is_free(buffer):
                return memoryview(buffer)[:size_bytes]
        # One more than needed: then `_is_free` finds room for the byte that it adds, and nothing moves.
        buffer = bytearray(size_bytes + 1)
        buffer.pop()
        kept.append(buffer)
        self._kept_bytes += size_bytes
        while self._kept_bytes > self._limit_bytes and len(kept) > 1:
            self._kept_bytes -= len(kept.popleft())
        return memoryview(buffer)


def _is_free(buffer: bytearray) -> bool:
    """Return whether no view of the buffer exists: Python refuses to resize one that has any."""
    try:
        buffer.append(0)
    except BufferError:
        return False
    buffer.pop()
    return True
