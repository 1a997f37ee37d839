"""How far a ratio of sums would move if the run were repeated: a block bootstrap over steps."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

MIN_STEPS = 20
"""Below this many steps an interval would be a guess."""
RESAMPLES = 1000
_SEED = 20_240_901  # fixed: the same trace must always give the same interval


def utilization_ci95(busy_ns: NDArray[np.int64], idle_ns: NDArray[np.int64]) -> tuple[float, float] | None:
    """Return the 95 % interval of busy / (busy + idle); None below `MIN_STEPS` steps or without any time.

    Neighbouring steps resemble each other (a slow server is slow for a while), so whole runs of about sqrt(n)
    steps are drawn, wrapping at the end, as often as it takes to cover n steps again.

    Args:
        busy_ns: busy time per step, in order.
        idle_ns: idle time per step, same length and order.
    Source: Politis and Romano, "A circular block-resampling procedure", 1992.
    """
    count = len(busy_ns)
    if count < MIN_STEPS or busy_ns.sum() + idle_ns.sum() <= 0:
        return None
    block = math.isqrt(count)
    starts = np.random.default_rng(_SEED).integers(0, count, size=(RESAMPLES, math.ceil(count / block)))
    busy = _block_sums(busy_ns, block)[starts].sum(axis=1)
    total = busy + _block_sums(idle_ns, block)[starts].sum(axis=1)
    ratios = busy[total > 0] / total[total > 0]
    low, high = np.quantile(ratios, (0.025, 0.975))
    return float(low), float(high)


def _block_sums(values: NDArray[np.int64], block: int) -> NDArray[np.float64]:
    """Return the sum of the ``block`` values that start at each position, wrapping at the end."""
    wrapped = np.cumsum(np.concatenate([[0], values, values[: block - 1]]), dtype=np.float64)
    return np.asarray(wrapped[block:] - wrapped[:-block])
