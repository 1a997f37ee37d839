"""What can be told of a batch that somebody else made: how many samples it holds, and how many bytes."""

from __future__ import annotations

from collections import UserDict
from collections.abc import Sequence


def samples_in(batch: object) -> int:
    """Return how many samples a ready batch holds, as far as its shape tells: the length of its first tensor or array.

    A list without any holds as many as it has items; everything else counts as one sample.
    """
    shape = getattr(batch, "shape", None)
    if isinstance(shape, Sequence):
        return int(shape[0]) if shape else 1
    if not isinstance(batch, list | tuple | dict | UserDict):
        return 1
    parts = batch if isinstance(batch, list | tuple) else list(batch.values())
    shaped = next((part for part in parts if isinstance(getattr(part, "shape", None), Sequence)), None)
    if shaped is not None:
        return samples_in(shaped)
    nested = next((part for part in parts if isinstance(part, list | tuple | dict | UserDict)), None)
    if nested is not None:
        return samples_in(nested)
    return len(batch) if isinstance(batch, list) else 1


def bytes_in(batch: object) -> int:
    """Return the bytes of all arrays, tensors and buffers in a batch, however nested."""
    if isinstance(batch, bytes | bytearray):
        return len(batch)
    if isinstance(batch, list | tuple):
        return sum(map(bytes_in, batch))
    if isinstance(batch, dict | UserDict):
        return sum(map(bytes_in, batch.values()))
    size_bytes = getattr(batch, "nbytes", 0)
    return size_bytes if isinstance(size_bytes, int) else 0
