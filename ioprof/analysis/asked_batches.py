"""How far off an estimate may be that was made of some batches only, more of them at one time than at another."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

_NONE_OF = 3.0
"""None of n was one: at 95 %, up to 3 in n may be all the same (the rule of three)."""


def half_interval(batches: pa.Table) -> float:
    """Return half of the 95 % interval of the share of bytes that were cached, 0.0 to 1.0; batches are what was drawn.

    Each asked batch stands for those of its worker since the one asked before. At least 3 in so many batches as are
    worth the same when all weigh alike: where hardly one had a hit, the spread of those drawn tells nothing.

    Args:
        batches: measured ones, asked about (``client_hit_bytes`` known) or not.
    """
    order = np.lexsort([batches[name].to_numpy() for name in ("batch", "epoch", "worker", "rank")])
    drawn = batches.take(pa.array(order))
    is_asked = np.asarray(drawn["client_hit_bytes"].is_valid())
    weights = _weights(drawn, is_asked)
    asked = drawn.filter(pa.array(is_asked))
    hits, sizes = (asked[name].to_numpy().astype(np.float64) for name in ("client_hit_bytes", "bytes"))
    total = float((weights * sizes).sum())
    if len(sizes) < 2 or not total:
        return 1.0
    residuals = weights * (hits - sizes * float((weights * hits).sum()) / total)
    spread = math.sqrt(float((residuals**2).sum()) * len(sizes) / (len(sizes) - 1))
    alike = float(weights.sum()) ** 2 / float((weights**2).sum())
    return min(1.0, max(_NONE_OF / alike, 1.96 * spread / total))


def _weights(drawn: pa.Table, is_asked: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return how many batches each asked one stands for, in their order; those after a worker's last one for none."""
    ranks, workers = drawn["rank"].to_numpy(), drawn["worker"].to_numpy()
    is_first = np.ones(len(ranks), dtype=bool)
    is_first[1:] = (ranks[1:] != ranks[:-1]) | (workers[1:] != workers[:-1])
    begins = np.maximum.accumulate(np.where(is_first, np.arange(len(ranks)), 0))
    at = np.flatnonzero(is_asked)
    before = np.concatenate([[-1], at[:-1]])
    weights: NDArray[np.float64] = (at - np.maximum(before, begins[at] - 1)).astype(np.float64)
    return weights
