"""suite.json: a list of runs, one after another, with what each came to. A public format, versioned."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ioprof.compound.figures import CompoundModel, KeyFigures

SUITE_FORMAT = 1
SUITE_JSON = "suite.json"

SuiteOutcome = Literal["running", "complete", "interrupted", "failed"]


class SuiteEntryRecord(CompoundModel):
    """One run of a suite."""

    name: str
    workload: str
    outcome: Literal["waiting", "running", "complete", "interrupted", "failed", "skipped"]
    reason: str | None = None
    """Why it is not complete."""
    directory: str | None = None
    """Its run directory, relative to the suite's; None where there is none."""
    seconds: float | None = None
    """From its preparation to its analysis."""
    figures: KeyFigures | None = None
    """None where nothing was measured, and for mixed runs."""
    together: dict[str, KeyFigures] = Field(default_factory=dict)
    """For mixed runs: the figures of each pipeline beside all others; the rest is in its mixed.json."""
    verdict: str | None = None
    """The run's answer in a sentence."""


class SuiteRecord(CompoundModel):
    """The content of suite.json."""

    format: int = SUITE_FORMAT
    ioprof_version: str
    suite: str
    outcome: SuiteOutcome
    """``failed``: one entry or more failed, the others were run all the same."""
    reason: str | None = None
    started_utc: str
    ended_utc: str | None = None
    command: list[str]
    label: str | None
    store: str
    """URL, credentials removed."""
    entries: list[SuiteEntryRecord] = Field(default_factory=list)
