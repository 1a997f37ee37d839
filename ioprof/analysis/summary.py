"""summary.json: what the analysis concluded. Its keys are public; nulls carry their ``reasons``.

A key that was added after the first version has a default: summaries of before it was kept still read.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field

from ioprof.analysis.idle_causes import IdleByCause, IdleSpent
from ioprof.analysis.lateness import Lateness
from ioprof.analysis.outliers import Outliers
from ioprof.analysis.replay_figures import Replayed
from ioprof.analysis.roofs import Roofline
from ioprof.analysis.stages import BatchEvents, StageTime
from ioprof.analysis.steadiness import Steadiness
from ioprof.trace.schema import FORMAT


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceleratorFacts:
    """What consumed the batches."""

    name: str
    count: int
    busy_ns_per_batch: int | None
    source: str
    is_estimate: bool
    """True where the busy time was derived from another accelerator's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyNs:
    """Distribution of operation durations in nanoseconds; percentiles are within 0.8 %."""

    min: int
    mean: float
    p50: float
    p90: float
    p99: float
    p999: float
    max: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationStats:
    """One kind of operation, over all ranks and workers."""

    count: int
    """Failed ones included."""
    per_s: float | None
    """This and bytes/s without operations for batches that no measured step got."""
    bytes: int
    bytes_per_s: float | None
    errors: int
    latency_ns: LatencyNs | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Discovery:
    """Finding the samples at start-up; part of the time to the first batch, not of the measured window."""

    seconds: float | None
    found: int | None
    operations: dict[str, OperationStats]


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochStart:
    """What workers did by themselves before their first batch of an epoch; its time is part of that batch."""

    seconds: float | None
    """Inside its operations, summed over workers and epochs."""
    operations: dict[str, OperationStats]


