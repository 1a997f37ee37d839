"""Predictions by the pipeline model: the batches of a run, played through the pipeline again with another setting."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from ioprof.analysis.pipeline.change import Change
from ioprof.analysis.pipeline.model import PipelineModel, Prediction
from ioprof.errors import IoprofError
from ioprof.trace.probe_record import ProbeRecord
from ioprof.tune.predictor import Forecast, Interpolation, Predicted
from ioprof.tune.setting import Setting
from ioprof.tune.tunable import Measured

BY_REPLAY = "replay of the nearest run's batches through the pipeline model"
_HALF_A_WORKER = 0.5
"""Where a run without workers stands among the others, for how near they are."""


@dataclass(slots=True)
class _Model:
    """The run of one setting, ready to be replayed."""

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
    """Replays, for each setting, the run that is nearest to it; bent curves where no run can be replayed."""

    def __init__(self) -> None:
        self._models: dict[Setting, _Model | str] = {}
        self._without = Interpolation()

    def forecast(self, measured: Sequence[Measured], settings: Sequence[Setting]) -> Forecast:
        """Return what each setting would give; all runs are replayed at the store's ceiling that any of them knows."""
        probe = next((at for one in measured if (at := _probe(one)) is not None), None)
        for one in measured:
            if one.setting not in self._models:
                self._models[one.setting] = _model(one, probe)
        models = {setting: one for setting, one in self._models.items() if isinstance(one, _Model)}
        if not models:
            reasons = {one for one in self._models.values() if isinstance(one, str)}
            found = self._without.forecast(measured, settings)
            return replace(
                found, assumptions=(*found.assumptions, *(f"no run can be replayed: {why}" for why in reasons))
            )
        predictions = {setting: _nearest(models, setting).predict(setting) for setting in settings}
        known = {setting: one for setting, one in predictions.items() if one is not None}
        return Forecast(
            by=BY_REPLAY,
            predicted={
                setting: Predicted(
                    samples_per_s=one.samples_per_s,
                    samples_per_s_ci95=one.samples_per_s_ci95,
                    accelerator_utilization=one.accelerator_utilization,
                )
                for setting, one in known.items()
            },
            assumptions=_common(one.assumptions for one in known.values()),
        )


def _probe(one: Measured) -> ProbeRecord | None:
    probe = None if one.trace is None else one.trace.probe
    return probe if probe is not None and probe.ceiling is not None else None


def _model(one: Measured, probe: ProbeRecord | None) -> _Model | str:
    """Return the model of a run, or why there is none."""
    if one.trace is None:
        return "it left no trace"
    try:
        return _Model(PipelineModel.of(replace(one.trace, probe=probe or one.trace.probe)))
    except IoprofError as error:
        return " ".join(str(error).split())


def _nearest(models: dict[Setting, _Model], setting: Setting) -> _Model:
    return models[min(models, key=lambda one: (_octaves(one, setting), one))]


def _octaves(one: Setting, other: Setting) -> float:
    workers = math.log2(max(one.workers, _HALF_A_WORKER) / max(other.workers, _HALF_A_WORKER))
    ahead = math.log2((one.prefetch or 1) / (other.prefetch or 1)) if one.workers and other.workers else 0.0
    return abs(workers) + abs(ahead) / 2


def _common(assumptions: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    """Return what at least half of the predictions rest on: what holds for a few would mislead about the rest."""
    everything = list(assumptions)
    counts: dict[str, int] = {}
    for told in everything:
        for one in told:
            counts[one] = counts.get(one, 0) + 1
    return tuple(one.rstrip(".") for one, count in counts.items() if 2 * count >= len(everything))
