"""What would help a run, best first: every cure that applies, played through the run's own pipeline model."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from ioprof.analysis.cure_list import Situation, ladders, more_cores, single_cures, together
from ioprof.analysis.cures import COSTS, Cure, CureId, Ladder
from ioprof.analysis.pipeline.change import Change
from ioprof.analysis.pipeline.model import Interval, Prediction
from ioprof.analysis.retry import changed_command, other_workload_command
from ioprof.analysis.summary import Finding
from ioprof.errors import IoprofError

LEAST_GAIN = 1.02
"""Less is not worth naming, however narrow its interval."""
EQUAL_RATIO = 1.03
"""Gains within this ratio are the same; so are those inside the interval of the best. Then the cheaper goes first."""
TRUSTED_REPLAY = 1.5
"""A model whose replay of the run as it was differs by more is not asked."""
_SAME_REPLAY = 0.04
"""A replay of the run as it was that is off by no more is taken as it is; else predictions are put right by it."""
MOST_EVENTS = 40_000
"""Of one replay: about twenty are made for every report, of which none shall take long."""
FED = 0.99
_STEP_ENOUGH = 0.98
_SEVERITIES = ((1.5, "high"), (1.15, "medium"), (0.0, "low"))


class Predictor(Protocol):
    """What is asked for predictions: a `PipelineModel`."""

    def predict(self, change: Change, most_events: int) -> Prediction:
        """Return what the run would deliver with a change; raises IoprofError where that cannot be told."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """A cure and what the model says of it."""

    cure: Cure
    prediction: Prediction
    gain_ratio: float
    """Samples/s over those of the run replayed as it was."""

    @property
    def is_shown(self) -> bool:
        """Whether it brings more than its interval leaves open."""
        low = self.prediction.samples_per_s_ci95
        floor = 1.0 if low is None else low[0] / max(self.prediction.samples_per_s, 1e-9) * self.gain_ratio
        return self.gain_ratio >= LEAST_GAIN and floor > 1.0

    def is_beaten_by(self, other: Tried) -> bool:
        """Whether the other brings more than the interval of this one leaves open."""
        interval = self.prediction.samples_per_s_ci95
        high = self.prediction.samples_per_s if interval is None else interval[1]
        return other.prediction.samples_per_s > max(high, self.prediction.samples_per_s * EQUAL_RATIO)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cured:
    """What came of trying every cure."""

    tried: tuple[Tried, ...]
    """All that could be predicted, helpful or not."""
    findings: tuple[Finding, ...] | None
    reason: str | None
    """Why there are no findings; None: there are, or nothing would help."""
    undecided: str | None = None
    """What might help where nothing does for certain: it brings more, but its interval leaves open whether it does."""

    @property
    def gains(self) -> Mapping[CureId, float]:
        """What each cure would bring that could be predicted, helpful or not."""
        return {one.cure.id: one.gain_ratio for one in self.tried}


def nothing_tried(reason: str | None) -> Cured:
    """Return the result of trying nothing; without a reason: nothing needs a cure."""
    return Cured(tried=(), findings=None if reason else (), reason=reason)


def cured(model: Predictor, situation: Situation) -> Cured:
    """Return what would help, best first; where gains are the same, what costs nothing goes first."""
    try:
        now = model.predict(Change(), MOST_EVENTS)
    except IoprofError as error:
        return nothing_tried(str(error))
    off_ratio = situation.delivered_per_s / now.samples_per_s
    if not 1 / TRUSTED_REPLAY <= off_ratio <= TRUSTED_REPLAY:
        return nothing_tried(
            f"replayed as it was, the run would deliver {now.samples_per_s:,.0f} samples/s where it delivered "
            f"{situation.delivered_per_s:,.0f}: its model is not good enough to predict changes from"
        )
    trial = _Trial(model, now, off_ratio if abs(off_ratio - 1.0) > _SAME_REPLAY else 1.0)
    tried = [one for ladder in ladders(situation) if (one := _smallest_enough(trial, ladder)) is not None]
    tried += [one for cure in single_cures(situation) if (one := trial.of(cure)) is not None]
    tried += _joined(trial, situation, tried)
    tried += [] if situation.is_at_store_limit else _on_more_cores(trial, situation, tried)
    helpful = ranked([one for one in tried if one.is_shown])
    return Cured(
        tried=tuple(tried),
        findings=tuple(_finding(one, now, situation) for one in helpful),
        reason=None,
        undecided=None if helpful else _undecided(tried),
    )


def _undecided(tried: list[Tried]) -> str | None:
    """Return what would bring most of what is not certain, in words; None: nothing would bring anything."""
    best = max(tried, key=lambda one: one.gain_ratio, default=None)
    if best is None or best.gain_ratio < LEAST_GAIN:
        return None
    interval = best.prediction.samples_per_s_ci95
    told = f"{best.cure.action} would bring {best.gain_ratio:.2f} x as much"
    if interval is not None:
        told += f" ({interval[0]:,.0f} - {interval[1]:,.0f} samples/s)"
    return f"{told}, but that may be nothing; a longer run tells more"


@dataclass(frozen=True, slots=True)
class _Trial:
    model: Predictor
    now: Prediction
    off_ratio: float
    """What the run delivered over what it does when replayed as it was; 1.0 within the model's known error."""

    def of(self, cure: Cure) -> Tried | None:
        """Return what a cure brings; None where the model cannot tell."""
        try:
            prediction = _reaching(self.model.predict(cure.change, MOST_EVENTS), self.off_ratio)
        except IoprofError:
            return None
        return Tried(cure=cure, prediction=prediction, gain_ratio=prediction.samples_per_s / self.now.samples_per_s)


