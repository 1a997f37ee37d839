"""The state that a checkpoint saves: weights and optimizer moments as torch tensors, in memory of one mapping.

This module imports torch; whoever saves nothing never imports it. The bytes are random, so nothing on the way can
compress them; they are the same in every save of a run, so a store that deduplicates across files would look fast.
"""

from __future__ import annotations

import io
import mmap
from collections.abc import Callable
from typing import BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray

from ioprof.errors import RunError
from ioprof.units import format_bytes

ShardState = dict[str, "torch.Tensor | dict[str, torch.Tensor] | dict[str, dict[str, torch.Tensor]]"]
"""What one shard's file holds: weights by layer, two moments by layer, and a few bytes of random state."""

_LARGEST_TENSOR_BYTES = 64 << 20
_WORD_BYTES = 4
_ALIGN_BYTES = 64
_MOMENTS = ("exp_avg", "exp_avg_sq")
_BLOCK_WORDS = 1 << 21
"""Random words that are drawn; each further block of the state is that one, turned over by a random word of its own:
no compressor sees that, and drawing gigabytes would take as long as saving them."""


class State:
    """The state of one rank, cut into shards."""

    def __init__(self, size_bytes: int, shards: int, seed: int) -> None:
        """Draw the state from the seed.

        Raises:
            RunError: the memory cannot be had.
        """
        self.size_bytes = size_bytes
        self._extents = shard_extents(size_bytes, shards)
        self._live = _memory(size_bytes)
        self._copy: NDArray[np.uint8] | None = None
        generator = np.random.PCG64(np.random.SeedSequence((seed, 2)))
        block = generator.random_raw(_BLOCK_WORDS)
        for start in range(0, size_bytes, block.nbytes):
            part = self._live[start : start + block.nbytes]
            part[:] = (block ^ np.uint64(generator.random_raw())).view(np.uint8)[: len(part)]
        self.shards = [_shard_state(self._live, *extent) for extent in self._extents]
        """What training holds."""
        self.snapshot_shards: list[ShardState] = []
        """What `snapshot` copied; empty before `reserve_snapshot`."""

    def reserve_snapshot(self) -> None:
        """Get the memory of the copy now: the first save must not pay for its page faults.

        Raises:
            RunError: the memory cannot be had.
        """
        self._copy = _memory(self.size_bytes)
        self._copy[:] = 0
        self.snapshot_shards = [_shard_state(self._copy, *extent) for extent in self._extents]

    def snapshot(self) -> None:
        """Copy the state, so that training may go on while the copy is written."""
        if self._copy is None:
            raise RuntimeError("no memory was reserved for a snapshot")
        np.copyto(self._copy, self._live)

    def differs_from(self, shard: int, restored: ShardState) -> str | None:
        """Return the first tensor of a restored shard that is not what was saved; None where all are equal."""
        saved, found = dict(_tensors(self.shards[shard])), dict(_tensors(restored))
        if saved.keys() != found.keys():
            return "the list of tensors"
        return next((name for name, tensor in saved.items() if not _equal(tensor, found[name])), None)


def shard_extents(size_bytes: int, shards: int) -> list[tuple[int, int]]:
    """Return start and length in bytes of each shard: equal parts, rounded to cache lines; the last takes the rest."""
    each = size_bytes // shards // _ALIGN_BYTES * _ALIGN_BYTES
    starts = [number * each for number in range(shards)]
    return [(start, each) for start in starts[:-1]] + [(starts[-1], size_bytes - starts[-1])]


def _memory(size_bytes: int) -> NDArray[np.uint8]:
    # A shared mapping: a forked worker shares it for good, where private pages would be copied at the next write.
    try:
        return np.frombuffer(mmap.mmap(-1, size_bytes), dtype=np.uint8)
    except (OSError, MemoryError, OverflowError) as error:
        raise RunError(
            f"checkpoint.size: {format_bytes(size_bytes)} of memory for the state cannot be had ({error}); "
            "use a smaller --checkpoint-size"
        ) from error


def _shard_state(memory: NDArray[np.uint8], start: int, size_bytes: int) -> ShardState:
    """Return tensors over a stretch of memory: a third weights, two thirds moments, what is left over last."""
    buffer = memory[start : start + size_bytes].data
    layers = max(1, -(-size_bytes // (3 * _LARGEST_TENSOR_BYTES)))
    words = size_bytes // (3 * layers * _WORD_BYTES)
    parts = iter(range(0, 3 * layers * words * _WORD_BYTES, max(1, words) * _WORD_BYTES))

    def tensors() -> dict[str, torch.Tensor]:
        return {f"layers.{layer}.weight": _floats(buffer, next(parts), words) for layer in range(layers)}

    weights = tensors()
    moments = {name: tensors() for name in _MOMENTS}
    left = buffer[3 * layers * words * _WORD_BYTES :]
    rest = torch.frombuffer(left, dtype=torch.uint8) if left else torch.empty(0, dtype=torch.uint8)
    return {"model": weights, "optimizer": moments, "rng_state": rest}


def _floats(buffer: memoryview, offset: int, words: int) -> torch.Tensor:
    return torch.frombuffer(buffer, dtype=torch.float32, offset=offset, count=words)


def _tensors(state: object, path: str = "") -> list[tuple[str, torch.Tensor]]:
    if isinstance(state, torch.Tensor):
        return [(path, state)]
    if isinstance(state, dict):
        return [found for key, value in state.items() for found in _tensors(value, f"{path}/{key}")]
    return []


def _equal(one: torch.Tensor, other: torch.Tensor) -> bool:
    # Random bits hold numbers that are not equal to themselves: compare the bits.
    return one.shape == other.shape and torch.equal(one.view(torch.uint8), other.view(torch.uint8))


class Sink:
    """What torch.save writes to: passes pieces on, and remembers the first failure, which torch may hide."""

    def __init__(self, write: Callable[[memoryview], int]) -> None:
        self._write = write
        self.failure: Exception | None = None

    def write(self, content: bytes | memoryview) -> int:
        """Pass a piece on; once one failed, all further ones fail alike.

        Raises:
            Exception: what the first failure was.
        """
        if self.failure is not None:
            raise self.failure
        try:
            return self._write(memoryview(content))
        except Exception as error:
            self.failure = error
            raise

    def flush(self) -> None:
        """Nothing is held back here."""


def save(state: ShardState, write: Callable[[memoryview], int]) -> None:
    """Serialise a shard by torch.save.

    Raises:
        Exception: what ``write`` raised first, whatever torch made of it.
    """
    sink = Sink(write)
    try:
        torch.save(state, sink)  # type: ignore[arg-type]
    except Exception as error:
        if sink.failure is not None and sink.failure is not error:
            raise sink.failure from error
        raise


def load(file: BinaryIO | io.BufferedReader) -> ShardState:
    """Read a shard by torch.load, without a mapping."""
    loaded: ShardState = torch.load(file, weights_only=True, mmap=False)
    return loaded
