"""Busy times that differ from step to step, as benchmark configurations describe them; drawn from a seed."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ioprof.units import parse_duration_ns

FORMS = "normal:MEAN:STDEV, uniform:LOW:HIGH, gamma:SHAPE:SCALE, exponential:MEAN or poisson:MEAN (normal:20ms:2ms)"
_BLOCK = 1024
"""Draws made together."""
_STREAM = 7
"""Keeps these draws apart from sizes, orders and content of the same seed."""


@dataclass(frozen=True, slots=True)
class StepTimes:
    """A distribution of busy times per batch. Negative draws count by their absolute value, as DLIO takes them."""

    kind: str
    first: float
    """Mean, low end or shape; times in ns."""
    second: float
    """Standard deviation, high end or scale; times in ns. Not used by exponential and poisson."""

    @property
    def mean_ns(self) -> float:
        """Mean busy time in ns (of a normal distribution: before negative draws are folded over)."""
        match self.kind:
            case "uniform":
                return (self.first + self.second) / 2
            case "gamma":
                return self.first * self.second
        return self.first

    def draw(self, random: np.random.Generator, count: int) -> list[int]:
        """Return ``count`` busy times in ns."""
        drawn: NDArray[np.floating]
        match self.kind:
            case "normal":
                drawn = random.normal(self.first, self.second, count)
            case "uniform":
                drawn = random.uniform(self.first, self.second, count)
            case "gamma":
                drawn = random.gamma(self.first, self.second, count)
            case "exponential":
                drawn = random.exponential(self.first, count)
            case _:
                # Poisson numbers are whole, and the unit of the configurations is the second.
                drawn = random.poisson(self.first / 1e9, count) * 1e9
        return [round(value) for value in np.abs(drawn).tolist()]


class Drawn:
    """Hands out busy times one after another; the same for the same seed."""

    def __init__(self, times: StepTimes, seed: int) -> None:
        self._times = times
        self._random = np.random.Generator(np.random.PCG64(np.random.SeedSequence((seed, _STREAM))))
        self._left: list[int] = []

    def __call__(self) -> int:
        """Return the next busy time in ns."""
        if not self._left:
            self._left = self._times.draw(self._random, _BLOCK)[::-1]
        return self._left.pop()


def parse_step_times(text: str) -> StepTimes:
    """Return the distribution that ``normal:20ms:2ms`` or another of `FORMS` names.

    Raises:
        ValueError: none of these, or a negative or inverted one.
    """
    kind, *rest = text.strip().split(":")
    wanted = {"normal": 2, "uniform": 2, "gamma": 2, "exponential": 1, "poisson": 1}.get(kind)
    if wanted is None or len(rest) != wanted:
        raise ValueError(f"{text!r}: busy times are {FORMS}")
    try:
        first = float(rest[0]) if kind == "gamma" else float(parse_duration_ns(rest[0]))
        second = float(parse_duration_ns(rest[1])) if wanted == 2 else 0.0
    except ValueError as error:
        raise ValueError(f"{error}; busy times are {FORMS}") from error
    if not (math.isfinite(first) and first >= 0 and second >= 0) or (kind == "uniform" and second < first):
        raise ValueError(f"{text!r}: times must be 0 or more, the lower one first")
    return StepTimes(kind, first, second)