@dataclass(frozen=True, slots=True, kw_only=True)
class Closing:
    """What workers handed over when they ended, no batch being left: after the measured window, and in no rate."""

    seconds: float | None
    """Inside its operations, summed over workers."""
    operations: dict[str, OperationStats]


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationErrors:
    """Failed operations of one kind over the whole run."""

    count: int
    by_name: dict[str, int]
    """By error name; ``not-recorded`` where the span was not kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheEvidence:
    """What this host's page cache served of the measured reads."""

    client_hit_ratio: float | None
    """Share of what was read that this host's page cache served, 0.0 to 1.0. Of whole objects: ``asked_hit_ratio``; of
    parts of files: ``kernel_hit_ratio``, as reads of one run find cached what others made the kernel read ahead. The
    counters include the warm-up."""
    evidence: str
    cold_requested: bool
    cold_achieved: bool | None
    """True where at most 1 % came from the page cache, the interval of an estimate included; null: not known."""
    method: str | None = None
    """How the kernel was asked before reads: cachestat, rwf_nowait or mincore; direct: reads went around the cache."""
    asked_hit_ratio: float | None = None
    """Share of the pages that were in the page cache just before they were read."""
    exact: bool | None = None
    """Whether every measured batch was asked about; else ``asked_hit_ratio`` is an estimate from some of them."""
    kernel_hit_ratio: float | None = None
    """Share of the pages that the kernel did not fetch from the device or server, by its own counters."""
    cold_caches: tuple[str, ...] = ()
    """What was made cold before each epoch: content; names and inodes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MappedReads:
    """Reads through memory mappings: where read(2) is not called, page faults tell what the store was asked."""

    touches: int
    """Copies out of mapped files in the measured phase."""
    bytes: int
    major_faults: int
    """Page faults that waited for the device or server."""
    minor_faults: int
    """Page faults whose page was in the page cache."""
    waiting_touches: int
    """Copies with at least one major fault."""
    fetched_ratio: float | None
    """Bytes fetched from the device or server for each byte that was read, whole run: above 1.0 by readahead, and by
    pages of which only a part was wanted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CpuTime:
    """Where the workers' time on measured batches went, in seconds, and how busy the host was.

    The three sums stand for all measured batches, also where only some of these were accounted.
    """

    on_cpu_s: float | None
    run_queue_s: float | None
    blocked_s: float | None
    accounted_ratio: float | None = None
    """Share of the workers' time on batches that was accounted, from which the three sums were scaled: below 1.0 where
    very short batches were accounted one in some."""
    utilization: float | None
    """Share of all the host's CPU time in use over the window, 0.0 to 1.0; other programs included."""
    stages: dict[str, StageTime] | None = None
    """The same for a mean batch, stage by stage: fetch (storage and decode) and collate."""
    events_per_batch: BatchEvents | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Overhead:
    """What tracing cost."""

    span_ns: float | None
    spans: int | None
    batch_ns: float | None = None
    """CPU time of the hooks around one batch, as measured in the workers; calibrated in older runs."""
    share_of_worker_time: float | None
    """What the workers spent on it: at least. What the consumer spends is not in it, nor that caches are colder after
    it; from a warm page cache both are more than what is (`make overhead`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The answer in a sentence."""

    bound: str | None
    sentence: str
    confidence: float | None
    """How much of the other evidence agrees, 0.0 to 1.0: (for + 1) / (for + against + 2)."""
    agreeing: tuple[str, ...] = ()
    contradictions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """Bytes the taps saw over bytes the kernel saw the same workers read."""

    tapped_bytes: int | None
    kernel_bytes: int | None
    ratio: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Durations in seconds."""

    min: float
    mean: float
    max: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointStats:
    """Saving and restoring checkpoints, all ranks; only whole saves count unless said otherwise."""

    saves: int
    restores: int
    failed: int
    """Saves and restores that failed or were dropped when the run ended."""
    mode: str
    shards: int
    fsync: bool
    bytes_per_save: float | None
    """Bytes of a save's files."""
    save_bytes_per_s: float | None
    """Bytes saved over the time that saves took, each from its start until it was durable."""
    restore_bytes_per_s: float | None
    save_s: Spread | None
    blocked_per_save_s: Spread | None
    """How long the step loop stood still for each save, the wait for the one before included."""
    restore_s: Spread | None
    waited: int
    """Saves that were due while the one before was still being written."""
    waited_s: float
    """Time the step loop stood still for that."""
    blocked_s: float
    """Time the step loop stood still in the measured window; with an accelerator, that is idle time."""
    share_of_wall: float | None
    """The same over the length of the window, 0.0 to 1.0."""
    operations: dict[str, OperationStats]
    """What the store was asked for saves and restores; without rates, as they come in bursts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceiling:
    """What the store gave plain processes for the same samples, right after the run, with no loader in the way."""

    samples_per_s: float
    """The most; the same as ``ceiling_samples_per_s``."""
    ci95: tuple[float, float] | None
    bytes_per_s: float
    operations_per_s: float
    at_processes: int
    """Where it was reached."""
    processes_needed: int
    """The fewest that come within 5 %."""
    at_workers_samples_per_s: float | None
    """With as many processes as the loader has workers."""
    limited_by: str
    """``store``; ``client``: this host's CPUs; ``unknown``: the probe ended before more processes brought no more."""
    is_lower_bound: bool
    """The store may give more: it is not what the limit was."""
    evidence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Baselines:
    """The same work with one part taken out, in samples/s."""

    no_workers_samples_per_s: float | None
    """The same loader without worker processes, nothing taking time between batches."""
    transport_samples_per_s: float | None
    """The same loader and workers, fed from memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing worth changing."""

    id: str
    """One of `ioprof.analysis.cures.CureId`."""
    severity: str
    """By what it would bring: high (half as much again, or more), medium (15 %), low."""
    cost: str = ""
    """One of `ioprof.analysis.cures.Cost`."""
    evidence: dict[str, float | str]
    """What speaks for it; ``gain_ratio`` is the predicted rate over that of the run replayed as it was."""
    action: str
    command: str | None
    """The run's own command with the change; None: no flag makes it, or the run came from no command line."""
    predicted_accelerator_utilization: float | None
    predicted_accelerator_utilization_ci95: tuple[float, float] | None = None
    predicted_samples_per_s: float | None = None
    predicted_samples_per_s_ci95: tuple[float, float] | None = None
    assumptions: tuple[str, ...] = ()
    """What the prediction rests on."""
    outside: tuple[str, ...] = ()
    """What of it lies beyond what was measured: there its interval may not hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MlperfResult:
    """The run as MLPerf Storage's own tools would report it."""

    comparable: bool
    """Whether the run keeps the rules that one of their five runs must keep."""
    reasons: tuple[str, ...]
    """The rules that it breaks."""
    threshold: float | None
    passed: bool | None
    """Their utilisation reached the threshold, comparable or not."""
    au: float | None
    """The same as ``mlperf_au``."""
    samples_per_s: float | None
    """By their formula, which counts one step too few; ours is ``samples_per_s`` of the summary."""
    mib_per_s: float | None
    """Their samples/s times the nominal size of a sample, in MiB (they write MB)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The whole of summary.json; rates in SI base units, ratios 0.0 to 1.0."""

    format: int = FORMAT
    outcome: str
    outcome_reason: str | None
    workload: str
    loader: str
    store: str
    accelerator: AcceleratorFacts
    samples: int
    """Samples of the measured steps, all ranks."""
    steps: int
    """Measured steps, all ranks."""
    warmup_steps: int
    """Steps dropped before them, all ranks."""
    epochs: int
    """Epochs that measured steps belong to."""
    wall_s: float | None
    """Measured window: its longest over the ranks, ioprof's own pauses between epochs left out."""
    first_batch_s: float | None
    """From the start of discovery until the first batch was held (slowest rank)."""
    accelerator_utilization: float | None
    accelerator_utilization_ci95: tuple[float, float] | None
    mlperf_au: float | None
    mlperf: MlperfResult | None = None
    """None: the workload is none of MLPerf Storage's."""
    busy_s: float | None
    """Accelerator-seconds at work in the window, all ranks."""
    idle_s: float | None
    """Accelerator-seconds without work in the window, all ranks."""
    idle_by_cause: IdleByCause | None
    idle_by_cause_spent: dict[str, IdleSpent | None] | None = None
    """What workers were doing in it, for each cause that has any; None where none of it was accounted."""
    idle_if_free: dict[str, float] | None
    """How much of ``idle_s`` would go if one cause cost nothing, in seconds; causes overlap, so these do not sum."""
    samples_per_s: float | None
    samples_per_s_ci95: tuple[float, float] | None = None
    demand_samples_per_s: float | None
    """What all accelerators together could eat of batches as large as those measured."""
    ceiling_samples_per_s: float | None
    ceiling: Ceiling | None = None
    roofline: Roofline | None = None
    steady: Steadiness | None = None
    lateness: Lateness | None = None
    outliers: Outliers | None = None
    operations: dict[str, OperationStats]
    operations_phase: str
    """``steady``: measured batches only; ``all``: no steady operations were counted, so the whole run."""
    bandwidth_bytes_per_s: float | None
    """Bytes read from the store per second."""
    write_bandwidth_bytes_per_s: float | None = None
    """Bytes written to the store per second."""
    iops: float | None
    """Storage operations of every kind per second."""
    discovery: Discovery
    epoch_start: EpochStart | None = None
    closing: Closing | None = None
    cache: CacheEvidence
    cpu: CpuTime
    overhead: Overhead
    verdict: Verdict
    coverage: Coverage
    mapped: MappedReads | None = None
    checkpoints: CheckpointStats | None = None
    baselines: Baselines
    replay: Replayed | None = None
    """None: the run repeats no other one."""
    engine_counters: dict[str, float] | None = None
    """What the loader's library counted by itself over the whole run, warm-up included, by ``ENGINE.NAME``; a name ends
    in its unit (``_s``, ``_ns``, ``_bytes``, ``_ratio``), or is what was counted. None: it counts nothing."""
    findings: tuple[Finding, ...] | None
    errors: dict[str, OperationErrors]
    sample_every: int
    """Spans were kept for one batch in this many; operation counts are exact regardless."""
    host_missing: dict[str, str] = field(default_factory=dict)
    """Why a series of the host, or a family of them (``psi_io_*``), was not recorded."""
    caveats: tuple[str, ...]
    reasons: dict[str, str]
    """Why a value is null, by dotted key."""

    def to_json(self) -> str:
        """Return the summary as JSON text.

        Raises:
            ValueError: a number is not finite (a defect of the analysis).
        """
        return json.dumps(asdict(self), indent=2, allow_nan=False, ensure_ascii=False) + "\n"
