"""How far a ratio of sums would move if the run were repeated: a block bootstrap over steps."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from ioprof.analysis.block_length import block_length

MIN_STEPS = 20
"""Below this many steps an interval would be a guess."""
RESAMPLES = 2000
MIN_BLOCKS = 5
"""Of fewer blocks, the quantiles that few blocks ask for lie beyond what `RESAMPLES` resamples can tell."""
_SEED = 20_240_901  # fixed: the same trace must always give the same interval


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTimes:
    """The measured steps of a run, in order."""

    samples: NDArray[np.int64]
    """Samples of each step."""
    step_ns: NDArray[np.int64]
    """How long each took, waiting included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Draws:
    """Both sums over each of `RESAMPLES` resampled runs."""

    numerators: NDArray[np.float64]
    denominators: NDArray[np.float64]
    blocks: float
    """Blocks that make up one resampled run."""

    @property
    def ratios(self) -> NDArray[np.float64]:
        """The ratio of each resampled run that took any time."""
        known = self.denominators > 0
        return np.asarray(self.numerators[known] / self.denominators[known])


def utilization_ci95(busy_ns: NDArray[np.int64], idle_ns: NDArray[np.int64]) -> tuple[float, float] | None:
    """Return the 95 % interval of busy / (busy + idle); None below `MIN_STEPS` steps or without any time.

    Args:
        busy_ns: busy time per step, in order.
        idle_ns: idle time per step, same length and order.
    """
    drawn = _drawn(busy_ns, busy_ns + idle_ns, np.random.default_rng(_SEED))
    if drawn is None:
        return None
    low, high = _interval(drawn.ratios, drawn.blocks)
    return low, min(1.0, high)


def rate_ci95(steps: StepTimes) -> tuple[float, float] | None:
    """Return the 95 % interval of samples per second; None as for `utilization_ci95`."""
    drawn = _drawn(steps.samples, steps.step_ns, np.random.default_rng(_SEED))
    return None if drawn is None else _interval(drawn.ratios * 1e9, drawn.blocks)


def rate_ratio_ci95(first: StepTimes, second: StepTimes) -> tuple[float, float] | None:
    """Return the 95 % interval of the first run's samples/s over the second's; None as for `utilization_ci95`.

    The steps of each run are drawn apart. The interval tells how far two runs like these would scatter by what varies
    from step to step; what differs between whole runs is not in it.
    """
    generator = np.random.default_rng(_SEED)
    one, other = (_drawn(run.samples, run.step_ns, generator) for run in (first, second))
    if one is None or other is None or first.samples.sum() <= 0 or second.samples.sum() <= 0:
        return None
    rates = [drawn.numerators / np.maximum(drawn.denominators, 1) for drawn in (one, other)]
    known = rates[1] > 0
    return _interval(rates[0][known] / rates[1][known], min(one.blocks, other.blocks))


def _drawn(
    numerator: NDArray[np.int64], denominator: NDArray[np.int64], generator: np.random.Generator
) -> _Draws | None:
    """Draw blocks of neighbouring steps, wrapping at the end, as often as it takes to cover all steps again.

    Neighbouring steps resemble each other (a slow server is slow for a while): single ones, drawn apart, would make
    the interval too narrow. Blocks are as long as the steps' likeness asks for, and at least the square root of their
    number: in short runs likeness hides in the noise.

    Source: Politis and Romano, "A circular block-resampling procedure", 1992.
    """
    count, total = len(numerator), float(denominator.sum())
    if count < MIN_STEPS or total <= 0:
        return None
    errors = numerator - float(numerator.sum()) / total * denominator
    block = max(block_length(errors), math.isqrt(count))
    starts = generator.integers(0, count, size=(RESAMPLES, math.ceil(count / block)))
    return _Draws(
        numerators=_block_sums(numerator, block)[starts].sum(axis=1),
        denominators=_block_sums(denominator, block)[starts].sum(axis=1),
        blocks=count / block,
    )


def _block_sums(values: NDArray[np.int64], block: int) -> NDArray[np.float64]:
    """Return the sum of the ``block`` values that start at each position, wrapping at the end."""
    wrapped = np.cumsum(np.concatenate([[0], values, values[: block - 1]]), dtype=np.float64)
    return np.asarray(wrapped[block:] - wrapped[:-block])


def _interval(ratios: NDArray[np.float64], blocks: float) -> tuple[float, float]:
    """Return the middle 95 % of resampled ratios, and more of them where few blocks make up a run.

    Few blocks scatter less than the steps they came from, and their scatter is itself not known well: the quantiles
    go out as far as Student's t does from the normal distribution.

    Source: Hesterberg, "What teachers should know about the bootstrap", 2015, section 4.1 (expanded percentiles).
    """
    if blocks < MIN_BLOCKS:
        return _interval_by_scatter(ratios, blocks)
    tail = NormalDist().cdf(-math.sqrt(blocks / (blocks - 1)) * student_t(blocks - 1))
    low, high = np.quantile(ratios, (tail, 1 - tail))
    return float(low), float(high)


def _interval_by_scatter(ratios: NDArray[np.float64], blocks: float) -> tuple[float, float]:
    """Return Student's t interval by the scatter of resampled ratios, none of which is negative."""
    middle = float(ratios.mean())
    half = math.sqrt(blocks / (blocks - 1)) * student_t(blocks - 1) * float(ratios.std())
    return max(0.0, middle - half), middle + half


def student_t(freedom: float) -> float:
    """Return the 97.5 % quantile of Student's t; within 1 % from 4 degrees of freedom on, within 4 % from 2.

    Source: Abramowitz and Stegun, "Handbook of Mathematical Functions", 1964, formula 26.7.5.
    """
    z = NormalDist().inv_cdf(0.975)
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + (z**3 + z) / (4 * freedom) + second / freedom**2 + third / freedom**3
