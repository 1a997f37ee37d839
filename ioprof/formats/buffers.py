"""Buffers that are read into again and again, but never while anyone still looks at them."""

from __future__ import annotations

from collections import deque

POOL_BYTES = 64 * 1024**2
"""What a pool keeps for later; buffers beyond it are left to whoever looks at them."""
_TRIES = 8
"""Buffers looked at before a new one is made: what is held for long must not be asked each time."""

_STEP_BYTES = 4096


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
            if size_bytes <= len(buffer) <= 2 * size_bytes + _STEP_BYTES and _is_free(buffer):
                return memoryview(buffer)[:size_bytes]
        # Larger than needed, so that it also does for a little more the next time. The last byte leaves room for the
        # one that `_is_free` adds: nothing moves then.
        buffer = bytearray(_rounded_up(size_bytes) + 1)
        buffer.pop()
        kept.append(buffer)
        self._kept_bytes += len(buffer)
        while self._kept_bytes > self._limit_bytes and len(kept) > 1:
            self._kept_bytes -= len(kept.popleft())
        return memoryview(buffer)[:size_bytes]


def _rounded_up(size_bytes: int) -> int:
    """Return a size up to a quarter larger, of which there are few."""
    step = max(_STEP_BYTES, 1 << max(0, size_bytes.bit_length() - 3))
    return -(-size_bytes // step) * step


def _is_free(buffer: bytearray) -> bool:
    """Return whether no view of the buffer exists: Python refuses to resize one that has any."""
    try:
        buffer.append(0)
    except BufferError:
        return False
    buffer.pop()
    return True
