"""From a trace to its summary: every number of summary.json, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc

from ioprof.analysis.answer import Answering, Measurements, answer
from ioprof.analysis.caveats import caveats
from ioprof.analysis.ceiling import baselines, ceiling
from ioprof.analysis.checkpoints import checkpoint_stats
from ioprof.analysis.delivered import UnusedOperations
from ioprof.analysis.evidence import evidence_of
from ioprof.analysis.fetch_counters import miscounted_reason
from ioprof.analysis.host import cpu_utilization
from ioprof.analysis.kernel import coverage, cpu_time
from ioprof.analysis.lateness import lateness
from ioprof.analysis.mapped import NOT_MAPPED, mapped_reads
from ioprof.analysis.measured import RankSteps, counted_ranks, measured_batches, measured_ranks
from ioprof.analysis.mlperf import mlperf_rates
from ioprof.analysis.mlperf_result import mlperf_result
from ioprof.analysis.names import NO_READS, coverage_of_reads, names_sentence
from ioprof.analysis.operations import (
    KindTotals,
    bytes_read,
    bytes_written,
    stats_of,
    storage_operations,
    totals_by_kind,
)
from ioprof.analysis.outliers import OutlierSearch
from ioprof.analysis.overrun import overrun
from ioprof.analysis.page_cache import client_hits, cold_unknown_reason, witnesses_differ
from ioprof.analysis.pipeline.span_times import SpanTimes
from ioprof.analysis.reasons import Reasons
from ioprof.analysis.replayed import replayed
from ioprof.analysis.roofline import roofline
from ioprof.analysis.spans import SpanCounts, count_spans, disagreement, errors_by_kind
from ioprof.analysis.stages import NO_RUN_QUEUE, batch_events, stage_times
from ioprof.analysis.steadiness import steadiness, unsteady
from ioprof.analysis.summary import (
    AcceleratorFacts,
    CacheEvidence,
    Closing,
    Coverage,
    CpuTime,
    Discovery,
    EpochStart,
    MappedReads,
    OperationStats,
    Overhead,
    Summary,
)
from ioprof.analysis.undelivered import undelivered
from ioprof.analysis.unseen import latency_unknown_reason, latent_coverage
from ioprof.analysis.utilization import (
    NO_ACCELERATOR,
    made_before_window,
    nothing_measured,
    progress,
    utilization,
)
from ioprof.trace.kinds import Phase
from ioprof.trace.run_record import RunRecord
from ioprof.trace.trace import Trace


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rates:
    """The time that counts are divided by."""

    window_s: float | None
    reason: str
    """Why there are no rates where it is None or 0."""


def summarise(trace: Trace, answering: Answering = answer) -> Summary:
    """Return what a trace says; works for any trace, also one that ended before its first batch."""
    run, reasons = trace.run, Reasons()
    ranks = measured_ranks(trace.steps, run, trace.checkpoints)
    done = progress(run, ranks, reasons)
    theirs = mlperf_rates(ranks, run.epochs, None if run.accelerator.is_measured else run.batch_size)
    prefetched = made_before_window(ranks, trace.batches)
    steady, phase = _measured_totals(trace.operations)
    counted = counted_ranks(ranks, trace.steps, run, trace.checkpoints)
    search, times = OutlierSearch(ranks, trace), SpanTimes(ranks)
    unused = UnusedOperations(trace, counted if phase == "steady" else [])
    spans = count_spans(times.watching(unused.watching(search.watching(trace.spans()))))
    use = utilization(trace, ranks, times, theirs, reasons)
    lost = undelivered(run, counted, trace.batches, steady if phase == "steady" else [])
    window_s = max((rank.window_ns for rank in counted), default=0) / 1e9
    rates = _Rates(
        window_s=window_s if lost.no_rate is None else None, reason=lost.no_rate or "the window has no length"
    )
    evenness = steadiness(trace, ranks, reasons)
    everything = totals_by_kind(trace.operations, tuple(Phase))
    delivered = unused.left_out(steady)
    errors = errors_by_kind(totals_by_kind(trace.operations, _OF_SAMPLES), spans)
    saved = checkpoint_stats(trace, ranks, done.wall_s, reasons)
    measured = _of_window(trace)
    cache, no_cache = client_hits(run, measured, phase)
    seen, no_coverage = latent_coverage(run, *coverage_of_reads(*coverage(run), steady))
    no_latency = latency_unknown_reason(run, seen)
    iops = _rate("iops", storage_operations(delivered), run, rates, reasons, "no storage operation was traced")
    cpu, overhead = _cpu(trace, counted, reasons), _overhead(trace, reasons)
    found, taken_out = ceiling(trace, reasons), baselines(trace, reasons)
    evidence = None
    if done.samples_per_s is not None and done.wall_s is not None:
        evidence = evidence_of(
            trace,
            measured_batches(ranks, trace.batches),
            delivered_per_s=done.samples_per_s,
            demand_per_s=done.demand_samples_per_s,
            wall_s=done.wall_s,
            idle=use.idle_by_cause,
            totals=steady,
            cpu=cpu,
            baselines=taken_out,
            client_hit_ratio=cache.client_hit_ratio,
        )
    roofs = roofline(
        trace,
        delivered_per_s=done.samples_per_s,
        demand_per_s=done.demand_samples_per_s,
        cpu=cpu,
        baselines=taken_out,
        client_hit_ratio=cache.client_hit_ratio,
        reasons=reasons,
    )
    repeated = replayed(trace, reasons)
    known = Measurements(
        use=use,
        done=done,
        prefetched=prefetched,
        names=names_sentence(steady, iops),
        evidence=evidence,
        totals=steady,
        roofline=roofs,
        no_workers_per_s=taken_out.no_workers_samples_per_s,
        client_hit_ratio=cache.client_hit_ratio,
        tracing_share=overhead.share_of_worker_time,
        replay=repeated,
    )
    concluded = answering(trace, known, reasons)
    _note_kernel(reasons, cache, no_cache, no_coverage, seen)
    mapped = _mapped(run, steady, phase, reasons)
    facts = accelerator_facts(run)
    reasons.known("accelerator.busy_ns_per_batch", facts.busy_ns_per_batch, NO_ACCELERATOR)
    return Summary(
        outcome=run.outcome,
        outcome_reason=reasons.known("outcome_reason", run.reason, _NO_OUTCOME_REASON),
        workload=run.workload.name,
        loader=run.loader,
        store=str(run.store.get("url", "")),
        accelerator=facts,
        samples=done.samples,
        steps=done.steps,
        warmup_steps=done.warmup_steps,
        epochs=done.epochs,
        wall_s=done.wall_s,
        first_batch_s=done.first_batch_s,
        accelerator_utilization=use.accelerator_utilization,
        accelerator_utilization_ci95=use.accelerator_utilization_ci95,
        mlperf_au=use.mlperf_au,
        mlperf=mlperf_result(run, theirs, use.mlperf_au, reasons),
        busy_s=use.busy_s,
        idle_s=use.idle_s,
        idle_by_cause=use.idle_by_cause,
        idle_by_cause_spent=use.idle_by_cause_spent,
        idle_if_free=use.idle_if_free,
        samples_per_s=done.samples_per_s,
        samples_per_s_ci95=done.samples_per_s_ci95,
        demand_samples_per_s=done.demand_samples_per_s,
        ceiling_samples_per_s=None if found is None else found.samples_per_s,
        ceiling=found,
        roofline=roofs,
        steady=evenness,
        lateness=lateness(run, ranks, reasons),
        outliers=search.found(reasons),
        operations=_operations("operations", steady, rates, no_latency, reasons, delivered),
        operations_phase=phase,
        bandwidth_bytes_per_s=_rate("bandwidth_bytes_per_s", bytes_read(delivered), run, rates, reasons, NO_READS),
        write_bandwidth_bytes_per_s=_rate(
            "write_bandwidth_bytes_per_s", bytes_written(delivered), run, rates, reasons, "nothing was written"
        ),
        iops=iops,
        discovery=_discovery(trace, reasons),
        epoch_start=_epoch_start(trace, reasons),
        closing=_closing(trace, reasons),
        cache=cache,
        cpu=cpu,
        overhead=overhead,
        verdict=concluded.verdict,
        coverage=seen,
        mapped=mapped,
        checkpoints=saved,
        baselines=taken_out,
        replay=repeated,
        engine_counters=reasons.known("engine_counters", run.engine_counters or None, not_counted_reason(run)),
        findings=concluded.findings,
        errors=errors,
        sample_every=run.sample_every,
        host_missing=run.host_missing,
        caveats=caveats(
            run,
            cache=cache,
            witnesses=witnesses_differ(run, measured),
            coverage=seen,
            mapped=mapped,
            cpu=cpu,
            errors=errors,
            accelerator=facts,
            overrun=overrun(run, ranks),
            steps=done.steps,
            prefetched=prefetched,
            lost=lost,
            # A replay has no rate of samples to be unsteady, and processes that wait for their turn by design.
            unsteady=unsteady(
                trace, ranks, evenness, done.samples_per_s if repeated is None else None, done.samples_per_s_ci95
            ),
            checkpoints=saved,
            handed_over=totals_by_kind(trace.operations, (Phase.CLOSING,)),
            written_bytes=bytes_written(everything),
            tracing_share=overhead.share_of_worker_time,
            delivering=_delivering(trace) if repeated is None else repeated.processes,
            defects=_defects(trace, _spans_defect(trace, everything, spans), phase),
        ),
        reasons=reasons.by_key,
    )  # a list of all public keys, one line each: longer than a function should be, and nothing but that


def accelerator_facts(run: RunRecord) -> AcceleratorFacts:
    """Return what consumed the batches."""
    record = run.accelerator
    return AcceleratorFacts(
        name=record.name,
        count=record.count,
        busy_ns_per_batch=record.busy_ns_per_batch,
        source=record.source,
        is_estimate=record.is_estimate,
    )


def _measured_totals(operations: pa.Table) -> tuple[list[KindTotals], str]:
    """Return the totals of the steady phase; of the warm-up where nothing was steady."""
    steady = totals_by_kind(operations, (Phase.STEADY,))
    warmup = totals_by_kind(operations, (Phase.WARMUP,))
    return (warmup, "all") if warmup and not steady else (steady, "steady")


def _operations(
    key: str,
    totals: list[KindTotals],
    rates: _Rates,
    no_latency: str | None,
    reasons: Reasons,
    delivered: Sequence[KindTotals] = (),
) -> dict[str, OperationStats]:
    rated = {kind.kind: kind for kind in delivered}
    stats = {kind.kind.label: stats_of(kind, rates.window_s, rated.get(kind.kind)) for kind in totals}
    for label, one in stats.items():
        for rate in ("per_s", "bytes_per_s"):
            reasons.known(f"{key}.{label}.{rate}", getattr(one, rate), rates.reason)
        if no_latency is not None:
            stats[label] = replace(one, latency_ns=None)
            reasons.by_key[f"{key}.{label}.latency_ns"] = f"not available ({no_latency})"
        else:
            reasons.known(f"{key}.{label}.latency_ns", one.latency_ns, "no histogram was kept")
    return stats


def _rate(key: str, amount: int, run: RunRecord, rates: _Rates, reasons: Reasons, nothing: str) -> float | None:
    if not run.workload.reads_storage:
        return reasons.number(key, "the loader delivered prepared batches: nothing was read")
    if amount == 0:
        return reasons.number(key, nothing)
    return reasons.known(key, amount / rates.window_s if rates.window_s else None, rates.reason)


def _discovery(trace: Trace, reasons: Reasons) -> Discovery:
    workload = trace.run.workload
    seconds = reasons.known("discovery.seconds", workload.discovery_s, "discovery was not run or did not end")
    totals = totals_by_kind(trace.operations, (Phase.DISCOVERY,))
    rates = _Rates(window_s=seconds, reason="the window has no length")
    return Discovery(
        seconds=seconds,
        found=reasons.known("discovery.found", workload.discovered, "discovery was not run or did not end"),
        operations=_operations("discovery.operations", totals, rates, None, reasons),
    )


def _epoch_start(trace: Trace, reasons: Reasons) -> EpochStart | None:
    totals = totals_by_kind(trace.operations, (Phase.EPOCH_START,))
    if not totals:
        return reasons.known("epoch_start", None, "workers did nothing but batches")
    rates = _Rates(
        window_s=None, reason="each worker does it by itself, when its epoch begins: there is no common window"
    )
    return EpochStart(
        seconds=sum(kind.total_ns for kind in totals) / 1e9,
        operations=_operations("epoch_start.operations", totals, rates, None, reasons),
    )


def _closing(trace: Trace, reasons: Reasons) -> Closing | None:
    totals = totals_by_kind(trace.operations, (Phase.CLOSING,))
    if not totals:
        return reasons.known("closing", None, "workers held nothing back when they ended")
    rates = _Rates(window_s=None, reason="each worker does it when it ends, after the measured window")
    return Closing(
        seconds=sum(kind.total_ns for kind in totals) / 1e9,
        operations=_operations("closing.operations", totals, rates, None, reasons),
    )


def _mapped(run: RunRecord, totals: list[KindTotals], phase: str, reasons: Reasons) -> MappedReads | None:
    found = reasons.known("mapped", mapped_reads(run, totals, phase), NOT_MAPPED)
    if found is not None:
        unread = "/proc/PID/io of the workers was not readable"
        reasons.known("mapped.fetched_ratio", found.fetched_ratio, miscounted_reason(run) or unread)
    return found


def _of_window(trace: Trace) -> pa.Table:
    """Return the batches that come after the warm-up."""
    return trace.batches.filter(pc.greater_equal(trace.batches["batch"], trace.run.warmup_steps))


def _cpu(trace: Trace, ranks: list[RankSteps], reasons: Reasons) -> CpuTime:
    measured = [rank for rank in ranks if rank.measured]
    busy: float | str = nothing_measured(ranks)
    if measured:
        opened = min(int(rank.opened_ns[rank.first]) for rank in measured)
        closed = max(int(rank.busy_end_ns[-1]) for rank in measured)
        busy = cpu_utilization(trace.host, opened, closed)
    of_window = _of_window(trace)
    cpu = replace(
        cpu_time(of_window, reasons.number("cpu.utilization", busy)),
        stages=stage_times(trace.run, of_window, reasons),
        events_per_batch=batch_events(of_window, reasons),
    )
    for name in ("on_cpu_s", "run_queue_s", "blocked_s", "accounted_ratio"):
        why = "no measured batch has the kernel's accounting" if cpu.on_cpu_s is None else NO_RUN_QUEUE
        reasons.known(f"cpu.{name}", getattr(cpu, name), why)
    return cpu


def _overhead(trace: Trace, reasons: Reasons) -> Overhead:
    """Share = (operations x span cost + hooks around batches + folding + asking about cached pages) / workers' time.

    The span cost is calibrated; the hooks were measured in the workers, or calibrated in older runs.
    """
    record, unknown = trace.run.overhead, "the run ended before it measured its own cost"
    if record is None:
        reasons.by_key.update(dict.fromkeys((f"overhead.{name}" for name in ("span_ns", "spans", "batch_ns")), unknown))
        return Overhead(span_ns=None, spans=None, share_of_worker_time=reasons.number(_SHARE, unknown))
    measured = record.hooks_ns is not None and record.batches > 0
    batches = record.batches if measured else trace.batches.num_rows
    batch_ns = (record.hooks_ns or 0) / record.batches if measured else record.batch_ns
    spent_ns = record.spans * record.span_ns + batches * batch_ns + record.flush_ns
    spent_ns += sum(counts.cost_ns for counts in trace.run.cache_counts)
    share = spent_ns / record.worker_time_ns if record.worker_time_ns > 0 else None
    return Overhead(
        span_ns=record.span_ns,
        spans=record.spans,
        batch_ns=batch_ns,
        share_of_worker_time=reasons.known(_SHARE, share, "the workers' time on batches is not known"),
    )


_OF_SAMPLES = tuple(phase for phase in Phase if phase != Phase.CHECKPOINT)
_NO_OUTCOME_REASON = "the run completed, or ended too suddenly to say why"
_SHARE = "overhead.share_of_worker_time"


def _note_kernel(
    reasons: Reasons, cache: CacheEvidence, no_cache: str | None, no_coverage: str | None, seen: Coverage
) -> None:
    reasons.known("cache.client_hit_ratio", cache.client_hit_ratio, no_cache or "")
    reasons.known("cache.cold_achieved", cache.cold_achieved, no_cache or cold_unknown_reason(cache))
    reasons.known("cache.kernel_hit_ratio", cache.kernel_hit_ratio, no_cache or "the kernel's counters do not tell")
    for name in ("method", "asked_hit_ratio", "exact"):
        reasons.known(f"cache.{name}", getattr(cache, name), no_cache or "no read was asked about")
    for name in ("tapped_bytes", "kernel_bytes", "ratio"):
        reasons.known(f"coverage.{name}", getattr(seen, name), no_coverage or "")


def not_counted_reason(run: RunRecord) -> str:
    """Return why a run has no counters of its loader's library."""
    if run.outcome == "complete":
        return "the loader's library counts nothing by itself, or was not asked to"
    return "the run ended before the loader's library was asked, or that counts nothing by itself"


def _spans_defect(trace: Trace, totals: list[KindTotals], spans: SpanCounts) -> str | None:
    """Return what is wrong with the spans; a complete run that kept them all must match its counters.

    Spans that were left out are missed only where errors would be named by them.
    """
    run = trace.run
    if not trace.has_spans:
        failed = any(kind.errors for kind in totals)
        return "The spans were left out when the run was published: its errors cannot be named." if failed else None
    kept_all = run.outcome == "complete" and run.sample_every == 1 and run.dropped_spans == 0
    return disagreement(totals, spans) if kept_all else None


def _delivering(trace: Trace) -> int:
    """Return how many workers delivered a batch; of batches whose maker is not known, none."""
    return sum(worker >= 0 for worker in trace.batches["worker"].unique().to_pylist())


def _defects(trace: Trace, of_spans: str | None, phase: str) -> tuple[str, ...]:
    """Return what is wrong with the trace."""
    defects = [of_spans] if of_spans is not None else []
    if trace.probe_defect is not None:
        defects.append(f"{trace.probe_defect}: what was measured beside the run is not known.")
    if phase == "all" and trace.run.workload.reads_storage:
        defects.append("No operation was counted after the warm-up: their figures cover the warm-up.")
    return tuple(defects)
