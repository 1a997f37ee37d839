"""What objects contain: bytes that depend only on the seed and the index, cheap to make and hard to shrink.

One pool of random words per process is sliced and combined (xor) with a key that never repeats, so that words
recur only by chance, though the pool is small: neither block deduplication, at any block size, nor similarity
compression finds anything. Every 4 KiB block starts with a header that says whose it is.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ioprof.errors import SpecError

BLOCK_BYTES = 4096
"""Each block of this size starts with a header of three little-endian 64-bit words: object index, hash of the
seed, number of the block inside the object."""
PIECE_BYTES = 1024**2
"""Objects above this are made, and written, in pieces of it."""
POOL_BYTES = 8 * PIECE_BYTES

_WORD = 8
_BLOCK_WORDS = BLOCK_BYTES // _WORD
_PIECE_BLOCKS = PIECE_BYTES // BLOCK_BYTES
_GROUP = 64
"""Objects of up to one block that are made together: one xor over all is cheaper than one for each."""
_MASK = 2**64 - 1
# Odd, so that multiplication is a bijection of 64-bit words and keys never repeat.
_INDEX_STEP = 0x9E3779B97F4A7C15
_PIECE_STEP = 0xC2B2AE3D27D4EB4F
_HEADER = struct.Struct("<QQQ")

Words = NDArray[np.uint64]


class Content:
    """Makes the content of a dataset's objects; one per thread, because its buffers are reused."""

    def __init__(self, seed: int, compress_ratio: float = 1.0) -> None:
        if not 1.0 <= compress_ratio <= 100.0:
            raise SpecError(f"compress ratio {compress_ratio}: must be from 1 (incompressible) to 100")
        self._seed = seed
        self._seed_hash = int(np.random.SeedSequence((seed, 1)).generate_state(1, np.uint64)[0])
        self._random_words = max(3, round(_BLOCK_WORDS / compress_ratio))
        self._group = -1
        self._group_words: Words = np.zeros(_GROUP * _BLOCK_WORDS, dtype="<u8")
        self._group_view = self._group_words.data.cast("B")
        self._buffer = bytearray(0)
        self._words: Words = np.empty(0, dtype="<u8")

    def render(self, index: int, size_bytes: int) -> memoryview:
        """Return the whole content of object ``index``; the next call may reuse the buffer."""
        if size_bytes <= BLOCK_BYTES:
            # Inline: a million small files pass through here.
            if index // _GROUP != self._group:
                self._fill_group(index // _GROUP)
            start = index % _GROUP * BLOCK_BYTES
            return self._group_view[start : start + size_bytes]
        blocks = self._room(size_bytes)
        for piece, first in enumerate(range(0, blocks, _PIECE_BLOCKS)):
            self._fill(first, min(blocks, first + _PIECE_BLOCKS), index, piece)
        return memoryview(self._buffer)[:size_bytes]

    def pieces(self, index: int, size_bytes: int) -> Iterator[memoryview]:
        """Yield the content of object ``index`` in order, at most `PIECE_BYTES` at a time, in one buffer."""
        if size_bytes <= BLOCK_BYTES:
            yield self.render(index, size_bytes)
            return
        for start in range(0, size_bytes, PIECE_BYTES):
            length = min(PIECE_BYTES, size_bytes - start)
            self._fill(0, self._room(length), index, start // PIECE_BYTES)
            yield memoryview(self._buffer)[:length]

    def _fill_group(self, group: int) -> None:
        self._mix(self._group_words, (group * _INDEX_STEP) & _MASK)
        blocks = self._group_words.reshape(-1, _BLOCK_WORDS)
        if self._random_words < _BLOCK_WORDS:
            blocks[:, self._random_words :] = 0
        first = group * _GROUP
        blocks[:, 0] = np.arange(first, first + _GROUP, dtype=np.uint64)
        blocks[:, 1] = self._seed_hash
        blocks[:, 2] = 0
        self._group = group

    def _room(self, size_bytes: int) -> int:
        """Make the buffer large enough, and return how many blocks the size fills."""
        blocks = -(-size_bytes // BLOCK_BYTES)
        if len(self._buffer) < blocks * BLOCK_BYTES:
            self._buffer = bytearray(blocks * BLOCK_BYTES)
            self._words = np.frombuffer(self._buffer, dtype="<u8")
        return blocks

    def _fill(self, start: int, stop: int, index: int, piece: int) -> None:
        """Fill blocks ``start`` to ``stop`` - 1 of the buffer with one piece of an object."""
        words = self._words[start * _BLOCK_WORDS : stop * _BLOCK_WORDS]
        self._mix(words, ~(index * _INDEX_STEP + piece * _PIECE_STEP) & _MASK)
        if self._random_words < _BLOCK_WORDS:
            words.reshape(-1, _BLOCK_WORDS)[:, self._random_words :] = 0
        # One packed header costs a tenth of a microsecond: less than numpy's overhead for a few dozen
        # blocks, and nothing beside the bytes of the block after that.
        first = piece * _PIECE_BLOCKS
        for block in range(stop - start):
            position = (start + block) * BLOCK_BYTES
            _HEADER.pack_into(self._buffer, position, index, self._seed_hash, first + block)

    def _mix(self, words: Words, key: int) -> None:
        pool = _pool(self._seed)
        key ^= self._seed_hash
        start = (key >> 24) % (len(pool) - len(words) + 1)
        np.bitwise_xor(pool[start : start + len(words)], np.uint64(key), out=words)


@lru_cache(maxsize=2)
def _pool(seed: int) -> Words:
    bits = np.random.PCG64(np.random.SeedSequence((seed, 0)))
    pool = np.asarray(bits.random_raw(POOL_BYTES // _WORD), dtype=np.uint64)
    pool.flags.writeable = False
    return pool
