"""Predictions by the pipeline model: the batches of a run, played through the pipeline again with another setting."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ioprof.analysis.pipeline.change import Change
from ioprof.analysis.pipeline.model import PipelineModel, Prediction
from ioprof.errors import IoprofError
from ioprof.tuning.choose import NEAR_RATIO
from ioprof.tuning.predictor import Forecast, Interpolation, Predicted
from ioprof.tuning.setting import Setting
from ioprof.tuning.tunable import Measured

BY_REPLAY = "replay of the first run's batches through the pipeline model, moved by what later runs showed"
_HALF_AN_OCTAVE = 1.4
"""Between these the curve is taken to run straight."""


@dataclass(slots=True)
class _Model:
    """The run of one setting, ready to be replayed."""

    setting: Setting
    model: PipelineModel
    known: dict[Setting, Prediction | None] = field(default_factory=dict)
    """What was asked of it before; None: it could not tell."""

    def predict(self, setting: Setting) -> Prediction | None:
        if setting not in self.known:
            try:
                self.known[setting] = self.model.predict(Change(workers=setting.workers, prefetch=setting.prefetch))
            except IoprofError:
                self.known[setting] = None
        return self.known[setting]


class Replay:
    """Replays the first run; bent curves where it cannot be replayed.

    A replay takes a part of a second, so not every setting has its own: worker counts half an octave apart, with the
    prefetch that the run had; others where the curve comes near its top. Between those it is straight.
    """

    def __init__(self) -> None:
        self._model: _Model | str | None = None
        self._without = Interpolation()

    def forecast(self, measured: Sequence[Measured], settings: Sequence[Setting]) -> Forecast:
        """Return what each setting would give, as far as that can be told from what was replayed."""
        if self._model is None or isinstance(self._model, str):
            first = next((one for one in measured if one.setting.workers), None)
            self._model = None if first is None else _model(first)
        if not isinstance(self._model, _Model):
            found = self._without.forecast(measured, settings)
            told = () if self._model is None else (f"no run can be replayed: {self._model}",)
            return replace(found, assumptions=(*found.assumptions, *told))
        return self._replayed(self._model, measured, settings)

    def _replayed(self, model: _Model, measured: Sequence[Measured], settings: Sequence[Setting]) -> Forecast:
        counts = sorted({one.workers for one in settings})
        ahead = model.setting.prefetch
        coarse = [one for one in settings if one.workers in _coarse(counts) and one.prefetch in (ahead, None)]
        for one in (*coarse, *(run.setting for run in measured)):
            model.predict(one)
        near = set(_near_top(model, coarse, counts))
        near |= {one.setting.workers for one in sorted(measured, key=lambda one: one.samples_per_s or 0.0)[-1:]}
        for one in settings:
            if one.workers in near:
                model.predict(one)
        known = {setting: one for setting, one in model.known.items() if one is not None}
        rates = {setting: _predicted(one) for setting, one in known.items()}
        return Forecast(
            by=BY_REPLAY,
            predicted={one: rate for one in settings if (rate := rates.get(one) or between(rates, one)) is not None},
            assumptions=_common(one.assumptions for one in known.values()),
        )


def _coarse(counts: Sequence[int]) -> set[int]:
    """Return counts about half an octave apart, both ends included."""
    chosen = list(counts[:1])
    for count in counts:
        if count >= _HALF_AN_OCTAVE * chosen[-1] and count > chosen[-1]:
            chosen.append(count)
    return {*chosen, *counts[-1:]}


def _near_top(model: _Model, coarse: Sequence[Setting], counts: Sequence[int]) -> list[int]:
    """Return the worker counts around the first that comes within 2 % of the top, and that of the top."""
    known = {one: found.samples_per_s for one in coarse if (found := model.known.get(one)) is not None and one.workers}
    if not known:
        return []
    top = max(known.values())
    at = counts.index(min(one.workers for one, rate in known.items() if rate >= NEAR_RATIO * top))
    return [count for count in counts[max(0, at - 2) : at + 1] if count]


def between(rates: Mapping[Setting, Predicted], setting: Setting) -> Predicted | None:
    """Return the straight line, over the logarithm of workers, between the nearest known with the same prefetch."""
    same = sorted(one for one in rates if one.prefetch == setting.prefetch and one.workers)
    below = next((one for one in reversed(same) if one.workers < setting.workers), None)
    above = next((one for one in same if one.workers > setting.workers), None)
    if below is None or above is None or not setting.workers:
        return None
    part = math.log(setting.workers / below.workers) / math.log(above.workers / below.workers)
    return _mixed(rates[below], rates[above], part)


def _mixed(one: Predicted, other: Predicted, part: float) -> Predicted:
    interval, utilization = None, None
    if one.samples_per_s_ci95 is not None and other.samples_per_s_ci95 is not None:
        low, high = (a + part * (b - a) for a, b in zip(one.samples_per_s_ci95, other.samples_per_s_ci95, strict=True))
        interval = (low, high)
    if one.accelerator_utilization is not None and other.accelerator_utilization is not None:
        utilization = one.accelerator_utilization + part * (other.accelerator_utilization - one.accelerator_utilization)
    return Predicted(
        samples_per_s=one.samples_per_s + part * (other.samples_per_s - one.samples_per_s),
        samples_per_s_ci95=interval,
        accelerator_utilization=utilization,
    )


def _predicted(one: Prediction) -> Predicted:
    return Predicted(
        samples_per_s=one.samples_per_s,
        samples_per_s_ci95=one.samples_per_s_ci95,
        accelerator_utilization=one.accelerator_utilization,
    )


def _model(one: Measured) -> _Model | str:
    """Return the model of a run, or why there is none."""
    if one.trace is None:
        return "it left no trace"
    try:
        return _Model(one.setting, PipelineModel.of(one.trace))
    except IoprofError as error:
        return " ".join(str(error).split())


def _common(assumptions: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    """Return what at least half of the predictions rest on: what holds for a few would mislead about the rest."""
    everything = list(assumptions)
    counts: dict[str, int] = {}
    for told in everything:
        for one in told:
            counts[one] = counts.get(one, 0) + 1
    return tuple(one.rstrip(".") for one, count in counts.items() if 2 * count >= len(everything))
