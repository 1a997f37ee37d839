"""What the kernel says of the workers' batches: on a CPU, waiting for one, or blocked, for each stage of a batch."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from ioprof.analysis.reasons import Reasons
from ioprof.trace.run_record import RunRecord

NOT_ACCOUNTED = "no measured batch has the kernel's accounting of its stages"
NO_RUN_QUEUE = "no /proc/thread-self/schedstat where it ran: waiting for a CPU and blocked cannot be told apart"


@dataclass(frozen=True, slots=True, kw_only=True)
class StageTime:
    """One stage of a batch in seconds, the mean over the accounted batches: on_cpu + run_queue + blocked = wall.

    Exact for the stage as a whole, up to the microseconds between a stamp and the kernel's counters: where nothing was
    blocked, the first two can exceed the wall time by so much. Inside fetch, storage operations and decoding are told
    apart by their durations alone: the kernel is asked when a stage ends, not when an operation does.
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
    """What happened to a worker from fetch start to collate end of a batch: means over the accounted batches."""

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
    known = _accounted(measured_batches)
    if not known.num_rows:
        return reasons.known("cpu.stages", None, NOT_ACCOUNTED)
    wall_s = _mean_s(pc.subtract(known["fetch_end_ns"], known["fetch_start_ns"]))
    collate_s = _mean_s(pc.subtract(known["collate_end_ns"], known["fetch_end_ns"]))
    stages = {
        "fetch": _stage(
            wall_s or 0.0,
            _mean_s(known["fetch_on_cpu_ns"]) or 0.0,
            _mean_s(known["fetch_run_queue_ns"]),
            block_io_s=_mean_s(known["block_io_delay_ns"]),
            storage_s=_mean_s(known["storage_ns"]),
            prep_s=_mean_s(known["prep_ns"]),
        ),
        "collate": _stage(
            collate_s or 0.0,
            _mean_s(pc.subtract(known["on_cpu_ns"], known["fetch_on_cpu_ns"])) or 0.0,
            _mean_s(pc.subtract(known["run_queue_ns"], known["fetch_run_queue_ns"])),
        ),
    }
    whys = {"fetch": _NOT_OF_FETCH | {"block_io_s_per_batch": _no_block_io(run)}, "collate": _NOT_OF_COLLATE}
    for name, stage in stages.items():
        for key, why in (_NOT_KEPT | whys[name]).items():
            reasons.known(f"cpu.stages.{name}.{key}", getattr(stage, key), why)
    return stages


def batch_events(measured_batches: pa.Table, reasons: Reasons) -> BatchEvents | None:
    """Return the page faults and switches of a batch; None where no batch was accounted."""
    known = _accounted(measured_batches)
    if not known.num_rows:
        return reasons.known("cpu.events_per_batch", None, NOT_ACCOUNTED)
    return BatchEvents(
        batches=known.num_rows,
        minor_faults=float(pc.mean(known["minor_faults"]).as_py()),
        major_faults=float(pc.mean(known["major_faults"]).as_py()),
        voluntary_switches=float(pc.mean(known["voluntary_switches"]).as_py()),
        involuntary_switches=float(pc.mean(known["involuntary_switches"]).as_py()),
    )


def _accounted(measured_batches: pa.Table) -> pa.Table:
    return measured_batches.filter(pc.is_valid(measured_batches["fetch_on_cpu_ns"]))


def _stage(
    wall_s: float,
    on_cpu_s: float,
    run_queue_s: float | None,
    *,
    block_io_s: float | None = None,
    storage_s: float | None = None,
    prep_s: float | None = None,
) -> StageTime:
    # Two clocks: where nothing was waited for, they can differ by a microsecond in either direction.
    blocked_s = None if run_queue_s is None else max(0.0, wall_s - on_cpu_s - run_queue_s)
    return StageTime(
        wall_s_per_batch=wall_s,
        on_cpu_s_per_batch=on_cpu_s,
        run_queue_s_per_batch=run_queue_s,
        blocked_s_per_batch=blocked_s,
        block_io_s_per_batch=block_io_s,
        storage_s_per_batch=storage_s,
        prep_s_per_batch=prep_s,
    )


def _mean_s(durations_ns: pa.ChunkedArray) -> float | None:
    mean_ns = pc.mean(durations_ns).as_py()
    return None if mean_ns is None else mean_ns / 1e9


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