def _reaching(prediction: Prediction, off_ratio: float) -> Prediction:
    """Return a prediction whose intervals reach to what it would be, were it off as the replay of the run is."""
    if off_ratio == 1.0:
        return prediction
    told = f"Replayed as it was, the run would deliver {1 / off_ratio:.2f} x what it did: the intervals hold that too."
    return replace(
        prediction,
        samples_per_s_ci95=_reached(prediction.samples_per_s, prediction.samples_per_s_ci95, off_ratio, math.inf),
        accelerator_utilization_ci95=None
        if prediction.accelerator_utilization is None
        else _reached(prediction.accelerator_utilization, prediction.accelerator_utilization_ci95, off_ratio, 1.0),
        assumptions=(*prediction.assumptions, told),
    )


def _reached(value: float, interval: Interval | None, off_ratio: float, most: float) -> Interval:
    low, high = interval or (value, value)
    return low * min(1.0, off_ratio), min(most, high * max(1.0, off_ratio))


def _smallest_enough(trial: _Trial, ladder: Ladder) -> Tried | None:
    """Climb while a step brings something; return the lowest step that brings nearly what the best does."""
    climbed: list[Tried] = []
    for value in ladder.steps:
        one = trial.of(ladder.at(value))
        if one is None or (one.prediction.outside and value > ladder.reach):
            break
        climbed.append(one)
        if (one.prediction.accelerator_utilization or 0.0) >= FED or _is_level(climbed):
            break
    if not climbed:
        return None
    best = max(one.gain_ratio for one in climbed)
    return next(one for one in climbed if one.gain_ratio >= best * _STEP_ENOUGH)


def _is_level(climbed: list[Tried]) -> bool:
    """Tell whether two steps in a row brought nothing more."""
    if len(climbed) < 3:
        return False
    before = max(one.gain_ratio for one in climbed[:-2])
    return max(one.gain_ratio for one in climbed[-2:]) < before * LEAST_GAIN


def _joined(trial: _Trial, situation: Situation, tried: list[Tried]) -> list[Tried]:
    """Return the loader's flags that help, all together, where no single one feeds the accelerator."""
    flags = [one for one in tried if one.cure.id in ("more-workers", "more-prefetch", "out-of-order") and one.is_shown]
    fed = any((one.prediction.accelerator_utilization or 0.0) >= FED for one in flags)
    if len(flags) < 2 or fed:
        return []
    one = trial.of(together(situation, [flag.cure for flag in flags]))
    best = max(flag.gain_ratio for flag in flags)
    return [one] if one is not None and one.gain_ratio > best * EQUAL_RATIO else []


def _on_more_cores(trial: _Trial, situation: Situation, tried: list[Tried]) -> list[Tried]:
    """Return a larger host with the flags that help most here; it must bring more than they do without it."""
    free = [one for one in tried if one.is_shown and one.cure.id in ("more-workers", "more-prefetch", "flags-together")]
    best = max(free, key=lambda one: one.gain_ratio, default=None)
    one = trial.of(more_cores(situation, None if best is None else best.cure))
    if one is None:
        return []
    return [one] if best is None or best.is_beaten_by(one) else []


def ranked(tried: list[Tried]) -> list[Tried]:
    """Return cures by gain; of those that bring the same, the cheaper first."""
    left, order = sorted(tried, key=lambda one: -one.gain_ratio), []
    while left:
        same = [one for one in left if not one.is_beaten_by(left[0])]
        order += sorted(same, key=lambda one: COSTS.index(one.cure.cost))
        left = [one for one in left if one not in same]
    return order


def _finding(one: Tried, now: Prediction, situation: Situation) -> Finding:
    cure, prediction = one.cure, one.prediction
    return Finding(
        id=cure.id,
        severity=next(name for least, name in _SEVERITIES if one.gain_ratio >= least),
        cost=cure.cost,
        evidence={
            "samples_per_s": situation.delivered_per_s,
            "replayed_samples_per_s": now.samples_per_s,
            "gain_ratio": one.gain_ratio,
            **cure.evidence,
        },
        action=cure.action,
        command=_command(cure, situation),
        predicted_accelerator_utilization=prediction.accelerator_utilization,
        predicted_accelerator_utilization_ci95=prediction.accelerator_utilization_ci95,
        predicted_samples_per_s=prediction.samples_per_s,
        predicted_samples_per_s_ci95=prediction.samples_per_s_ci95,
        assumptions=prediction.assumptions,
        outside=prediction.outside,
    )


def _command(cure: Cure, situation: Situation) -> str | None:
    if not cure.settings:
        return None if cure.predicted_by is None else shlex.join(cure.predicted_by)
    if cure.workload is not None:
        return other_workload_command(situation.run, cure.workload, cure.settings)
    return changed_command(situation.run, cure.settings)
