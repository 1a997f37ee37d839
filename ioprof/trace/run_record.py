"""run.json: what a run was, where it ran, and how it ended."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from ioprof.trace.schema import FORMAT

Scalar = str | int | float | bool | None
AUTO = "auto"
"""What the spec says of the warm-up where the run's own steps decide how long it was."""
Outcome = Literal["running", "complete", "interrupted", "failed"]


class _Record(BaseModel):
    # Newer minor versions may add keys; an old reader passes over them (the format number guards the rest).
    model_config = ConfigDict(frozen=True, extra="ignore")


class WorkloadRecord(_Record):
    """What was driven."""

    name: str
    access: Literal["map", "stream"] | None = None
    """Whether any sample can be read at any time, or each worker reads a stream; None in runs before it was kept."""
    samples_per_epoch: int | None
    """None: a watched loader does not say."""
    steps_per_epoch: int | None = None
    """Batches of one epoch, of a stream an estimate; None in runs before it was kept."""
    objects: int | None
    """None: a loader is watched, and what it reads is not listed anywhere."""
    total_bytes: int | None
    """Bytes of all objects."""
    reads_storage: bool
    """False where the loader delivered prepared batches."""
    discovery_s: float | None = None
    """Time the discovery phase (listing as a training script does) took; None: not run."""
    discovered: int | None = None
    """Samples that discovery found."""


class AcceleratorRecord(_Record):
    """What consumed the batches."""

    name: str
    count: int
    busy_ns_per_batch: int | None
    """Asked busy time per batch; where it is measured, the median of all steps. None for `none`."""
    source: str
    """Where the number comes from."""
    is_estimate: bool
    """True where it was derived from another accelerator's."""
    is_measured: bool = False
    """True where a program of the user's own used the batches: nothing was asked for."""
    h2d_bytes_per_s: float | None
    """Modelled host-to-device bandwidth; None: no copy is modelled."""


class CacheRecord(_Record):
    """What was asked of the page cache and what was done."""

    requested: Literal["cold", "warm", "asis"]
    evictions: int = 0
    """Times the whole dataset was evicted."""
    drops: int = 0
    """Times all caches of the host, those of names and inodes included, were dropped after that."""
    evicted_objects: int = 0
    failed_objects: int = 0
    checked_pages: int | None = None
    """Pages of the objects whose residency was looked at after each eviction; None: this kernel cannot tell."""
    resident_pages: int | None = None
    """How many of them were still in the page cache."""
    note: str | None = None


class KernelIo(_Record):
    """/proc/PID/io of a worker and its children between its first and last batch, beside what the taps saw then."""

    worker: int
    tapped_bytes: int
    tapped_page_bytes: int | None = None
    """The same with every object rounded up to whole pages, as the kernel counts; None in runs before it was kept."""
    touched_page_bytes: int | None = None
    """Bytes of all pages that ranges reached into, where `tapped_page_bytes` counts a page for one range only; None
    where they were not counted."""
    mapped_bytes: int = 0
    """Those of the tapped bytes that were copied out of mapped files: no part of rchar."""
    rchar_bytes: int
    read_bytes: int
    """Bytes the kernel fetched from the device or server for this worker."""
    latent_files: int = 0
    """Data files that a loader which is not ioprof's had mapped: what was read through them is in no count."""
    latent_bytes: int = 0
    """How long these mappings are."""
    object_bytes: int = 0
    """Bytes that a library fetched from object stores, through sockets: `rchar_bytes` does not hold them."""
    major_faults: int | None = None
    """Page faults of the process that waited for a device or server; None where they were not counted."""


class PageFaults(_Record):
    """Page faults of one worker's copies out of mapped files, in one phase of the run."""

    worker: int
    phase: str
    """Label of `ioprof.trace.kinds.Phase`."""
    major: int
    """Faults that waited for the device or server."""
    minor: int
    """Faults whose page was in the page cache."""
    waiting_touches: int
    """Copies with at least one major fault."""


class HeldKind(_Record):
    """What a throttled store did to one kind of operation, by its own clock."""

    operations: int
    asked_ns: int
    """How long they were to last, summed: latency, queueing and transfer."""
    given_ns: int
    """How long they lasted: longer where the real operation was slower, or the host woke up late."""


class HeldOperations(_Record):
    """What a throttled store did to the workers' operations of the measured phase."""

    operations: int
    """Operations that were to last longer than they would."""
    slower: int
    """Those whose real operation alone took longer than that: their time is the real store's."""
    by_kind: dict[str, HeldKind]


class CacheCounts(_Record):
    """What the page cache held of one worker's reads in one phase of the run, of the batches that were asked about."""

    worker: int
    phase: str
    """Label of `ioprof.trace.kinds.Phase`."""
    method: str | None
    """How the kernel was asked: cachestat, rwf_nowait or mincore; None: nobody asked, or none of them answered."""
    batches: int
    asked_batches: int
    cost_ns: int
    """What asking took."""
    unanswered: int
    """Reads about which the kernel gave no answer."""
    objects: int
    """Reads of whole objects, and reads around the page cache, of which nothing is ever served from there."""
    object_pages: int
    object_hits: int
    """Those of the pages that were in the page cache before the read."""
    ranges: int
    """Reads of a part of an object: what earlier ones made the kernel read ahead is among the hits."""
    range_pages: int
    range_hits: int
    all_object_pages: int
    """The same, each batch counted as often as there were batches for one that was asked about."""
    all_object_hits: int
    all_range_pages: int
    all_range_hits: int


