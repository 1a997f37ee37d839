"""A summary for people: the answer first, then the evidence, caveats, and the verdict."""

from __future__ import annotations

from collections.abc import Mapping

from rich.text import Text

from ioprof.analysis.caveats import not_cold
from ioprof.analysis.summary import CheckpointStats, LatencyNs, OperationStats, Summary
from ioprof.analysis.wording import percent
from ioprof.report.accounting import accounting_words
from ioprof.report.answer import answer_lines, headline
from ioprof.report.checkpoints import checkpoint_lines
from ioprof.report.engines import engine_lines
from ioprof.report.host_missing import not_recorded_lines
from ioprof.report.idle import cause_lines
from ioprof.report.layout import columns, fact, paragraph
from ioprof.report.page_cache import cache_words, not_cold_lines, page_cache_lines
from ioprof.report.replay import replay_lines
from ioprof.report.roofline import roofline_lines
from ioprof.report.waits import waiting_lines
from ioprof.trace.run_record import RunRecord
from ioprof.units import format_bytes, format_count, format_duration, format_rate_bytes

WIDE = 104
"""From this many columns on, tables show more."""

FULLY_ACCOUNTED = 0.99
"""Share of the workers' time from which on the kernel's accounting is shown as that of all of it."""


def render(summary: Summary, run: RunRecord, width: int = 80) -> list[Text]:
    """Return the report as lines no longer than ``width`` columns (as far as single words allow)."""
    blocks = [
        not_cold_lines(summary, run, width),
        [*_header(summary, run, width), *headline(summary, width)],
        replay_lines(summary, width),
        *(_of_loader(summary, run, width) if summary.replay is None else ()),
        _checkpoints(summary.checkpoints, width),
        _start(summary, width),
        _costs(summary, run, width),
        _caveats(summary, run, width),
        answer_lines(summary, run, width),
    ]
    return [line for block in blocks if block for line in [*block, Text("")]][:-1]


def _of_loader(summary: Summary, run: RunRecord, width: int) -> tuple[list[Text], ...]:
    """Return the blocks that a replay has no use for: it has no samples, only operations."""
    return (
        _idle(summary, run, width),
        _delivered(summary, width),
        roofline_lines(summary, width),
        _operations(summary.operations, width),
    )


def _header(summary: Summary, run: RunRecord, width: int) -> list[Text]:
    if summary.replay is not None:
        throttled = ["throttled store"] if "throttle" in run.store else []
        parts = [summary.workload, summary.replay.pace, *throttled, cache_words(summary, run)]
        return paragraph(" · ".join(parts), width, first="", style="bold")
    workers = run.spec.get("loader", {}).get("workers")
    parts = [
        summary.workload,
        summary.loader,
        *([_counted(workers, "worker")] if isinstance(workers, int) else []),
        *(["throttled store"] if "throttle" in run.store else []),
        cache_words(summary, run),
        _counted(summary.steps, "step")
        + (f" ({summary.warmup_steps:,} of warm-up dropped)" if summary.warmup_steps else ""),
        _counted(summary.samples, "sample"),
    ]
    return paragraph(" · ".join(parts), width, first="", style="bold")


def _counted(count: int, noun: str, plural: str = "") -> str:
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"


def _idle(summary: Summary, run: RunRecord, width: int) -> list[Text]:
    use = summary.accelerator_utilization
    if use is None or summary.idle_by_cause is None or not summary.idle_s:
        return _no_idle(summary, width)
    interval = summary.accelerator_utilization_ci95
    told = f"{percent(1 - use):>7}   "
    told += (
        f"(95 % CI {100 * (1 - interval[1]):.1f} - {100 * (1 - interval[0]):.1f})"
        if interval
        else f"(no interval: {summary.reasons.get('accelerator_utilization_ci95', '')})"
    )
    lines = [Text("  accelerator idle  ", style="bold").append(told)]
    total_s = summary.idle_s + (summary.busy_s or 0.0)
    return lines + cause_lines(summary, summary.idle_by_cause, total_s, width)


def _no_idle(summary: Summary, width: int) -> list[Text]:
    if summary.accelerator_utilization is not None:
        return fact("accelerator idle", "  0.0 %   in all measured steps", width)
    return fact("utilisation", f"none: {summary.reasons.get('accelerator_utilization', '')}", width)


