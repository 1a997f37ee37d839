"""replay.json: which run a replay repeats, how, and what that run's store gave."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from ioprof.trace.json_record import read_record, write_record

REPLAY_JSON = "replay.json"
REPLAY_FORMAT = 1
"""Raised when a key changes its meaning; keys may be added without."""

Pace = Literal["closed", "open", "fastest"]
"""When an operation is issued: ``closed``: as long after the one before had ended as when it was recorded, where a
worker waited to be asked for a batch not before the recorded time; ``open``: at its recorded time, counted from the
start of the epoch; ``fastest``: as soon as the one before has ended."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class RecordedKind(_Record):
    """One kind of operation of the run that is repeated; only those that are."""

    count: int
    bytes: int
    mean_ns: float
    p50_ns: float
    p99_ns: float


class LatenessRecord(_Record):
    """How long after its recorded time each request was issued, in nanoseconds; a whole object is one request.

    Up to half a millisecond less than nothing where a worker issued several within that time: they follow each other.
    """

    requests: int
    p50_ns: float
    p99_ns: float
    max_ns: int
    over_1ms_ratio: float
    """Share of the requests that were issued more than a millisecond late, 0.0 to 1.0."""


class ReplayRecord(_Record):
    """The content of replay.json."""

    format: int = REPLAY_FORMAT
    ioprof_version: str
    source: str | None
    """Name of the run directory that is repeated; None where names were to be hidden."""
    pace: Pace
    lanes: int
    """Sequences of operations of the run: one for each worker, more where a worker had several in flight."""
    processes: int
    """Processes that repeat them: one for each lane; more in an open loop, where they take turns."""
    epochs: int
    dataset: Literal["prepared", "stand-in"]
    """prepared: the very dataset of the recorded run, made anew; stand-in: objects of the same names and sizes."""
    anonymised: bool = False
    offsets_known: bool
    """False: reads of which the run does not say where they began were repeated front to back."""
    filled_ratio: float = 0.0
    """Share of the batches whose operations were not kept, and that repeat those of another batch, 0.0 to 1.0."""
    left_out: dict[str, int] = Field(default_factory=dict)
    """Operations of the run that are not repeated, by why."""
    recorded_s: float
    """From the first operation to the last, summed over epochs."""
    kinds: dict[str, RecordedKind]
    lateness: LatenessRecord | None = None
    """None: the pace has no times, or the replay was killed."""


def write_replay(directory: Path, record: ReplayRecord) -> None:
    """Replace replay.json in one step.

    Raises:
        RunDirectoryError: the disk is full or the directory gone; the old file stays.
    """
    write_record(directory / REPLAY_JSON, record)


def read_replay(directory: Path) -> ReplayRecord | None:
    """Return what replay.json says; None where there is none.

    Raises:
        RunDirectoryError: it is corrupt, or of a newer format.
    """
    path = directory / REPLAY_JSON
    return read_record(path, ReplayRecord, REPLAY_FORMAT) if path.exists() else None
