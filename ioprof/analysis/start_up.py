"""Where the steady part of a run begins: the first steps that are unlike the rest are its start-up."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ioprof.analysis.block_length import block_length

LEAST_STEPS = 60
"""With fewer steps, what is left after a start-up would say too little."""
_GROUP = 5
_SURE_SIGMAS = 4.0
"""By how many standard errors the start must differ: the best of many places was looked for."""


def start_up_steps(step_ns: NDArray[np.int64]) -> int | None:
    """Return how many first steps are start-up; 0: none; None: too few steps to tell, or no steady part follows.

    The cut is the one that leaves the mean of the rest known best: MSER-5, which compares the spread of what is left
    with how much is left, for groups of five steps. It looks at ranks, not at times, so that one very slow step in
    the middle is no reason to drop all before it. And it counts only where the dropped steps differ from the rest by
    more than chance.

    Args:
        step_ns: how long each step took, waiting included, from the run's first step on.
    Source: White, "An effective truncation heuristic for bias reduction in simulation output", 1997; White, Cobb and
        Spratt, "A comparison of five steady-state truncation heuristics for simulation", 2000.
    """
    if len(step_ns) < LEAST_STEPS:
        return None
    ranks = _ranks(step_ns)
    groups = ranks[: len(ranks) // _GROUP * _GROUP].reshape(-1, _GROUP).mean(axis=1)
    cut = _best_cut(groups)
    first, rest = ranks[: cut * _GROUP], ranks[cut * _GROUP :]
    if cut == 0 or not _differs(first, rest):
        return 0
    half = len(rest) // 2
    if cut >= len(groups) // 2 or _differs(rest[:half], rest[half:]):
        return None
    return cut * _GROUP if _is_unlike_all_of(first, rest) else 0


def _ranks(values: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the rank of each value, 0.0 to 1.0; equal values share the middle of theirs."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return np.asarray((ends - counts / 2)[places] / len(values))


def _best_cut(groups: NDArray[np.float64]) -> int:
    """Return the number of first groups whose removal makes the squared standard error of the rest smallest."""
    left = np.arange(len(groups), 0, -1)
    sums = np.cumsum(groups[::-1])[::-1]
    squares = np.cumsum(groups[::-1] ** 2)[::-1]
    error = (squares - sums**2 / left) / left.astype(np.float64) ** 2
    return int(np.argmin(error[: len(groups) // 2 + 1]))


def _differs(first: NDArray[np.float64], rest: NDArray[np.float64]) -> bool:
    """Tell whether two parts differ by more than chance, as far as neighbours that resemble each other allow."""
    block = max(block_length(rest), _GROUP)
    blocks = rest[: len(rest) // block * block].reshape(-1, block).mean(axis=1)
    variance = float(blocks.var(ddof=1)) * block if len(blocks) > 1 else math.inf
    error = math.sqrt(variance * (1 / len(first) + 1 / len(rest)))
    return abs(float(first.mean() - rest.mean())) > _SURE_SIGMAS * error


def _is_unlike_all_of(first: NDArray[np.float64], rest: NDArray[np.float64]) -> bool:
    """Tell whether no stretch of the rest is like the start: what comes again, as bursts do, is no start-up."""
    stretches = _means(rest, len(first))
    return not float(stretches.min()) <= float(first.mean()) <= float(stretches.max())


def _means(values: NDArray[np.float64], length: int) -> NDArray[np.float64]:
    """Return the mean of each stretch of so many values."""
    sums = np.cumsum(np.concatenate([[0.0], values]))
    return np.asarray((sums[length:] - sums[:-length]) / length)
