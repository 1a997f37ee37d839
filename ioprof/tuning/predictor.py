"""Rates of settings that were not measured, from those that were."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from ioprof.tuning.setting import Setting
from ioprof.tuning.tunable import Interval, Measured


@dataclass(frozen=True, slots=True, kw_only=True)
class Predicted:
    """What a setting would give."""

    samples_per_s: float
    samples_per_s_ci95: Interval | None
    accelerator_utilization: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """Predictions for several settings."""

    by: str
    """What made them, in a few words."""
    predicted: Mapping[Setting, Predicted] = field(default_factory=dict)
    assumptions: tuple[str, ...] = ()
    """What they rest on, in plain sentences."""


class Predictor(Protocol):
    """Predicts settings from runs."""

    def forecast(self, measured: Sequence[Measured], settings: Sequence[Setting]) -> Forecast:
        """Return what ``settings`` would give, as far as that can be said from the runs that have a rate."""
        ...


BY_INTERPOLATION = "interpolation between measured worker counts"
_ASSUMED = (
    "between two measured worker counts the curve bends gently, and beyond the largest it grows as the workers do",
    "how far workers may be ahead changes what it changed where it was measured",
)


class Interpolation:
    """Predicts without any model of the pipeline: where there is no trace to replay, or it cannot be replayed.

    Beyond the largest measured worker count the rate is taken to grow with the workers. That is mostly too much, so the
    next run goes where it would be worth most, and each run narrows what is left.
    """

    def forecast(self, measured: Sequence[Measured], settings: Sequence[Setting]) -> Forecast:
        """Return curves between the best of each measured worker count."""
        best: dict[int, float] = {}
        for one in measured:
            if one.samples_per_s is not None and one.setting.workers:
                best[one.setting.workers] = max(best.get(one.setting.workers, 0.0), one.samples_per_s)
        tried = {one.setting.prefetch for one in measured}
        wanted = [setting for setting in settings if setting.workers and setting.prefetch in tried]
        predicted = {setting: _between(best, setting.workers) for setting in wanted} if best else {}
        return Forecast(by=BY_INTERPOLATION, predicted=predicted, assumptions=_ASSUMED)


def _between(best: Mapping[int, float], workers: int) -> Predicted:
    below = max((count for count in best if count <= workers), default=None)
    above = min((count for count in best if count >= workers), default=None)
    if below is None or above is None:
        known = below if below is not None else min(best)
        grown = best[known] * workers / known
        ends = sorted((best[known], grown))
        return Predicted(samples_per_s=grown, samples_per_s_ci95=(ends[0], ends[1]))
    part = (workers - below) / (above - below) if above > below else 0.0
    chord = best[below] + part * (best[above] - best[below])
    # Such curves bend down, so they lie above their chords; no higher than the rate would have grown with the workers.
    bound = max(chord, best[below] * workers / below)
    value = max(chord, min(chord + _BENT * (bound - chord), _TALLEST * max(best[below], best[above])))
    return Predicted(samples_per_s=value, samples_per_s_ci95=(min(best[below], best[above]), bound))


_BENT = 0.3
"""How far a curve is taken to lie above its chord, of how far it could."""
_TALLEST = 1.5
"""How far it is taken to rise above both ends."""


class Corrected:
    """Predictions of another predictor, moved by how far it was off where both it and a run are known.

    The nearer a measured setting, in octaves of workers and of prefetch, the more its error counts; far from all of
    them, their mean does. What a model leaves out (a host that is slower today, a cost that grows with every worker)
    mostly changes slowly from setting to setting. For the same reason the interval narrows towards a measured setting.
    """

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor

    def forecast(self, measured: Sequence[Measured], settings: Sequence[Setting]) -> Forecast:
        """Return the corrected predictions."""
        wanted, known = set(settings), {one.setting for one in measured if one.samples_per_s}
        found = self._predictor.forecast(measured, sorted(wanted | known))
        errors = {
            one.setting: math.log(one.samples_per_s / found.predicted[one.setting].samples_per_s)
            for one in measured
            if one.samples_per_s and one.setting in found.predicted and found.predicted[one.setting].samples_per_s > 0
        }
        predicted = {
            setting: _moved(one, errors, setting) for setting, one in found.predicted.items() if setting in wanted
        }
        if all(one.accelerator_utilization is None for one in measured):
            # Nothing used the batches: what a replay makes of a busy time of nothing is no utilisation.
            predicted = {at: replace(one, accelerator_utilization=None) for at, one in predicted.items()}
        return Forecast(by=found.by, predicted=predicted, assumptions=found.assumptions)


def _moved(one: Predicted, errors: Mapping[Setting, float], setting: Setting) -> Predicted:
    """Return a prediction with the errors nearby taken out; their scatter is what it may still be off by.

    Runs without workers tell nothing of runs with some, nor these of those.
    """
    distances = {other: _octaves(setting, other) for other in errors if (other.workers == 0) == (setting.workers == 0)}
    if not distances:
        return one
    weights = {other: 1 / (distance**2 + _NEAREST) for other, distance in distances.items()}
    mean = sum(errors[other] for other in distances) / len(distances)
    error = (mean + sum(weight * errors[other] for other, weight in weights.items())) / (1 + sum(weights.values()))
    scatter = max(abs(errors[other] - error) for other in distances)
    farness = min(1.0, *distances.values())
    factor, rate = math.exp(error), one.samples_per_s
    widened, interval, utilization = math.exp(scatter * farness), None, one.accelerator_utilization
    if one.samples_per_s_ci95 is not None:
        low, high = ((bound - rate) * farness + rate for bound in one.samples_per_s_ci95)
        interval = (factor * low / widened, factor * high * widened)
    return Predicted(
        samples_per_s=rate * factor,
        samples_per_s_ci95=interval,
        accelerator_utilization=None if utilization is None else min(1.0, utilization * factor),
    )


_NEAREST = 1e-6
"""Keeps the weight of a setting's own error finite."""


def _octaves(one: Setting, other: Setting) -> float:
    if one.workers == 0 or other.workers == 0:
        return 0.0
    workers = abs(math.log2(one.workers / other.workers))
    return workers + abs(math.log2((one.prefetch or 1) / (other.prefetch or 1))) / 2
