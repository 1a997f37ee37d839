"""The order in which an epoch wants its samples."""

from __future__ import annotations

import numpy as np

from ioprof.contract import Indices


def seeded_order(samples: int, seed: int, epoch: int, *, shuffle: bool) -> Indices:
    """Return the sample numbers in the order of an epoch: sorted by random bits that depend on seed and epoch alone.

    Args:
        samples: how many there are.
        seed: of the run.
        epoch: from 0.
        shuffle: False: in ascending order, whatever the seed.
    """
    if not shuffle:
        return np.arange(samples, dtype=np.int64)
    # Raw bits, not Generator.permutation: numpy keeps the former the same in every version.
    bits = np.random.PCG64(np.random.SeedSequence((seed, epoch, 1))).random_raw(samples)
    return np.argsort(bits, kind="stable").astype(np.int64, copy=False)
