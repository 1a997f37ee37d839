"""What a finished case shows of its truth, figure by figure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ioprof.analysis.measured import measured_ranks
from ioprof.analysis.operations import KindTotals, totals_by_kind
from ioprof.api import Run
from ioprof.selftest.cases import PREFETCH, Case
from ioprof.selftest.expected import NOTHING, expected_utilization
from ioprof.selftest.plain import OwnCosts
from ioprof.selftest.row import Row, Unit
from ioprof.store.throttle import Factors, parse_throttle
from ioprof.trace.histogram import percentile_ns
from ioprof.trace.kinds import Kind, Phase
from ioprof.trace.reader import load_trace

AU_LIMIT = 0.01
LATENCY_LIMIT = 0.03
RATE_LIMIT = 0.02
IDLE_SUM_LIMIT = 0.001
BUSY_LIMIT = 0.01
SHARE_LIMIT = 0.03
CEILING_LIMIT = 0.05
DECODE_LIMIT = 0.05
"""Of the time on a CPU, and for one where it had to be shared."""
_PERCENTILES = (0.5, 0.9, 0.99)
BatchTimes = Callable[[int, int], float]
"""How long a worker takes for its batch number so-and-so, in ns; asked for in this order."""


def rows_of(case: Case, run: Run, own: OwnCosts = NOTHING) -> list[Row]:
    """Return every figure whose truth is known of a case.

    Args:
        case: what was asked for.
        run: what came of it.
        own: what a plain program with the same loader takes besides.
    """
    trace = load_trace(run.directory)
    operations = trace.operations
    totals = {one.kind: one for one in totals_by_kind(operations, (Phase.STEADY,))}
    return [
        *_operations(case, run, totals),
        *_percentiles(case, operations),
        *_rates(case, run, own),
        *_decode(case, totals, trace.batches, own),
        *_accelerator(case, run, _decode_ns(totals), own),
        *_idle(case, run, _decode_ns(totals)),
    ]


def _row(
    case: Case, figure: str, unit: Unit, asked: float, measured: float | None, limit: float, given: float | None = None
) -> Row:
    return Row(case=case.name, figure=figure, unit=unit, asked=asked, given=given, measured=measured, limit=limit)


def _mean_row(case: Case, run: Run, name: str, asked_ns: float, measured_ns: float | None) -> Row:
    row = _row(case, f"{name} mean", "ns", asked_ns, measured_ns, LATENCY_LIMIT, _given_ns(run, name))
    return replace(row, decided_by="throttle")


def _operations(case: Case, run: Run, totals: dict[Kind, KindTotals]) -> Iterator[Row]:
    """Yield the latency of operations: of those that only a latency delays."""
    for kind, asked_ns in ((Kind.OPEN, case.open_ns), (Kind.READ, case.read_ns)):
        if not asked_ns:
            continue
        found, name = totals.get(kind), kind.label
        mean_ns = found.total_ns / found.count if found else None
        yield _mean_row(case, run, name, asked_ns, mean_ns)
        if case.jitter is None:
            yield _row(case, f"{name} p50", "ns", asked_ns, _percentile(found, 0.5), LATENCY_LIMIT)


def _percentiles(case: Case, operations: pa.Table) -> Iterator[Row]:
    """Yield those of reads whose latency was drawn: all workers' draws together."""
    if case.jitter is None:
        return
    drawn = list[float]()
    for worker in range(case.workers):
        reads = totals_by_kind(operations.filter(pc.equal(operations["worker"], worker)), (Phase.STEADY,))
        drawn += _drawn(case, worker, sum(one.count for one in reads if one.kind == Kind.READ))
    found = next((one for one in totals_by_kind(operations, (Phase.STEADY,)) if one.kind == Kind.READ), None)
    for share in _PERCENTILES:
        asked = float(np.quantile(drawn, share, method="inverted_cdf")) if drawn else math.nan
        yield _row(case, f"read p{100 * share:.0f}", "ns", asked, _percentile(found, share), LATENCY_LIMIT)


def _percentile(totals: KindTotals | None, share: float) -> float | None:
    return None if totals is None else percentile_ns(totals.buckets, share, totals.min_ns, totals.max_ns)


def _drawn(case: Case, worker: int, reads: int) -> list[float]:
    """Return the latencies that the measured reads of a worker were given, by the throttle's own seed."""
    factors = Factors(parse_throttle(case.throttle, case.name), (0, worker))
    warmup = case.warmup // case.workers * case.batch_size
    return [case.read_ns * factors() for _ in range(warmup + reads)][warmup:]


