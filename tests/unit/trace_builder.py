"""Traces made by hand, and by a simulated pipeline whose every stamp is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from ioprof.analysis.attribution import Attribution, attribute_idle
from ioprof.analysis.idle_causes import GROUPS
from ioprof.analysis.measured import measured_ranks
from ioprof.analysis.pipeline.pieces import Stage
from ioprof.analysis.pipeline.span_times import SpanTimes
from ioprof.analysis.reasons import Reasons
from ioprof.trace import schema
from ioprof.trace.histogram import BUCKETS, bucket_of
from ioprof.trace.kinds import Kind, Phase
from ioprof.trace.run_record import (
    AcceleratorRecord,
    CacheRecord,
    EpochRecord,
    KernelIo,
    OverheadRecord,
    RunRecord,
    WorkloadRecord,
)
from ioprof.trace.trace import Trace

MS = 1_000_000
S = 1_000 * MS


def run_record(*, busy_ns: int | None = 10 * MS, warmup_steps: int = 0, **changes: object) -> RunRecord:
    """Return a plausible run.json of a complete run on a local disk."""
    record = RunRecord(
        ioprof_version="0.1.0",
        outcome="complete",
        started_utc="2026-11-23T10:00:00Z",
        ended_utc="2026-11-23T10:01:00Z",
        command=["ioprof", "run", "small-files"],
        seed=1,
        spec={"loader": {"name": "torch-map", "workers": 2, "prefetch": 2, "batch_size": 64}},
        workload=WorkloadRecord(
            name="small-files",
            samples_per_epoch=1000,
            objects=1000,
            total_bytes=4096 * 1000,
            reads_storage=True,
        ),
        loader="torch-map",
        batch_size=64,
        accelerator=AcceleratorRecord(
            name="none" if busy_ns is None else "H100",
            count=1,
            busy_ns_per_batch=busy_ns,
            source="asked for by --compute",
            is_estimate=False,
            h2d_bytes_per_s=None,
        ),
        cache=CacheRecord(requested="cold", evictions=1, evicted_objects=1000),
        store={"url": "./ioprof-data", "filesystem": "ext4", "is_memory": False},
        host={"cores": 2},
        versions={},
        clock={},
        warmup_steps=warmup_steps,
        run_start_ns=0,
    )
    return record.model_copy(update=changes)


def table(kind: pa.Schema, rows: Sequence[dict[str, object]]) -> pa.Table:
    """Return rows as a table; columns left out are 0, or null where that is allowed."""
    empty = {field.name: None if field.nullable else 0 for field in kind}
    return pa.Table.from_pylist([empty | row for row in rows], schema=kind)


def charged_ns(trace: Trace) -> tuple[dict[str, float], Attribution]:
    """Return the idle time of a trace by cause and by group of causes, in ns, and all else that was found of it."""
    ranks = measured_ranks(trace.steps, trace.run, trace.checkpoints)
    times = SpanTimes(ranks)
    for _ in times.watching(trace.spans()):
        pass
    found = attribute_idle(ranks, trace, times)
    causes = found.idle_by_cause(Reasons())
    by_group = {group: causes.of(group) * 1e9 for group in GROUPS}
    return {stage.key: float(found.idle_ns[stage]) for stage in Stage} | by_group, found


def make_trace(
    run: RunRecord | None = None,
    *,
    steps: Sequence[dict[str, object]] = (),
    batches: Sequence[dict[str, object]] = (),
    operations: Sequence[dict[str, object]] = (),
    spans: Sequence[dict[str, object]] = (),
    host: pa.Table | None = None,
    checkpoints: Sequence[dict[str, object]] = (),
) -> Trace:
    """Return a trace of plain rows."""
    return Trace(
        run=run or run_record(),
        steps=table(schema.STEPS, steps),
        batches=table(schema.BATCHES, batches),
        operations=table(schema.OPERATIONS, operations),
        host=host,
        checkpoints=table(schema.CHECKPOINTS, checkpoints),
        spans=lambda: iter(table(schema.SPANS, spans).to_batches()),
    )


def step_row(
    step: int, wait_start: int, wait_end: int, busy_end: int, *, epoch: int = 0, rank: int = 0, h2d: int = 0
) -> dict[str, object]:
    """Return one step that starts right after its batch was held and copied."""
    return {
        "rank": rank, "epoch": epoch, "step": step, "batch": step, "worker": 0, "samples": 64,
        "bytes": 64 * 4096,
        "wait_start_ns": wait_start, "wait_end_ns": wait_end, "h2d_end_ns": wait_end + h2d,
        "busy_start_ns": wait_end + h2d, "busy_end_ns": busy_end,
    }  # fmt: skip


def operation_row(
    kind: Kind,
    durations_ns: Sequence[int],
    *,
    phase: Phase = Phase.STEADY,
    size: int = 0,
    errors: int = 0,
    worker: int = 0,
) -> dict[str, object]:
    """Return the exact statistics of operations that took ``durations_ns``."""
    durations = np.asarray(durations_ns, dtype=np.int64)
    return {
        "rank": 0, "worker": worker, "phase": int(phase), "kind": int(kind), "count": len(durations),
        "bytes": size * len(durations), "errors": errors, "total_ns": int(durations.sum()),
        "min_ns": int(durations.min()), "max_ns": int(durations.max()),
        "buckets": np.bincount(bucket_of(durations), minlength=BUCKETS).tolist(),
    }  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """A loader as DESIGN's max-plus recursion describes it; durations in ns, one entry per batch."""

    fetch: Sequence[int]
    prep: Sequence[int]
    compute: Sequence[int]
    workers: int = 2
    prefetch: int = 2
    collate: int = 0
    ipc: int = 0
    unwrap: int = 0
    h2d: int = 0

    def rows(self) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
        """Return the steps and batches that this pipeline would leave behind."""
        count, ahead = len(self.fetch), self.workers * self.prefetch
        made, held = [0] * count, [0] * count
        steps: list[dict[str, object]] = []
        batches: list[dict[str, object]] = []
        arrived = [0] * count
        free = 0
        for k in range(count):
            dispatch = held[k - ahead] if k >= ahead else 0
            start = max(dispatch, made[k - self.workers]) if k >= self.workers else dispatch
            fetched = start + self.fetch[k] + self.prep[k]
            made[k] = fetched + self.collate
            arrived[k] = max(made[k], arrived[k - self.workers] if k >= self.workers else 0) + self.ipc
            asked = free
            held[k] = max(asked, arrived[k]) + self.unwrap
            busy_start = held[k] + self.h2d
            free = busy_start + self.compute[k]
            steps.append(step_row(k, asked, held[k], free, h2d=self.h2d))
            batches.append({
                "batch": k, "worker": k % self.workers, "dispatch_ns": dispatch, "fetch_start_ns": start,
                "fetch_end_ns": fetched, "collate_end_ns": made[k], "received_ns": held[k],
                "storage_ns": self.fetch[k], "prep_ns": self.prep[k], "on_cpu_ns": self.prep[k],
                "run_queue_ns": 0, "blocked_ns": self.fetch[k], "samples": 64, "bytes": 64 * 4096,
                "fetch_on_cpu_ns": self.prep[k], "fetch_run_queue_ns": 0, "minor_faults": 70, "major_faults": 0,
                "voluntary_switches": 64, "involuntary_switches": 2,
            })  # fmt: skip
        return steps, batches

    def makespan_ns(self) -> int:
        """Return when the last step ends."""
        return int(self.rows()[0][-1]["busy_end_ns"])  # type: ignore[call-overload, no-any-return]

    def trace(self, **changes: object) -> Trace:
        """Return the trace of a run of one epoch through this pipeline."""
        steps, batches = self.rows()
        end = self.makespan_ns()
        # No step takes longer than asked: else the host was late, which tests of that ask for by themselves.
        changes = {"busy_ns": max(self.compute, default=0) or 10 * MS} | changes
        record = run_record(epochs=[EpochRecord(epoch=0, start_ns=0, end_ns=end)], **changes)  # type: ignore[arg-type]
        return make_trace(record, steps=steps, batches=batches)


def kernel_io(
    *, tapped: int = 4_096_000, read: int = 4_096_000, rchar: int | None = None, pages: int | None = None
) -> list[KernelIo]:
    """Return the counters of two equal workers; totals are given."""
    return [
        KernelIo(
            worker=worker,
            tapped_bytes=tapped // 2,
            tapped_page_bytes=None if pages is None else pages // 2,
            rchar_bytes=(tapped if rchar is None else rchar) // 2,
            read_bytes=read // 2,
        )
        for worker in range(2)
    ]


OVERHEAD = OverheadRecord(span_ns=320.0, batch_ns=5_000.0, spans=3000, worker_time_ns=2 * S)