class EpochRecord(_Record):
    """One pass over the dataset, on the run's clock."""

    epoch: int
    start_ns: int
    end_ns: int


class PreparationRecord(_Record):
    """What preparing the dataset took."""

    reused: bool
    seconds: float
    written_objects: int
    written_bytes: int


class OverheadRecord(_Record):
    """What ioprof measured of itself."""

    span_ns: float
    """Calibrated cost of tracing one operation."""
    batch_ns: float
    """Calibrated cost of the hooks around one batch, which real workers exceed: their CPU caches hold other things."""
    hooks_ns: int | None = None
    """CPU time of these hooks as the workers measured it in some of their batches, all batches together; None in runs
    from before it was measured, and where no batch was."""
    flush_ns: int = 0
    """CPU time the workers spent on folding operations into statistics."""
    batches: int = 0
    """Batches made, delivered or not."""
    spans: int = 0
    """Operations traced."""
    worker_time_ns: int = 0
    """Time workers spent on batches (fetch start to collate end), summed."""


class CalibrationRecord(_Record):
    """How fast one CPU of the host was: the same short piece of work, timed at both ends of the run."""

    before_ns: int
    """The fastest round."""
    after_ns: int | None = None
    """None: the run ended early."""
    before_typical_ns: int | None = None
    """Median of the short loops' fastest rounds; None here and below in runs before it was kept."""
    after_typical_ns: int | None = None
    before_waited_ratio: float | None = None
    """Share of the loops' time in which they were not on a CPU, 0.0 to 1.0."""
    after_waited_ratio: float | None = None
    throttled_ns: int | None = None
    """How long a control group's CPU quota stood processes still between the two; None: no quota, or not known."""


class MlperfRecord(_Record):
    """What MLPerf Storage asks of the workload, and what of it this run does not keep."""

    record_bytes: int
    """Nominal size of a sample."""
    threshold: float | None
    """Utilisation by their formula that a run must reach."""
    not_comparable: list[str]
    """Rules that the run breaks; empty: its result may stand beside published ones."""


class RunRecord(_Record):
    """The content of run.json."""

    format: int = FORMAT
    ioprof_version: str
    outcome: Outcome
    reason: str | None = None
    """Why the run did not complete."""
    started_utc: str
    ended_utc: str | None = None
    command: list[str]
    label: str | None = None
    seed: int | None
    """None: a program of the user's own has its own."""
    spec: dict[str, dict[str, Scalar]]
    """The spec as resolved, section by section, in plain units (bytes, ns)."""
    workload: WorkloadRecord
    loader: str
    batch_size: int | None
    """None: a watched loader does not say, and no batch was received."""
    accelerator: AcceleratorRecord
    cache: CacheRecord
    preparation: PreparationRecord | None = None
    store: dict[str, Scalar]
    """Facts about the store: url, filesystem, device, mount options... Credentials are removed."""
    reads: Literal["compiled", "python"] | None = None
    """Which loop read whole objects; None where the store's own client did, and in runs from before there were two."""
    host: dict[str, Scalar]
    host_missing: dict[str, str] = Field(default_factory=dict)
    """Series of host.parquet that the kernel did not show (``psi_io_*``: no /proc/pressure), each with the reason."""
    versions: dict[str, str]
    clock: dict[str, Scalar]
    warmup_steps: int
    run_start_ns: int | None = None
    """When discovery began, on the run's clock."""
    loader_open_ns: int | None = None
    """When the loader was opened."""
    loader_close_s: float | None = None
    """How long closing it took; None in runs before it was kept, and in those that were killed."""
    engine_counters: dict[str, float] = Field(default_factory=dict)
    """What the loader's library counted over the run, by names of its own; empty where it counts nothing."""
    epochs: list[EpochRecord] = Field(default_factory=list)
    kernel_io: list[KernelIo] | None = None
    """None: /proc/PID/io was not readable."""
    cache_counts: list[CacheCounts] = Field(default_factory=list)
    """Empty in runs from before reads were asked about."""
    page_faults: list[PageFaults] = Field(default_factory=list)
    """Empty where nothing was read through mapped files."""
    held_operations: HeldOperations | None = None
    """None: the store is not throttled."""
    overhead: OverheadRecord | None = None
    calibration: CalibrationRecord | None = None
    """None in runs before it was kept, and in those that ended before it."""
    mlperf: MlperfRecord | None = None
    """None: MLPerf Storage has no such workload."""
    sample_every: int = 1
    """Spans are kept for one in this many batches (the largest over all processes)."""
    dropped_spans: int = 0
    """Span records lost because the results disk was full, counted in operations all the same.

    One record is a single operation or an object read, which is three spans (open, read, close).
    """
    caveats: list[str] = Field(default_factory=list)
    """What a reader must know before trusting a number; each one sentence."""
