"""Predictions for cases, each from its calibration run alone."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from ioprof.analysis.pipeline.model import PipelineModel
from ioprof.errors import IoprofError
from ioprof.trace.reader import load_trace
from tests.validation.case import Case
from tests.validation.judge import Predicted, Rerun


def rerun_of(case: Case) -> Rerun:
    """Return a case beside what is predicted for it."""
    predicted, refused = _predicted(case)
    return Rerun(
        scenario=case.scenario,
        change=case.change,
        calibrated=case.calibrated,
        measured=case.measured,
        predicted=predicted,
        refused=refused,
    )


@cache
def _model(directory: str) -> PipelineModel:
    return PipelineModel.of(load_trace(Path(directory)))


def _predicted(case: Case) -> tuple[Predicted | None, str]:
    """Return the prediction, or why there is none."""
    try:
        found = _model(case.calibrated.directory).predict(case.base.change_to(case.setting))
    except IoprofError as error:
        return None, str(error)
    return Predicted(
        samples_per_s=found.samples_per_s,
        ci95=found.samples_per_s_ci95,
        accelerator_utilization=found.accelerator_utilization,
        assumptions=found.assumptions,
        outside=found.outside,
    ), ""
