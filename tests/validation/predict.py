"""Predictions for cases, each from its calibration run alone, and once more for CPUs as fast as the rerun's were."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

from ioprof.analysis.pipeline.model import PipelineModel
from ioprof.errors import IoprofError
from ioprof.trace.reader import load_trace
from tests.validation.case import Case
from tests.validation.judge import Predicted, Rerun


def rerun_of(case: Case) -> Rerun:
    """Return a case beside what is predicted for it."""
    speed = _speed_factor(case)
    untold, refused = _predicted(case, None)
    predicted = untold if speed is None else _predicted(case, speed)[0]
    return Rerun(
        scenario=case.scenario,
        change=case.change,
        calibrated=case.calibrated,
        measured=case.measured,
        speed_factor=speed,
        predicted=predicted,
        untold=untold,
        refused=refused,
    )


def _speed_factor(case: Case) -> float | None:
    """Return the speed of the CPUs during the rerun over that during the calibration; None: not timed in both."""
    before_ns, now_ns = case.calibrated.cpu_work_ns, case.measured.cpu_work_ns
    return None if before_ns is None or now_ns is None else before_ns / now_ns


@cache
def _model(directory: str) -> PipelineModel:
    return PipelineModel.of(load_trace(Path(directory)))


def _predicted(case: Case, speed: float | None) -> tuple[Predicted | None, str]:
    """Return the prediction, or why there is none."""
    change = replace(case.base.change_to(case.setting), cpu_speed_factor=speed)
    try:
        found = _model(case.calibrated.directory).predict(change)
    except IoprofError as error:
        return None, str(error)
    return Predicted(
        samples_per_s=found.samples_per_s,
        ci95=found.samples_per_s_ci95,
        accelerator_utilization=found.accelerator_utilization,
        assumptions=found.assumptions,
        outside=found.outside,
    ), ""
