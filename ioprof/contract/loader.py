"""What a loader is: how samples are scheduled, parallelised and delivered; and the batches that it delivers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, NamedTuple, Protocol, runtime_checkable

from ioprof.contract.capabilities import Capabilities
from ioprof.contract.stored import StoredSamples
from ioprof.contract.workload import Access, Indices, PluginParams, SampleReader, SampleStream

if TYPE_CHECKING:
    from ioprof.store.base import Store

CLOSING_S = 30.0
"""How long closing a session may take; workers that hand data over to the store may need most of it."""


class Batch(NamedTuple):
    """One batch as it reaches the consumer, with the stamps its makers left (clock: `ioprof.clock`).

    A stamp of -1 means the loader cannot know it. Give fields by keyword: more may come. (It is a tuple because one is
    made of every batch while the accelerator waits, and a dataclass takes ten times as long.)
    """

    data: object
    """The payload the accelerator would get; usually one uint8 tensor."""
    worker: int
    """Worker that made it, from 0; -1 for the consumer's own process."""
    number: int
    """Position in the run, from 0, over all epochs."""
    samples: int
    """Samples inside; fewer than asked for where reads failed."""
    size_bytes: int
    """Bytes of the samples as stored."""
    errors: int = 0
    """Samples left out because an operation failed."""
    fetch_start_ns: int = -1
    fetch_end_ns: int = -1
    """When the last sample was there, decoded."""
    collate_end_ns: int = -1
    storage_ns: int = -1
    """Time inside storage operations, summed."""
    prep_ns: int = -1
    """Time inside decode and augment, summed; collate is apart."""
    on_cpu_ns: int = -1
    """Worker thread on a CPU between fetch_start and collate_end, from schedstat."""
    run_queue_ns: int = -1
    """Worker thread runnable but waiting for a CPU in the same interval."""
    fetch_on_cpu_ns: int = -1
    """The part of `on_cpu_ns` up to fetch_end; the rest is collate's."""
    fetch_run_queue_ns: int = -1
    """The part of `run_queue_ns` up to fetch_end."""
    minor_faults: int = -1
    """Page faults of the worker thread between fetch_start and collate_end whose page was in memory, or came fresh."""
    major_faults: int = -1
    """Those that waited for the device or server."""
    voluntary_switches: int = -1
    """Times the worker thread left the CPU in that interval because it had to wait."""
    involuntary_switches: int = -1
    """Times another thread was given the CPU."""
    block_io_delay_ns: int = -1
    """Worker thread blocked for block I/O up to fetch_end, in ticks of 10 ms; known where the kernel counts it."""
    client_hit_bytes: int = -1
    """Bytes that this host's page cache held just before they were read."""
    accounted_every: int = -1
    """One batch in so many was accounted by the kernel when this one was; it stands for so many."""
    dispatch_ns: int = -1
    """When the batch was handed to the worker's queue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerJob:
    """What a worker needs to make batches; picklable."""

    source: SampleReader | SampleStream
    """Which of the two is the workload's `access`; a loader is given only what it accepts."""
    store: Store
    """Rooted at the dataset; opened anew in each worker."""
    trace_dir: str
    """Where recorders write."""
    rank: int
    world_size: int = 1
    """Ranks that run together."""
    warmup_batches: int
    """Batches below this number count as warm-up in the operation statistics."""
    span_budget: int
    """Records each process may keep in full; beyond it whole batches are sampled."""
    overhead_budget: float = 0.01
    """Share of a worker's time that tracing may take, 0.0 to 1.0; beyond it fewer batches are looked at closely."""
    span_ns: float = 0.0
    """What tracing one operation takes, as calibrated."""
    scratch: str = ""
    """Where workers of a `WritingWorkload` may write, relative to the store's root."""
    cache_budget: float = 0.0025
    """Share of its time that a worker may spend on asking what the page cache holds of the reads to come; 0: it does
    not ask, infinity: it asks before every read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadJob:
    """All a loader needs to deliver a run's batches."""

    worker: WorkerJob
    order: Callable[[int], Indices] | None
    """Sample numbers of an epoch, for this rank; None for streams, which have an order of their own."""
    samples: int
    """Samples of one epoch over all ranks."""
    batch_size: int
    drop_last: bool
    stop_requested: Callable[[], bool]
    """Asked before each dispatch, in the consumer's process: True ends the run with what is in flight."""
    stored: StoredSamples | None = None
    """How the samples stand on the store, for loaders of a format; None: the workload does not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadWorker:
    """A worker process that was killed or crashed."""

    worker: int
    """Its number, from 0."""
    pid: int
    exit_code: int
    """What it exited with; negative: the number of the signal that ended it."""


class LoaderSession(Protocol):
    """An open loader: delivers epochs, then closes."""

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Deliver one epoch."""
        ...

    def process_ids(self) -> list[int]:
        """Return the worker processes alive now."""
        ...

    def dead_workers(self) -> list[DeadWorker]:
        """Return the workers that were killed or crashed; asked once an epoch has failed, before `close`.

        May wait a moment for one that is about to end.
        """
        ...

    def close(self) -> None:
        """Stop workers and release everything; safe to call twice.

        It takes `CLOSING_S` at most, whatever workers do: one that is stuck is killed. How long it took is kept apart
        from the run's figures (`loader_close_s` of run.json).
        """
        ...


@runtime_checkable
class HasEngineCounters(Protocol):
    """What a session has besides, if its library counts: requests, cache hits, time in stages."""

    def engine_counters(self) -> Mapping[str, float]:
        """Return the counters so far, by names that say their unit; asked once the last epoch is through."""
        ...


class QueueOccupancy(NamedTuple):
    """How full the queue of ready batches is."""

    ready: int
    """Batches that are made and wait for the consumer."""
    limit: int
    """How many there can be; 0: not known."""


@runtime_checkable
class HasQueueOccupancy(Protocol):
    """What a session has besides, if it can tell how many batches wait: cheap enough to be asked before any step."""

    def queue_occupancy(self) -> QueueOccupancy:
        """Return it now."""
        ...


class Loader(Protocol):
    """How samples are scheduled, parallelised and delivered."""

    name: ClassVar[str]
    summary: ClassVar[str]
    requires: ClassVar[tuple[str, ...]]
    """Modules that must import, beyond ioprof's own dependencies."""
    extra: ClassVar[str | None]
    """The extra of ioprof that brings them."""
    reads_storage: ClassVar[bool]
    """False for loaders that only measure ioprof itself."""
    accepts: ClassVar[frozenset[Access]]
    """Workloads it can deliver."""
    capabilities: ClassVar[Capabilities]
    """Who reads, who works, and what it can be asked for."""
    Params: ClassVar[type[PluginParams]]

    def __init__(self, params: PluginParams) -> None: ...

    def load(self) -> None:
        """Import what `open` needs; called before the clock starts, so that it is not taken for a slow first batch."""
        ...

    def open(self, job: LoadJob) -> LoaderSession:
        """Start delivering ``job``; workers may start here or with the first epoch."""
        ...
