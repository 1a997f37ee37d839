"""probe.json: what a store gives for one access pattern with no loader in the way, and the baselines beside a run."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from ioprof.errors import FREE_SPACE
from ioprof.trace.json_record import read_record, write_record

PROBE_JSON = "probe.json"
PROBE_FORMAT = 1
"""Raised when a key changes its meaning; keys may be added without."""

BUSY_RATIO = 0.9
"""From this share of the CPUs in use, they are what limits."""
CROWDED_RATIO = 0.5
"""Time waited for a CPU over that for the store, from which on no rate is the store's alone."""
ProbeOutcome = Literal["running", "complete", "skipped", "interrupted", "failed"]
"""running: it goes on, or was killed; what stands there is what was measured up to then."""
LimitedBy = Literal["store", "client", "unknown"]
LevelEnd = Literal["precise", "time", "read-through"]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class SampleLatency(_Record):
    """How long reading a whole sample took, in nanoseconds; of a stream, the wait for its next sample."""

    samples: int
    """Samples that were timed one by one; of fast reads only some are, so that timing does not slow the rest."""
    mean_ns: float
    p50_ns: float
    p99_ns: float
    max_ns: int


class LevelOperations(_Record):
    """One kind of operation over a level, its first moments included."""

    count: int
    bytes: int
    errors: int
    mean_ns: float
    p50_ns: float
    p99_ns: float


class LevelRecord(_Record):
    """What so many processes got at once."""

    processes: int
    seconds: float
    """Length of the measured part: all windows."""
    samples: int
    """Samples read in it."""
    samples_per_s: float
    samples_per_s_ci95: tuple[float, float] | None
    """From the spread of the windows' rates; None: fewer than three windows."""
    bytes_per_s: float
    operations_per_s: float
    window_s: float
    window_samples_per_s: list[float]
    """Rate of each window, in order."""
    ended: LevelEnd
    """precise: its interval is narrow enough; time: it took as long as it may; read-through: no sample was left."""
    latency: SampleLatency | None
    operations: dict[str, LevelOperations]
    on_cpu_ratio: float
    """CPU time of the processes over that of all CPUs that they may use, 0.0 to 1.0."""
    host_cpu_ratio: float
    """Share of all the host's CPU time in use, other programs included, 0.0 to 1.0."""
    run_queue_ratio: float | None
    """Share of the processes' time in which they could have run but no CPU was free."""
    blocked_ratio: float | None
    """Share of their time in which they waited for the store: neither on a CPU nor for one."""
    client_hit_ratio: float | None
    """Share of the bytes read that this host's page cache served; None: it cannot be told here."""
    failed_samples: int

    @property
    def is_client_limited(self) -> bool:
        """Whether this host's CPUs, and not the store, kept it where it was.

        They did where the processes kept them all busy, and where processes waited longer for a CPU than for the store:
        what limits is where the queue is.
        """
        queued, blocked = self.run_queue_ratio, self.blocked_ratio
        if queued is None or blocked is None:
            return max(self.on_cpu_ratio, self.host_cpu_ratio) > BUSY_RATIO
        return self.on_cpu_ratio > BUSY_RATIO or queued > blocked

    @property
    def is_crowded(self) -> bool:
        """Whether the wait for a CPU was short of that for the store, but more than half of it."""
        queued, blocked = self.run_queue_ratio, self.blocked_ratio
        return queued is not None and blocked is not None and queued > blocked * CROWDED_RATIO


class ScalabilityRecord(_Record):
    """X(N) = rate x N / (1 + contention x (N - 1) + coherency x N x (N - 1)), fitted to the levels.

    Source: Gunther, "Guerrilla Capacity Planning", 2007, chapter 4 (universal scalability law).
    """

    samples_per_s_of_one: float
    contention: float
    """Share of the work that only one process at a time can do, 0.0 or more."""
    coherency: float
    """What each pair of processes costs, 0.0 or more."""
    samples_per_s_of_one_ci95: tuple[float, float]
    contention_ci95: tuple[float, float]
    coherency_ci95: tuple[float, float]
    error_ratio: float
    """Root mean square of what the levels differ from the curve, relative to it."""
    levels: int
    """Levels that it was fitted to; with three, the curve has no room to differ from them."""


