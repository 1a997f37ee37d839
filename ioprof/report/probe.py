"""A probe for people: its levels with a small curve, the ceiling, and the curve's law."""

from __future__ import annotations

from rich.text import Text

from ioprof.analysis.store_limit import shorter_told
from ioprof.analysis.wording import percent
from ioprof.report.layout import columns, fact, paragraph
from ioprof.trace.probe_record import CeilingRecord, LevelRecord, ProbeRecord, ScalabilityRecord
from ioprof.units import format_count, format_duration, format_rate_bytes

_BAR_COLUMNS = 16
_EIGHTHS = " ▏▎▍▌▋▊▉█"
_WIDE = 104
_UNKNOWN = "?"
_LIMITS = {
    "store": "the store's limit",
    "client": "a lower bound: this host's CPUs were the limit",
    "unknown": "a lower bound",
}


def render_probe(record: ProbeRecord, width: int = 80) -> list[Text]:
    """Return the report as lines no longer than ``width`` columns (as far as single words allow)."""
    blocks = [
        paragraph(_head(record), width, first="", style="bold"),
        _levels(record.levels, width),
        [*_ceiling(record, width), *_law(record.scalability, width)],
        [line for caveat in record.caveats for line in _caveat(caveat, width)],
        _ending(record, width),
    ]
    return [line for block in blocks if block for line in [*block, Text("")]][:-1]


def _caveat(told: str, width: int) -> list[Text]:
    return paragraph(f"{told[:1].upper()}{told[1:]}.", width, first="  ! ", rest="    ", style="yellow")


def _head(record: ProbeRecord) -> str:
    reads = "" if record.reads is None else f" · {record.reads} reads"
    return f"probe of {record.workload} · {record.store} · {record.cache} · {record.cores:g} CPUs{reads}"


def _levels(levels: list[LevelRecord], width: int) -> list[Text]:
    if not levels:
        return []
    most = max(level.samples_per_s for level in levels)
    wide = width >= _WIDE
    head = ["processes", "samples/s", "±", "bytes/s", "mean", "p50", "p99", "on CPU"]
    rows = [[*head, *(["for a CPU", "blocked", "cached", "ops/s"] if wide else []), ""]]
    for level in sorted(levels, key=lambda one: one.processes):
        share = level.samples_per_s / most if most else 0.0
        rows.append([*_cells(level), *(_wide_cells(level) if wide else []), bar(share)])
    told = "mean, p50, p99: of reading a whole sample; on CPU: of all CPUs that the processes may use"
    told += "".join({"; ?: too few windows for an interval" for level in levels if _plus_minus(level) == _UNKNOWN})
    return [*columns(rows, indent=2, gap=2 if wide else 1), *paragraph(told, width, style="dim")]


def _cells(level: LevelRecord) -> list[str]:
    latency = level.latency
    times_ns = () if latency is None else (latency.mean_ns, latency.p50_ns, latency.p99_ns)
    return [
        str(level.processes),
        _rate(level.samples_per_s),
        _plus_minus(level),
        format_rate_bytes(level.bytes_per_s),
        *(map(format_duration, times_ns) if times_ns else ["-"] * 3),
        percent(level.on_cpu_ratio),
    ]


def _wide_cells(level: LevelRecord) -> list[str]:
    ratios = (level.run_queue_ratio, level.blocked_ratio, level.client_hit_ratio)
    return [*("-" if ratio is None else percent(ratio) for ratio in ratios), _rate(level.operations_per_s)]


def _rate(per_s: float) -> str:
    return format_count(round(per_s) if per_s >= 100 else round(per_s, 2))


def bar(share: float) -> str:
    """Return a horizontal bar of ``share`` (0.0 to 1.0) of its full width."""
    eighths = round(share * _BAR_COLUMNS * 8)
    whole, rest = divmod(eighths, 8)
    return (_EIGHTHS[8] * whole + (_EIGHTHS[rest] if rest else "")).ljust(_BAR_COLUMNS)


def _plus_minus(level: LevelRecord) -> str:
    if level.samples_per_s_ci95 is None or not level.samples_per_s:
        return _UNKNOWN
    return percent((level.samples_per_s_ci95[1] - level.samples_per_s) / level.samples_per_s)


def ceiling_words(ceiling: CeilingRecord) -> str:
    """Return the ceiling with its interval and what it is."""
    interval = ceiling.samples_per_s_ci95
    told = f"{_rate(ceiling.samples_per_s)} samples/s"
    if interval is not None:
        told += f" (95 % CI {_rate(interval[0])} - {_rate(interval[1])})"
    processes = f"{ceiling.at_processes} process{'' if ceiling.at_processes == 1 else 'es'}"
    if ceiling.processes_needed < ceiling.at_processes:
        processes += f" ({ceiling.processes_needed} come within 5 %)"
    return f"{told} with {processes}: {_LIMITS[ceiling.limited_by]}"


def _ceiling(record: ProbeRecord, width: int) -> list[Text]:
    ceiling, shorter = record.ceiling, shorter_told(record)
    if ceiling is None:
        return fact("ceiling", "not known: no level read anything", width)
    moved = f"{format_rate_bytes(ceiling.bytes_per_s)} in {_rate(ceiling.operations_per_s)} operations/s"
    return [
        *fact("ceiling", ceiling_words(ceiling), width),
        *fact("that is", moved, width),
        *fact("because", ceiling.evidence, width),
        *(fact("held by", shorter, width) if shorter is not None else []),
    ]


def _law(law: ScalabilityRecord | None, width: int) -> list[Text]:
    if law is None:
        return []
    told = (
        f"one process {_rate(law.samples_per_s_of_one)} samples/s; contention {law.contention:.3f} "
        f"({law.contention_ci95[0]:.3f} - {law.contention_ci95[1]:.3f}), coherency {law.coherency:.5f} "
        f"({law.coherency_ci95[0]:.5f} - {law.coherency_ci95[1]:.5f}); off the {law.levels} levels by "
        f"{percent(law.error_ratio)}"
    )
    return fact("scaling law", told, width)


def _ending(record: ProbeRecord, width: int) -> list[Text]:
    if record.outcome == "complete":
        return []
    if record.outcome == "running":
        return paragraph("It goes on, or was killed: what stands here is what was measured up to now.", width)
    return paragraph(f"{record.outcome}: {record.reason}", width, style="yellow")
