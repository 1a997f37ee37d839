"""tune.json: which settings were measured and predicted, and which one to take. A public format, versioned."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

TUNE_FORMAT = 1
TUNE_JSON = "tune.json"

TuneOutcome = Literal["running", "complete", "interrupted", "failed"]


class TuneModel(BaseModel):
    """Base of what tune.json holds; newer minor versions may add keys."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class SettingRecord(TuneModel):
    """A setting of the loader."""

    workers: int
    prefetch: int | None
    """None: without workers, or the loader has no such knob."""


class RateRecord(TuneModel):
    """What a setting gives; intervals are 95 %."""

    samples_per_s: float
    samples_per_s_ci95: tuple[float, float] | None
    """Of a run: from step to step only, what differs between whole runs is not in it."""
    accelerator_utilization: float | None
    """None without an accelerator."""


class MeasuredRecord(TuneModel):
    """One run."""

    setting: SettingRecord
    why: str
    """What it was made for: first, winner, best, smaller, further-ahead, less-ahead."""
    rate: RateRecord | None
    """None: it failed."""
    predicted: RateRecord | None
    """What was predicted before it was made; None: nothing was."""
    problem: str | None
    directory: str | None
    """Its run directory, relative to this file's."""
    seconds: float


class PointRecord(TuneModel):
    """One setting on the curve, as known at the end."""

    setting: SettingRecord
    rate: RateRecord
    is_measured: bool
    """False: predicted."""


class LimitRecord(TuneModel):
    """Settings that were left out because they do not fit this host."""

    setting: SettingRecord
    """The smallest of them."""
    reason: str


class ChosenRecord(TuneModel):
    """The recommendation: always a setting that was measured."""

    setting: SettingRecord
    rate: RateRecord
    of_best_ratio: float
    """Its rate over the highest on the curve, predicted ones included."""
    gain_of_one_more_worker_ratio: float | None
    """What one more would bring, 0.05 is 5 %; None: nothing is known of more."""
    bound: str | None
    """What bound it, as `verdict.bound` of summary.json; None: no single part."""
    why: str
    """What bound it, in a sentence; empty until the tuning has ended."""
    command: str | None
    """A run with it."""


class TuneRecord(TuneModel):
    """The content of tune.json; it is written anew after every run."""

    format: int = TUNE_FORMAT
    ioprof_version: str
    outcome: TuneOutcome
    reason: str | None = None
    """Why it is not complete."""
    started_utc: str
    ended_utc: str | None = None
    command: list[str]
    label: str | None
    workload: str
    loader: str
    store: str | None
    """URL, credentials removed; None: a loader of the user's own reads what it likes."""
    accelerator: str
    """``train_step``: a step of the user's own, on whatever device it runs."""
    cache: str
    """State of the page cache before each run: cold, warm or asis."""
    cores: float
    cores_told: str
    most_workers: int
    """More were not thought of."""
    budget_s: float
    """Time that runs may take together."""
    spent_s: float = 0.0
    runs: list[MeasuredRecord] = Field(default_factory=list)
    predicted_by: str | None = None
    """What made the predictions; None: there are none."""
    assumptions: list[str] = Field(default_factory=list)
    curve: list[PointRecord] = Field(default_factory=list)
    """Every candidate that something is known of."""
    limits: list[LimitRecord] = Field(default_factory=list)
    chosen: ChosenRecord | None = None
    """None: nothing was measured yet."""
    remarks: list[str] = Field(default_factory=list)
    """What a reader must know: predictions that a run contradicted, a budget that ended too early..."""