def _delivered(summary: Summary, width: int) -> list[Text]:
    lines = fact("delivered", _rate_words(summary), width)
    if summary.accelerator.busy_ns_per_batch is not None:
        lines += fact("accelerator", _accelerator_words(summary), width)
    if summary.mlperf_au is not None or summary.mlperf is not None:
        lines += fact("mlperf", _mlperf_words(summary), width)
    lines += waiting_lines(summary, width)
    if summary.iops is None:
        return lines + fact("store", summary.reasons.get("iops", ""), width)
    told = f"{format_count(summary.iops)} operations/s"
    moved = [
        f"{format_rate_bytes(rate)} {how}"
        for rate, how in (
            (summary.bandwidth_bytes_per_s, "read"),
            (summary.write_bandwidth_bytes_per_s, "written"),
        )
        if rate is not None
    ]
    if moved:
        # Where nothing is written, which is nearly always, "read" goes without saying.
        told = f"{moved[0].removesuffix(' read') if len(moved) == 1 else ' and '.join(moved)} in {told}"
    whole = ", warm-up included" if summary.operations_phase == "all" else ""
    return lines + fact("store gave", told + whole, width)


def _mlperf_words(summary: Summary) -> str:
    au, result = summary.mlperf_au, summary.mlperf
    told = f"unknown: {summary.reasons.get('mlperf_au', '')}"
    if au is not None:
        told = f"{percent(au)} utilisation by MLPerf Storage's own formula"
    if result is None:
        return told
    if au is not None and result.threshold is not None:
        told += f" ({'passes' if result.passed else 'fails'} its {percent(result.threshold)})"
    if au is not None and result.samples_per_s is not None and result.mib_per_s is not None:
        told += f", {format_count(result.samples_per_s)} samples/s, {result.mib_per_s:,.1f} MiB/s"
    if result.comparable:
        return f"{told}; keeps the rules of one run"
    return f"{told}; not comparable with published results: {'; '.join(result.reasons)}"


def _rate_words(summary: Summary) -> str:
    if summary.samples_per_s is None or summary.wall_s is None:
        return f"not available: {summary.reasons.get('samples_per_s', '')}"
    told = f"{format_count(summary.samples_per_s)} samples/s"
    if summary.samples_per_s_ci95 is not None:
        low, high = summary.samples_per_s_ci95
        told += f" (95 % CI {format_count(low)} - {format_count(high)})"
    if summary.demand_samples_per_s is not None:
        told += f" of {format_count(summary.demand_samples_per_s)} that full speed needs"
    return f"{told} ({_counted(summary.samples, 'sample')} in {format_duration(summary.wall_s * 1e9)})"


def _accelerator_words(summary: Summary) -> str:
    device = summary.accelerator
    estimate = " (estimate)" if device.is_estimate else ""
    busy = format_duration(device.busy_ns_per_batch or 0)
    return f"{device.count} x {device.name}, busy {busy} per batch{estimate}; {device.source}"


def _operations(operations: Mapping[str, OperationStats], width: int) -> list[Text]:
    if not operations:
        return []
    wide = width >= WIDE
    # Checkpoints come in bursts: their operations have no rate, and a column of nothing tells nothing.
    rated = any(stats.per_s is not None for stats in operations.values())
    head = ["operation", "count", *(["per s"] if rated else []), "p50", "p90", "p99", "p99.9", "max"]
    rows = [head + (["mean", "bytes/s", "failed"] if wide else [])]
    for label, stats in operations.items():
        rate = [_or_unknown(stats.per_s)] if rated else []
        row = [label, f"{stats.count:,}", *rate, *_latencies(stats.latency_ns)]
        rows.append(row + (_wide_cells(stats) if wide else []))
    lines = columns(rows, indent=4)
    return lines if max(len(line.plain) for line in lines) <= width else columns(rows, indent=2, gap=1)


def _checkpoints(stats: CheckpointStats | None, width: int) -> list[Text]:
    lines = checkpoint_lines(stats, width)
    return [*lines, *_operations(stats.operations, width)] if stats is not None and lines else lines


def _or_unknown(rate: float | None) -> str:
    return "n/a" if rate is None else format_count(round(rate) if rate >= 10 else rate)


def _latencies(latency: LatencyNs | None) -> list[str]:
    if latency is None:
        return ["n/a"] * 5
    return [format_duration(ns) for ns in (latency.p50, latency.p90, latency.p99, latency.p999, latency.max)]


def _wide_cells(stats: OperationStats) -> list[str]:
    return [
        format_duration(stats.latency_ns.mean) if stats.latency_ns else "n/a",
        format_rate_bytes(stats.bytes_per_s) if stats.bytes and stats.bytes_per_s else "-",
        f"{stats.errors:,}",
    ]


