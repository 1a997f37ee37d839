"""How far a ratio of sums would move if the run were repeated: a block bootstrap over steps."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MIN_STEPS = 20
"""Below this many steps an interval would be a guess."""
RESAMPLES = 1000
_SEED = 20_240_901  # fixed: the same trace must always give the same interval


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTimes:
    """The measured steps of a run, in order."""

    samples: NDArray[np.int64]
    """Samples of each step."""
    step_ns: NDArray[np.int64]
    """How long each took, waiting included."""


def utilization_ci95(busy_ns: NDArray[np.int64], idle_ns: NDArray[np.int64]) -> tuple[float, float] | None:
    """Return the 95 % interval of busy / (busy + idle); None below `MIN_STEPS` steps or without any time.

    Neighbouring steps resemble each other (a slow server is slow for a while), so whole runs of about sqrt(n)
    steps are drawn, wrapping at the end, as often as it takes to cover n steps again.

    Args:
        busy_ns: busy time per step, in order.
        idle_ns: idle time per step, same length and order.
    Source: Politis and Romano, "A circular block-resampling procedure", 1992.
    """
    if len(busy_ns) < MIN_STEPS or busy_ns.sum() + idle_ns.sum() <= 0:
        return None
    busy, idle = _resampled_sums(busy_ns, idle_ns, np.random.default_rng(_SEED))
    total = busy + idle
    ratios = busy[total > 0] / total[total > 0]
    low, high = np.quantile(ratios, (0.025, 0.975))
    return float(low), float(high)


def rate_ratio_ci95(first: StepTimes, second: StepTimes) -> tuple[float, float] | None:
    """Return the 95 % interval of the first run's samples/s over the second's; None as for `utilization_ci95`.

    The steps of each run are drawn apart. The interval tells how far two runs like these would scatter by what varies
    from step to step; what differs between whole runs is not in it.
    """
    generator = np.random.default_rng(_SEED)
    rates = []
    for run in (first, second):
        if len(run.samples) < MIN_STEPS or run.step_ns.sum() <= 0 or run.samples.sum() <= 0:
            return None
        samples, step_ns = _resampled_sums(run.samples, run.step_ns, generator)
        rates.append(samples / np.maximum(step_ns, 1))
    known = rates[1] > 0
    low, high = np.quantile(rates[0][known] / rates[1][known], (0.025, 0.975))
    return float(low), float(high)


def _resampled_sums(
    first: NDArray[np.int64], second: NDArray[np.int64], generator: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return both columns' sums over each of `RESAMPLES` draws of the same steps."""
    count = len(first)
    block = math.isqrt(count)
    starts = generator.integers(0, count, size=(RESAMPLES, math.ceil(count / block)))
    return _block_sums(first, block)[starts].sum(axis=1), _block_sums(second, block)[starts].sum(axis=1)


def _block_sums(values: NDArray[np.int64], block: int) -> NDArray[np.float64]:
    """Return the sum of the ``block`` values that start at each position, wrapping at the end."""
    wrapped = np.cumsum(np.concatenate([[0], values, values[: block - 1]]), dtype=np.float64)
    return np.asarray(wrapped[block:] - wrapped[:-block])
