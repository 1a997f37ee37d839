"""run.json: what may stand in it."""

from __future__ import annotations

from typing import get_args

import pytest
from pydantic import BaseModel, ValidationError
from trace_builder import run_record

from ioprof.trace import run_record as module
from ioprof.trace.run_record import Outcome, RunRecord
from ioprof.trace.schema import FORMAT


def test_every_record_is_frozen_and_passes_over_what_it_does_not_know() -> None:
    """A reader of today opens what a later minor version wrote, and nobody changes it on the way."""
    records = [kind for kind in vars(module).values() if isinstance(kind, type) and issubclass(kind, BaseModel)]
    assert len(records) > 5
    for kind in records:
        if kind is not BaseModel:
            assert (kind.model_config.get("frozen"), kind.model_config.get("extra")) == (True, "ignore")


@pytest.mark.parametrize("outcome", get_args(Outcome))
def test_a_record_survives_json_with_every_outcome(outcome: str) -> None:
    """Running, complete, interrupted, failed: the four ways that a run can stand."""
    record = run_record().model_copy(update={"outcome": outcome})
    assert RunRecord.model_validate_json(record.model_dump_json()) == record


def test_a_new_record_carries_the_present_format() -> None:
    """Readers refuse by this number."""
    assert run_record().format == FORMAT
    with pytest.raises(ValidationError):
        run_record().outcome = "failed"
