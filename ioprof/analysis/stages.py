"""What the kernel says of the workers' batches: on a CPU, waiting for one, or blocked, for each stage of a batch."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from ioprof.analysis.accounted import Floats, accounted, floats, lasted_ns, weighted_mean, weights, within
from ioprof.analysis.reasons import Reasons
from ioprof.trace.run_record import RunRecord

NOT_ACCOUNTED = "no measured batch has the kernel's accounting of its stages"
NO_RUN_QUEUE = "no /proc/thread-self/schedstat where it ran: waiting for a CPU and blocked cannot be told apart"


@dataclass(frozen=True, slots=True, kw_only=True)
class StageTime:
    """One stage of a mean batch in seconds: on_cpu + run_queue + blocked = wall.

    The mean is over all batches, each accounted one standing for as many as there were for one accounted. The kernel's
    counters are read beside the stamps, microseconds apart: what they have beyond the wall time of a batch's stage was
    outside it, and is left out of run_queue. Inside fetch, storage operations and decoding are told apart by their
    durations alone: the kernel is asked when a stage ends, not when an operation does.
    """

    wall_s_per_batch: float
    on_cpu_s_per_batch: float
    run_queue_s_per_batch: float | None
    """Runnable, and waiting for a CPU."""
    blocked_s_per_batch: float | None
    """Waiting for anything else: storage, a lock, a timer."""
    block_io_s_per_batch: float | None
    """What of that the kernel calls block I/O. It counts in ticks of 10 ms: a mean of few batches is coarse."""
    storage_s_per_batch: float | None
    """Inside storage operations, however spent."""
    prep_s_per_batch: float | None
    """Inside decode and augment, however spent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchEvents:
    """What happened to a worker from fetch start to collate end of a mean batch, weighted like `StageTime`."""

    batches: int
    """How many batches were accounted."""
    minor_faults: float
    """Page faults whose page was in memory, or came fresh."""
    major_faults: float
    """Page faults that waited for the device or server."""
    voluntary_switches: float
    """Times the worker left the CPU because it had to wait."""
    involuntary_switches: float
    """Times another thread was given the CPU."""


def stage_times(run: RunRecord, measured_batches: pa.Table, reasons: Reasons) -> dict[str, StageTime] | None:
    """Return fetch and collate; None where no batch was accounted stage by stage."""
    known = accounted(measured_batches, "fetch_on_cpu_ns")
    if not known.num_rows:
        return reasons.known("cpu.stages", None, NOT_ACCOUNTED)
    on_cpu_ns, run_queue_ns = (floats(known, f"fetch_{part}") for part in _PARTS)
    all_on_cpu_ns, all_run_queue_ns = (floats(known, part) for part in _PARTS)
    counts = weights(known)
    stages = {
        "fetch": _stage(
            counts,
            lasted_ns(known, "fetch_start_ns", "fetch_end_ns"),
            on_cpu_ns,
            run_queue_ns,
            block_io_s=_mean_s(floats(known, "block_io_delay_ns"), counts),
            storage_s=_mean_s(floats(known, "storage_ns"), counts),
            prep_s=_mean_s(floats(known, "prep_ns"), counts),
        ),
        "collate": _stage(
            counts,
            lasted_ns(known, "fetch_end_ns", "collate_end_ns"),
            all_on_cpu_ns - on_cpu_ns,
            all_run_queue_ns - run_queue_ns,
        ),
    }
    whys = {"fetch": _NOT_OF_FETCH | {"block_io_s_per_batch": _no_block_io(run)}, "collate": _NOT_OF_COLLATE}
    for name, stage in stages.items():
        for key, why in (_NOT_KEPT | whys[name]).items():
            reasons.known(f"cpu.stages.{name}.{key}", getattr(stage, key), why)
    return stages


def batch_events(measured_batches: pa.Table, reasons: Reasons) -> BatchEvents | None:
    """Return the page faults and switches of a batch; None where no batch was accounted."""
    known = accounted(measured_batches, "fetch_on_cpu_ns")
    if not known.num_rows:
        return reasons.known("cpu.events_per_batch", None, NOT_ACCOUNTED)
    counts = weights(known)
    means = {name: weighted_mean(floats(known, name), counts) for name in _EVENTS}
    told = {name: mean for name, mean in means.items() if mean is not None}
    if len(told) < len(_EVENTS):
        return reasons.known("cpu.events_per_batch", None, "the loader does not count page faults and switches")
    return BatchEvents(batches=known.num_rows, **told)


def _stage(
    counts: Floats,
    wall_ns: Floats,
    on_cpu_ns: Floats,
    run_queue_ns: Floats,
    *,
    block_io_s: float | None = None,
    storage_s: float | None = None,
    prep_s: float | None = None,
) -> StageTime:
    on_cpu_ns, run_queue_ns = within(wall_ns, on_cpu_ns, run_queue_ns)
    return StageTime(
        wall_s_per_batch=_mean_s(wall_ns, counts) or 0.0,
        on_cpu_s_per_batch=_mean_s(on_cpu_ns, counts) or 0.0,
        run_queue_s_per_batch=_mean_s(run_queue_ns, counts),
        blocked_s_per_batch=_mean_s(wall_ns - on_cpu_ns - run_queue_ns, counts),
        block_io_s_per_batch=block_io_s,
        storage_s_per_batch=storage_s,
        prep_s_per_batch=prep_s,
    )


def _mean_s(durations_ns: Floats, counts: Floats) -> float | None:
    mean_ns = weighted_mean(durations_ns, counts)
    return None if mean_ns is None else mean_ns / 1e9


_PARTS = ("on_cpu_ns", "run_queue_ns")
_EVENTS = ("minor_faults", "major_faults", "voluntary_switches", "involuntary_switches")
_NOT_KEPT = dict.fromkeys(("run_queue_s_per_batch", "blocked_s_per_batch"), NO_RUN_QUEUE)
_NOT_OF_FETCH = dict.fromkeys(("storage_s_per_batch", "prep_s_per_batch"), "the loader cannot tell")
_NOT_OF_COLLATE = dict.fromkeys(
    ("block_io_s_per_batch", "storage_s_per_batch", "prep_s_per_batch"), "joining samples reads and decodes nothing"
)
"""Why a value can be null."""


def _no_block_io(run: RunRecord) -> str:
    if run.host.get("delay_accounting") is False:
        return "the kernel did not count it: sudo sysctl kernel.task_delayacct=1 before a run makes it"
    return "the kernel has no kernel.task_delayacct, or nobody looked whether it counts"
