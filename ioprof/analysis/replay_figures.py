"""What summary.json says of a replay beside the run that it repeats."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class KindFigures:
    """One kind of operation of a run; warm-up included."""

    count: int
    per_s: float | None
    bytes: int
    bytes_per_s: float | None
    p50_ns: float
    p99_ns: float


@dataclass(frozen=True, slots=True, kw_only=True)
class KindThenAndNow:
    """One kind of operation in both runs; None: it did not occur."""

    recorded: KindFigures | None
    replayed: KindFigures | None


@dataclass(frozen=True, slots=True, kw_only=True)
class IssueTimes:
    """How long after its recorded time each request was issued; a whole object is one request."""

    requests: int
    p50_ns: float
    p99_ns: float
    max_ns: int
    over_1ms_ratio: float
    """Share of the requests that were issued more than a millisecond late, 0.0 to 1.0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """A replay beside its run; rates are from the first operation to the last, epochs summed, warm-up included."""

    source: str | None
    """Name of the run directory that was repeated; None where names were hidden."""
    pace: str
    """``closed``: with the recorded pauses of each worker; ``open``: at the recorded times; ``fastest``: without pause.
    """
    lanes: int
    """Sequences of operations of the recorded run: one for each worker, more where one had several in flight."""
    processes: int
    """Processes that repeated them."""
    recorded_s: float
    replayed_s: float | None
    recorded_iops: float | None
    """Storage operations of every kind per second."""
    iops: float | None
    iops_ratio: float | None
    """Replayed over recorded."""
    operations: dict[str, KindThenAndNow]
    issue_times: IssueTimes | None
    left_out: dict[str, int]
    """Operations of the recorded run that are not repeated, by why."""
    filled_ratio: float
    """Share of the batches that repeat another one's operations, their own not having been kept, 0.0 to 1.0."""
