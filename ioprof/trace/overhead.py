"""What tracing costs on this host, measured before each run by tracing nothing."""

from __future__ import annotations

import statistics
import tempfile
import time
from dataclasses import dataclass, replace

from ioprof.contract import WorkerJob
from ioprof.store.local import LocalStore
from ioprof.trace.batch_trace import BatchTrace
from ioprof.trace.recorder import READ_STAMPS

_SAMPLES = 64
_REPEATS = 40
_SPANS_PER_READ = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class TracingCost:
    """Time the hooks take, in nanoseconds."""

    span_ns: float
    """One operation: its share of clock reads, of the stamps kept, and of moving them to the mapping."""
    batch_ns: float
    """The hooks around one batch, without its operations."""


def measured_cost(job: WorkerJob) -> TracingCost:
    """Return the cost of tracing, from the median of repeats in a scratch folder.

    Raises:
        RunDirectoryError: no temporary folder is writable.
    """
    with tempfile.TemporaryDirectory(prefix="ioprof-calibrate-") as scratch:
        trace = BatchTrace(replace(job, trace_dir=scratch, store=LocalStore(scratch), cache_budget=0.0), worker=0)
        empty_ns = statistics.median(_batch_ns(trace, 0) for _ in range(_REPEATS))
        full_ns = statistics.median(_batch_ns(trace, _SAMPLES) for _ in range(_REPEATS))
        trace.close()
    return TracingCost(span_ns=max(0.0, (full_ns - empty_ns) / (_SAMPLES * _SPANS_PER_READ)), batch_ns=float(empty_ns))


def _batch_ns(trace: BatchTrace, samples: int) -> int:
    clock, pack, mapping = time.perf_counter, READ_STAMPS.pack_into, trace.recorder.mapping
    start_ns = time.perf_counter_ns()
    trace.begin(0, 0)
    at = trace.recorder.room(samples)
    begun = start = clock()
    for _ in range(samples):
        opened = clock()
        read = clock()
        end = clock()
        pack(mapping, at, start, opened, read, end)
        at += READ_STAMPS.size
        start = end
    trace.recorder.name_reads(range(samples), [4096] * samples, start - begun)
    trace.fetched()
    trace.end(samples)
    return time.perf_counter_ns() - start_ns