def _given_ns(run: Run, kind: str) -> float | None:
    held = run.record.held_operations
    found = held.by_kind.get(kind) if held is not None else None
    return found.given_ns / found.operations if found is not None else None


def _rates(case: Case, run: Run, own: OwnCosts) -> Iterator[Row]:
    reads = run.summary.operations.get("read")
    if case.iops is not None:
        yield _row(case, "reads/s", "per_s", case.iops, reads.per_s if reads else None, RATE_LIMIT)
        yield from _bound_by_reads(case, run, case.iops)
        if case.probe:
            yield _row(case, "ceiling", "per_s", case.iops, run.summary.ceiling_samples_per_s, CEILING_LIMIT)
    if case.bandwidth_bytes_per_s is not None:
        measured, asked = reads.bytes_per_s if reads else None, case.bandwidth_bytes_per_s
        given = alone_per_s(case, own)
        held = None if given is None else given * case.file_bytes
        yield _row(case, "bandwidth", "bytes_per_s", asked, measured, RATE_LIMIT, held)
        yield from _bound_by_reads(case, run, asked / case.file_bytes, given)


def alone_per_s(case: Case, own: OwnCosts) -> float | None:
    """Return how many reads a single worker makes, which leaves the device idle between two; None: there are more.

    The device is a limit of what is under way: while one worker opens, closes, hands over and asks, nothing is.
    """
    if not case.is_alone or case.bandwidth_bytes_per_s is None:
        return None
    read_ns = case.file_bytes / case.bandwidth_bytes_per_s * 1e9
    return 1e9 / (read_ns + (own.batch_ns + own.gap_ns) / case.batch_size)


def _bound_by_reads(case: Case, run: Run, reads_per_s: float, given_per_s: float | None = None) -> Iterator[Row]:
    """Yield what follows where a shared device holds everything up: it is read by read what the accelerator gets."""
    asked = reads_per_s / case.batch_size * case.compute_ns / 1e9
    given = (given_per_s or reads_per_s) / case.batch_size * (_busy_ns(run) or math.nan) / 1e9
    yield _row(case, "utilisation", "ratio", asked, run.summary.accelerator_utilization, AU_LIMIT, given)
    yield _row(case, "samples/s", "per_s", reads_per_s, run.summary.samples_per_s, RATE_LIMIT, given_per_s)


def _decode(case: Case, totals: dict[Kind, KindTotals], batches: pa.Table, own: OwnCosts) -> Iterator[Row]:
    if case.decode_ns:
        given_ns = decode_took_ns(case, batches, own, _decode_ns(totals))
        row = _row(case, "decode mean", "ns", case.decode_ns, _decode_ns(totals) or None, DECODE_LIMIT, given_ns)
        yield replace(row, decided_by="cpu")


def decode_took_ns(case: Case, batches: pa.Table, own: OwnCosts, measured_ns: float) -> float | None:
    """Return how long decoding a sample took by the kernel's clocks: no stamp of an operation is in it.

    On a CPU for as long as it computed. A worker that has to share one decodes for longer: by nothing if it waited for
    a CPU elsewhere, and by at most all that it waited. Within these two what was measured is the truth; beyond, the
    nearer of them is.
    """
    measured = batches.filter(pc.greater_equal(batches["batch"], case.warmup))
    on_cpu_ns, queued_ns = (pc.mean(measured[name]).as_py() for name in ("fetch_on_cpu_ns", "fetch_run_queue_ns"))
    if on_cpu_ns is None:
        return None
    least_ns = (on_cpu_ns - own.on_cpu_ns) / case.batch_size
    return float(min(max(measured_ns, least_ns), least_ns + (queued_ns or 0.0) / case.batch_size))


def _decode_ns(totals: dict[Kind, KindTotals]) -> float:
    """Return what decoding a sample took on average: the CPU's speed is the host's, and no throttle knows it."""
    found = totals.get(Kind.DECODE)
    return found.total_ns / found.count if found is not None else 0.0