def _start(summary: Summary, width: int) -> list[Text]:
    lines: list[Text] = []
    if summary.first_batch_s is not None:
        lines += fact("first batch", f"{format_duration(summary.first_batch_s * 1e9)} after the start", width)
    found = summary.discovery
    if found.seconds is not None and found.operations:
        counts = ", ".join(f"{stats.count:,} {label}" for label, stats in found.operations.items())
        seconds = format_duration(found.seconds * 1e9)
        told = f"{seconds} of that; {found.found or 0:,} samples found with {counts} operations"
        lines += fact("discovery", told, width)
    if summary.epoch_start is not None:
        counts = ", ".join(f"{stats.count:,} {label}" for label, stats in summary.epoch_start.operations.items())
        spent = format_duration((summary.epoch_start.seconds or 0.0) * 1e9)
        lines += fact("epoch starts", f"{counts} by the workers before their first batches; {spent} in them", width)
    if summary.closing is not None:
        counts = ", ".join(f"{stats.count:,} {label}" for label, stats in summary.closing.operations.items())
        spent = format_duration((summary.closing.seconds or 0.0) * 1e9)
        lines += fact("closing", f"{counts} by the workers after the last step; {spent} in them", width)
    return lines


def _costs(summary: Summary, run: RunRecord, width: int) -> list[Text]:
    lines = [*_cpu(summary, width), *page_cache_lines(summary, run, width), *_seen(summary, width)]
    lines += _mapped(summary, width)
    lines += engine_lines(summary.engine_counters or {}, width)
    lines += not_recorded_lines(summary.host_missing, width)
    tracing = summary.overhead
    if tracing.share_of_worker_time is not None and tracing.span_ns is not None:
        told = f"at least {tracing.share_of_worker_time:.2%}".replace("%", " %") + " of the workers' time "
        told += f"({tracing.spans or 0:,} operations at {format_duration(tracing.span_ns)} each, estimated"
        measured = run.overhead is not None and run.overhead.hooks_ns is not None and tracing.batch_ns is not None
        told += f"; {format_duration(tracing.batch_ns or 0)} around each batch, measured)" if measured else ")"
        lines += fact("tracing", told, width)
    return lines


def _cpu(summary: Summary, width: int) -> list[Text]:
    cpu, told = summary.cpu, []
    if cpu.on_cpu_s is not None and cpu.run_queue_s is not None and cpu.blocked_s is not None:
        total = cpu.on_cpu_s + cpu.run_queue_s + cpu.blocked_s or 1.0
        parts = (
            f"on a CPU {percent(cpu.on_cpu_s / total)}",
            f"waiting for a CPU {percent(cpu.run_queue_s / total)}",
            f"blocked {percent(cpu.blocked_s / total)}",
        )
        sampled = cpu.accounted_ratio is not None and cpu.accounted_ratio < FULLY_ACCOUNTED
        share = f", judged by {percent(cpu.accounted_ratio or 0.0)} of it" if sampled else ""
        told.append(f"{', '.join(parts)} (of {format_duration(total * 1e9)}{share})")
    elif cpu.on_cpu_s is not None:
        told.append(f"on a CPU {format_duration(cpu.on_cpu_s * 1e9)}; {summary.reasons.get('cpu.run_queue_s', '')}")
    if cpu.utilization is not None:
        told.append(f"all CPUs of the host {percent(cpu.utilization)} busy")
    label = "host" if cpu.on_cpu_s is None else "workers' time"
    lines = fact(label, "; ".join(told), width) if told else []
    per_batch = accounting_words(cpu)
    return lines if per_batch is None else lines + fact("per batch", per_batch, width)


def _seen(summary: Summary, width: int) -> list[Text]:
    seen = summary.coverage
    if seen.ratio is None or seen.kernel_bytes is None:
        why = summary.reasons.get("coverage.ratio")
        return fact("coverage", f"unknown: {why}", width) if why and seen.tapped_bytes else []
    told = f"{percent(seen.ratio)} of the {format_bytes(seen.kernel_bytes)} the workers read passed the taps"
    return fact("coverage", told, width)


def _mapped(summary: Summary, width: int) -> list[Text]:
    mapped = summary.mapped
    if mapped is None or not mapped.touches:
        return []
    told = (
        f"{_counted(mapped.touches, 'copy', 'copies')} of {format_bytes(mapped.bytes / mapped.touches)} out of mapped "
        f"files; {percent(mapped.waiting_touches / mapped.touches)} waited for the device; page faults each: "
        f"{mapped.major_faults / mapped.touches:.2f} major, {mapped.minor_faults / mapped.touches:.2f} minor"
    )
    if mapped.fetched_ratio is not None:
        told += f"; {mapped.fetched_ratio:.2f} bytes fetched for each byte copied"
    return fact("mapped", told, width)


def _caveats(summary: Summary, run: RunRecord, width: int) -> list[Text]:
    first = not_cold(run, summary.cache)
    return [
        line
        for caveat in summary.caveats
        if caveat != first
        for line in paragraph(caveat, width, first="  ! ", rest="    ", style="yellow")
    ]