class CeilingRecord(_Record):
    """The most that the store gave."""

    samples_per_s: float
    samples_per_s_ci95: tuple[float, float] | None
    bytes_per_s: float
    operations_per_s: float
    at_processes: int
    """Where the rate was highest."""
    processes_needed: int
    """The fewest with which it is within 5 %."""
    limited_by: LimitedBy
    is_lower_bound: bool
    """More might have been given: the rate still grew at the last level, or this host's CPUs were the limit."""
    evidence: str


class ShortReadsRecord(_Record):
    """Reads of a part of the bytes at the store's limit: they tell whether bytes hold it there, or operations."""

    processes: int = 0
    full_read_bytes: float = 0.0
    """Mean bytes of a read of the workload's own."""
    full_reads_per_s: float = 0.0
    """How many of them the store gave at its limit."""
    read_bytes: float = 0.0
    reads_per_s: float = 0.0
    bytes_share: float | None = None
    """Share of what a read of the workload takes at the limit that goes with its bytes, 0.0 to 1.0; the rest comes with
    every operation, however small."""
    is_lower_bound: bool = False
    """This host's CPUs kept short reads from coming faster: more may go with the bytes."""
    reason: str | None = None
    """Why there is no share."""


class BaselineRecord(_Record):
    """The loader with one part taken out."""

    samples_per_s: float | None
    seconds: float
    batches: int
    reason: str | None = None
    """Why there is no rate."""


class ProbeRecord(_Record):
    """The content of probe.json; rates in SI base units, ratios 0.0 to 1.0."""

    format: int = PROBE_FORMAT
    ioprof_version: str
    started_utc: str
    outcome: ProbeOutcome
    reason: str | None = None
    """Why it is not complete."""
    command: list[str] = Field(default_factory=list)
    workload: str
    store: str
    cache: Literal["cold", "warm", "asis"]
    cores: float
    """CPUs that the processes may use: affinity, or a control group's quota if that is less."""
    reads: Literal["compiled", "python"] | None = None
    """What reads whole files of a local store; None: an earlier version recorded it."""
    first_epoch: int
    """Orders of this epoch and later ones were read; those of a run begin at 0."""
    levels: list[LevelRecord] = Field(default_factory=list)
    """In the order in which they were measured."""
    ceiling: CeilingRecord | None = None
    scalability: ScalabilityRecord | None = None
    """None: fewer than three levels."""
    short_reads: ShortReadsRecord | None = None
    """None: the store is not known to be the limit, or an earlier version probed it."""
    no_workers: BaselineRecord | None = None
    """The run's loader without worker processes, nothing taking time between batches."""
    transport: BaselineRecord | None = None
    """The run's loader fed from memory."""
    one_worker: BaselineRecord | None = None
    """The same with one worker process, beside a run without any: what moving a batch would take."""
    caveats: list[str] = Field(default_factory=list)

    def level(self, processes: int) -> LevelRecord | None:
        """Return what was measured with so many processes, if it was; a level that saw no sample end is none."""
        return next((level for level in self.levels if level.processes == processes and level.samples_per_s > 0), None)


def write_probe(directory: Path, record: ProbeRecord) -> None:
    """Replace probe.json in one step, so that a reader finds the old or the new one.

    Raises:
        RunDirectoryError: the disk is full or the directory gone; the old file stays.
    """
    write_record(directory / PROBE_JSON, record, f"; {FREE_SPACE}")


def read_probe(directory: Path) -> ProbeRecord | None:
    """Return what a directory's probe.json says; None where there is none.

    Raises:
        RunDirectoryError: it is corrupt, or of a newer format.
    """
    path = directory / PROBE_JSON
    return read_record(path, ProbeRecord, PROBE_FORMAT) if path.exists() else None
