"""How long the blocks of a block bootstrap must be to keep what neighbouring steps have in common."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

_INSIGNIFICANT_RUN = 5
"""So many autocorrelations in a row must be insignificant before the rest is taken for none."""
_LEAST_LONG_RUN = 1e-6
"""Below this share of the plain variance, neighbours cancel each other out: no length would be long enough."""


def block_length(values: NDArray[np.float64]) -> int:
    """Return the length of blocks that suits the circular block bootstrap of a mean; at least 1.

    Short blocks lose what neighbours have in common and make intervals too narrow; long ones leave too few blocks.
    The length that errs least follows from the autocorrelations up to the lag beyond which they are insignificant,
    under a flat-top window. It grows with the cube root of the number of values, and is at most a third of it.

    Args:
        values: one per step, in order; of a ratio of sums, what each step adds to its error.
    Source: Politis and White, "Automatic block-length selection for the dependent bootstrap", 2004, with the
        correction of Patton, Politis and White, 2009.
    """
    count = len(values)
    longest = max(1, int(min(3 * math.sqrt(count), count / 3)))
    covariance = _autocovariance(values, min(count - 1, math.isqrt(count) + 1 + _run(count)))
    if longest == 1 or len(covariance) < 2 or covariance[0] <= 0:
        return 1
    correlation = covariance / covariance[0]
    lags = np.arange(len(covariance))
    window = _flat_top(lags / min(2 * _last_significant_lag(correlation, count), lags[-1]))
    # Both sums run over negative lags as well: every lag but 0 counts twice.
    slope = 2 * float(np.sum(window * lags * correlation))
    long_run = float(2 * np.sum(window * correlation) - 1)
    if long_run < _LEAST_LONG_RUN:
        return longest
    wanted = math.cbrt(1.5 * (slope / long_run) ** 2 * count)
    return min(longest, max(1, math.ceil(wanted)))


def _run(count: int) -> int:
    return max(_INSIGNIFICANT_RUN, math.ceil(math.log10(max(count, 1))))


def _autocovariance(values: NDArray[np.float64], most: int) -> NDArray[np.float64]:
    """Return the autocovariance at lags 0 to ``most``; by Fourier transform, as there may be millions of values."""
    count = len(values)
    if count < 2:
        return np.zeros(1)
    size = 1 << (count + most).bit_length()
    spectrum = np.fft.rfft(values - values.mean(), size)
    return np.asarray(np.fft.irfft(spectrum * spectrum.conj(), size)[: most + 1] / count)


def _last_significant_lag(correlation: NDArray[np.float64], count: int) -> int:
    """Return the lag after which a whole run of autocorrelations is insignificant; at least 1."""
    bound = 2 * math.sqrt(math.log10(count) / count)
    significant = np.abs(correlation[1:]) >= bound
    run = _run(count)
    for lag in range(len(significant) - run + 1):
        if not significant[lag : lag + run].any():
            return max(1, lag)
    found = np.flatnonzero(significant)
    return int(found[-1]) + 1 if len(found) else 1


def _flat_top(share: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the window: 1 up to half of its width, falling to 0 at its end."""
    return np.asarray(np.clip(2 * (1 - np.abs(share)), 0.0, 1.0))
