"""mixed.json: several pipelines alone and together, and how much each slowed each. A public format, versioned."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ioprof.compound.figures import CompoundModel, KeyFigures

MIXED_FORMAT = 1
MIXED_JSON = "mixed.json"

MixedOutcome = Literal["running", "complete", "interrupted", "failed"]


class PipelineRecord(CompoundModel):
    """One pipeline."""

    name: str
    workload: str
    loader: str
    accelerator: str
    batch_size: int


class PipelineRun(CompoundModel):
    """One pipeline in one phase."""

    pipeline: str
    directory: str | None
    """Its run directory, relative to the mixed one; None where it ended before it had one."""
    problem: str | None
    """Why it did not complete."""
    figures: KeyFigures | None
    window_s: float | None
    """Length of its measured window."""
    paused_s: float | None
    """The part of it in which ioprof evicted caches between two epochs, and the pipeline stood still."""
    overlap_ratio: float | None
    """Share of that window in which all others of the phase were measuring too, 0.0 to 1.0; None: it was alone."""


class PhaseRecord(CompoundModel):
    """Pipelines that ran at the same time."""

    name: str
    """``alone-train``, ``together``, ``pair-train-storm``: also the folder of its run directories."""
    outcome: Literal["complete", "interrupted", "failed", "skipped"]
    reason: str | None
    runs: list[PipelineRun]


class Interference(CompoundModel):
    """What running beside others did to one pipeline: beside / alone; below 1.0 it was slowed."""

    phase: str
    pipeline: str
    beside: list[str]
    samples_per_s_ratio: float | None
    samples_per_s_ratio_ci95: tuple[float, float] | None
    """From step to step only; what differs between whole runs is not in it."""
    accelerator_utilization_ratio: float | None
    p99_ratio: float | None
    """99th percentile of the operation that took most time alone; above 1.0 it became slower."""
    reason: str | None
    """Why there are no ratios."""


class MixedRecord(CompoundModel):
    """The content of mixed.json."""

    format: int = MIXED_FORMAT
    ioprof_version: str
    outcome: MixedOutcome
    reason: str | None = None
    started_utc: str
    ended_utc: str | None = None
    command: list[str]
    label: str | None
    store: str
    """URL, credentials removed."""
    duration_s: float
    """Asked of each phase."""
    pipelines: list[PipelineRecord]
    phases: list[PhaseRecord] = Field(default_factory=list)
    interference: list[Interference] = Field(default_factory=list)
    sentence: str | None = None
    """The answer in a sentence or two; None while there is none."""
    caveats: list[str] = Field(default_factory=list)
