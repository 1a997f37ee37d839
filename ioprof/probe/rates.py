"""What windows of equal length say of a rate: its interval, and whether another rate is higher."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

MIN_WINDOWS = 3
"""Below this many windows an interval would be a guess."""
_T975 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131)
"""Student's t at 97.5 % for 1, 2, 3... degrees of freedom."""
_T975_BEYOND = 2.13
"""For more of them: the last value of the table, which is a little too wide for all of those."""


def rate_ci95(window_rates: Sequence[float]) -> tuple[float, float] | None:
    """Return the 95 % interval of the mean rate, by Student's t; None below `MIN_WINDOWS` windows."""
    if len(window_rates) < MIN_WINDOWS:
        return None
    mean = float(np.mean(window_rates))
    half = _t975(len(window_rates) - 1) * _standard_error(window_rates)
    return max(0.0, mean - half), mean + half


def half_width_ratio(window_rates: Sequence[float]) -> float:
    """Return half the interval relative to the mean rate; infinite where there is no interval or nothing was read."""
    interval = rate_ci95(window_rates)
    mean = float(np.mean(window_rates)) if window_rates else 0.0
    return (interval[1] - mean) / mean if interval is not None and mean > 0 else math.inf


def ratio_ci95(rates: Sequence[float], of: Sequence[float]) -> tuple[float, float]:
    """Return the 95 % interval of one mean rate over another; (0, infinity) where either is not known.

    The relative errors add up as squares; the degrees of freedom are those of the shorter row, which is cautious.
    """
    if min(len(rates), len(of)) < MIN_WINDOWS or np.mean(of) <= 0 or np.mean(rates) <= 0:
        return 0.0, math.inf
    ratio = float(np.mean(rates) / np.mean(of))
    spread = math.hypot(_standard_error(rates) / float(np.mean(rates)), _standard_error(of) / float(np.mean(of)))
    factor = math.exp(_t975(min(len(rates), len(of)) - 1) * spread)
    return ratio / factor, ratio * factor


def _standard_error(values: Sequence[float]) -> float:
    return float(np.std(values, ddof=1)) / math.sqrt(len(values))


def _t975(degrees: int) -> float:
    return _T975[degrees - 1] if degrees <= len(_T975) else _T975_BEYOND