def _accelerator(case: Case, run: Run, decode_ns: float, own: OwnCosts) -> Iterator[Row]:
    """Yield utilisation, throughput and busy time of cases whose batches have a known length."""
    if not case.sleeps:
        return
    summary = run.summary
    busy_ns = _busy_ns(run)
    given_ns = busy_ns or case.compute_ns
    took_ns = given_ns + _late_ns(run)
    asked = _utilization(case, _asked_times(case), NOTHING, case.compute_ns)
    given = _utilization(case, _given_times(case, run, decode_ns), own, took_ns) * given_ns / took_ns
    yield _row(case, "utilisation", "ratio", asked, summary.accelerator_utilization, AU_LIMIT, given)
    asked_rate, given_rate = (case.batch_size / ns * 1e9 for ns in (case.compute_ns, given_ns))
    yield _row(
        case, "samples/s", "per_s", asked * asked_rate, summary.samples_per_s, AU_LIMIT / given, given * given_rate
    )  # fmt: skip
    yield _row(case, "busy per batch", "ns", case.compute_ns, busy_ns, BUSY_LIMIT)


def _busy_ns(run: Run) -> float | None:
    """Return how long the emulated accelerator was busy with a batch on average; a row of its own judges that."""
    summary = run.summary
    return summary.busy_s / summary.steps * 1e9 if summary.busy_s and summary.steps else None


def _late_ns(run: Run) -> float:
    """Return how much later than asked the emulated steps ended on average: the loader had that time as well."""
    ranks = measured_ranks(load_trace(run.directory).steps, run.record)
    late_ns = sum(int(rank.late_ns.sum()) for rank in ranks)
    return late_ns / max(1, sum(rank.measured for rank in ranks))


def _utilization(case: Case, batch_ns: BatchTimes, own: OwnCosts, compute_ns: float) -> float:
    return expected_utilization(
        batch_ns,
        workers=case.workers,
        prefetch=PREFETCH,
        compute_ns=compute_ns,
        steps=case.warmup + case.steps,
        warmup=case.warmup,
        own=own,
    )


def _asked_times(case: Case) -> BatchTimes:
    """Return how long batches would take if every operation took what was asked for."""
    if case.jitter is not None:
        return _jittered(case, late_ns=0.0)
    return lambda worker, number: case.batch_size * (case.open_ns + case.read_ns + case.decode_ns)


def _given_times(case: Case, run: Run, decode_ns: float) -> BatchTimes:
    """Return how long they take by what the throttle gave on average, and by what decoding took."""
    open_ns, read_ns = _given_ns(run, "open") or 0.0, _given_ns(run, "read") or 0.0
    if case.jitter is not None:
        return _jittered(case, late_ns=read_ns - _mean_asked_ns(run))
    return lambda worker, number: case.batch_size * (open_ns + read_ns + decode_ns)


def _mean_asked_ns(run: Run) -> float:
    held = run.record.held_operations
    reads = held.by_kind.get("read") if held is not None else None
    return reads.asked_ns / reads.operations if reads is not None else 0.0


def _jittered(case: Case, *, late_ns: float) -> BatchTimes:
    """Return the batches' lengths by the throttle's own seed, each operation as late as the mean one."""
    throttle = parse_throttle(case.throttle, case.name)
    factors = [Factors(throttle, (0, worker)) for worker in range(case.workers)]
    return lambda worker, number: sum(case.read_ns * factors[worker]() + late_ns for _ in range(case.batch_size))


def _idle(case: Case, run: Run, decode_ns: float) -> Iterator[Row]:
    """Yield whether the causes of idle time add up to it, and whether the right ones are named."""
    idle_s, causes = run.summary.idle_s, run.summary.idle_by_cause
    if idle_s is None or causes is None or not idle_s:
        return
    yield _row(case, "idle, sum of causes", "ratio", 1.0, causes.total() / idle_s, IDLE_SUM_LIMIT)
    sample_ns = case.open_ns + case.read_ns + case.decode_ns
    if not sample_ns or case.batch_size * sample_ns < 1.2 * case.workers * case.compute_ns:
        return
    # Nothing but making batches holds the accelerator up: its idle time is theirs, shared by the time each stage takes.
    fetch_ns = (_given_ns(run, "open") or 0.0) + (_given_ns(run, "read") or 0.0)
    asked, given = case.decode_ns / sample_ns, decode_ns / (decode_ns + fetch_ns)
    yield _row(
        case, "idle, share of storage", "ratio", 1 - asked, causes.of("storage") / idle_s, SHARE_LIMIT, 1 - given
    )
    if case.decode_ns:
        yield _row(case, "idle, share of prep", "ratio", asked, causes.of("prep") / idle_s, SHARE_LIMIT, given)
