"""The universal scalability law fitted to measured levels, with numpy alone.

X(N) = x N / (1 + s (N - 1) + k N (N - 1)) is linear in 1/x, s/x and k/x once it is turned round:
N / X(N) = 1/x + s/x (N - 1) + k/x N (N - 1). Each row is divided by its N / X, so that relative errors count.
The bounds (s and k not below zero) are kept exactly: with two of them, the best fit is the best among those that leave
out none, one, or both.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ioprof.trace.probe_record import LevelRecord, ScalabilityRecord

MIN_LEVELS = 3
RESAMPLES = 400
_SEED = 20_240_901  # fixed: the same levels must always give the same interval
_CHOICES = ((0,), (0, 1), (0, 2), (0, 1, 2))
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """One fitted curve."""

    one_per_s: float
    contention: float
    coherency: float

    def rate_per_s(self, processes: Floats) -> Floats:
        """Return X(N)."""
        n = processes
        return self.one_per_s * n / (1 + self.contention * (n - 1) + self.coherency * n * (n - 1))


def fitted(processes: Floats, rates_per_s: Floats) -> Curve:
    """Return the curve of the least relative squares with no parameter below zero.

    Args:
        processes: N of each level, 1.0 or more.
        rates_per_s: X(N), above zero, same order.
    """
    n, turned = processes, processes / rates_per_s
    columns = np.stack([np.ones_like(n), n - 1, n * (n - 1)], axis=1) / turned[:, None]
    best, least = np.array([np.mean(turned), 0.0, 0.0]), np.inf
    for choice in _CHOICES:
        found = np.linalg.lstsq(columns[:, choice], np.ones_like(n), rcond=None)[0]
        if found[0] <= 0 or (found < 0).any():
            continue
        whole = np.zeros(3)
        whole[list(choice)] = found
        error = float(np.sum((1 - columns @ whole) ** 2))
        # A parameter more must earn its place: rounding alone would always choose the longest.
        if error < least * (1 - 1e-9):
            best, least = whole, error
    return Curve(one_per_s=float(1 / best[0]), contention=float(best[1] / best[0]), coherency=float(best[2] / best[0]))


def scalability(levels: list[LevelRecord]) -> ScalabilityRecord | None:
    """Return the curve of the levels with its intervals; None with fewer than `MIN_LEVELS` that read anything.

    The intervals tell what the spread from window to window does to the parameters (bootstrap: windows of each level
    are drawn anew); that the store may not follow such a curve at all shows in the error.
    """
    levels = [level for level in levels if level.samples_per_s > 0]
    if len({level.processes for level in levels}) < MIN_LEVELS:
        return None
    processes = np.array([level.processes for level in levels], dtype=np.float64)
    rates = np.array([level.samples_per_s for level in levels])
    curve = fitted(processes, rates)
    drawn = [fitted(processes, _drawn(levels, generator)) for generator in [np.random.default_rng(_SEED)] * RESAMPLES]
    return ScalabilityRecord(
        samples_per_s_of_one=curve.one_per_s,
        contention=curve.contention,
        coherency=curve.coherency,
        samples_per_s_of_one_ci95=_interval([one.one_per_s for one in drawn]),
        contention_ci95=_interval([one.contention for one in drawn]),
        coherency_ci95=_interval([one.coherency for one in drawn]),
        error_ratio=float(np.sqrt(np.mean((rates / curve.rate_per_s(processes) - 1) ** 2))),
        levels=len(levels),
    )


def _drawn(levels: list[LevelRecord], generator: np.random.Generator) -> Floats:
    rates = []
    for level in levels:
        windows = np.array(level.window_samples_per_s or [level.samples_per_s])
        drawn = float(generator.choice(windows, size=len(windows)).mean())
        rates.append(drawn if drawn > 0 else level.samples_per_s)
    return np.array(rates)


def _interval(values: list[float]) -> tuple[float, float]:
    low, high = np.quantile(values, (0.025, 0.975))
    return float(low), float(high)
