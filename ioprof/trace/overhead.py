"""What tracing costs on this host, measured before each run: reading a file with it and without is compared."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from ioprof.contract import WorkerJob
from ioprof.store.local import LocalStore
from ioprof.store.object_reads import reads_in_use, unstamped_reads
from ioprof.trace.batch_trace import BatchTrace

_READS = 64
_READ_BYTES = 4096
_REPEATS = 40
_SPANS_PER_READ = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class TracingCost:
    """Time the hooks take, in nanoseconds."""

    span_ns: float
    """One operation: its share of clock reads, and of keeping and naming the stamps."""
    batch_ns: float
    """The hooks around one batch, without its operations, while nothing else fills the CPU's caches."""


def measured_cost(job: WorkerJob) -> TracingCost:
    """Return the cost of tracing, from repeats in a scratch folder.

    An operation's is what reading takes longer with stamps than without, system calls included: between these, clock
    reads and stamps take twice what they take in a loop by themselves. The least of the repeats counts, because a
    difference of medians would be one of two noises; it is never below that of the clock reads alone.

    Raises:
        RunDirectoryError: no temporary folder is writable.
    """
    with tempfile.TemporaryDirectory(prefix="ioprof-calibrate-") as scratch:
        trace = BatchTrace(replace(job, trace_dir=scratch, store=LocalStore(scratch)), worker=0)
        batch_ns = statistics.median(_cpu_ns(lambda: _empty_batch(trace)) for _ in range(_REPEATS))
        span_ns = max(_reading_with_stamps_ns(trace, scratch) / (_READS * _SPANS_PER_READ), _clock_read_ns())
        trace.close()
    return TracingCost(span_ns=span_ns, batch_ns=float(batch_ns))


def _empty_batch(trace: BatchTrace) -> None:
    trace.begin(0, 0)
    trace.fetched()
    trace.end(0)


def _reading_with_stamps_ns(trace: BatchTrace, scratch: str) -> float:
    """Return how much longer so many reads take with stamps than without."""
    path = str(Path(scratch) / "calibration")
    Path(path).write_bytes(bytes(_READ_BYTES))
    paths, sizes, objects = [path] * _READS, [_READ_BYTES] * _READS, list(range(_READS))
    traced, bare, read_unstamped = [], [], unstamped_reads()
    for _ in range(_REPEATS):
        traced.append(_cpu_ns(lambda: trace.tap.read_objects(paths, sizes, objects)))
        trace.recorder.end()
        bare.append(_cpu_ns(lambda: read_unstamped(paths, sizes)))
    return min(traced) - min(bare)


def _clock_read_ns() -> float:
    """Return what reading the clock takes; where the compiled loop reads it, without the interpreter's call."""
    whole_ns = _call_ns(time.perf_counter)
    return max(1.0, whole_ns - _call_ns([].clear)) if reads_in_use() == "compiled" else whole_ns


def _call_ns(call: Callable[[], object]) -> float:
    start_ns = time.thread_time_ns()
    for _ in range(_READS * _SPANS_PER_READ):
        call()
    return (time.thread_time_ns() - start_ns) / (_READS * _SPANS_PER_READ)


def _cpu_ns(call: Callable[[], object]) -> int:
    start_ns = time.thread_time_ns()
    call()
    return time.thread_time_ns() - start_ns
