"""Which batches are kept in full, or asked about, where not all are: scattered, and the same in all processes."""

from __future__ import annotations

import numpy as np

from ioprof.trace.opsfile import Block

_GOLDEN = 0x9E3779B97F4A7C15
"""2^64 over the golden ratio: multiples of it, modulo 2^64, spread evenly (Knuth, vol. 3, 6.4)."""


def sampled(block: Block, sample_every: int) -> Block:
    """Return the batches that sampling keeps; discovery is always kept.

    Which batches those are depends on their number alone, so that all processes keep the same ones, and those kept
    at 1 in 2N are among those kept at 1 in N. Numbers are scattered first: workers take turns, and every Nth batch
    may be one worker's.

    Args:
        block: fresh or kept operations.
        sample_every: a power of two.
    """
    if sample_every == 1:
        return block
    batch = block.marks[:, 2]
    scattered = batch.astype(np.uint64) * np.uint64(_GOLDEN)
    return block.where((scattered < np.uint64(2**64 // sample_every)) | (batch < 0))


def is_sampled(batch: int, sample_every: int) -> bool:
    """Tell the same of one batch by its number, from 0."""
    return sample_every == 1 or batch * _GOLDEN % 2**64 < 2**64 // sample_every
