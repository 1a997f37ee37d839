"""The top of the page: the sentence, the utilisation, the rates; further down what would help."""

from __future__ import annotations

from ioprof.analysis.summary import Finding, Summary
from ioprof.analysis.wording import percent
from ioprof.report.answer import cure_rates, cure_use, next_command
from ioprof.report.html.section import Block, Command, Headline, Section, Table, Text
from ioprof.report.html.words import bandwidth, count, rate_text, seconds, share
from ioprof.trace.trace import Trace


def verdict(trace: Trace, summary: Summary) -> Section:
    """Return the answer with its evidence: one large figure, one sentence, and the run's main numbers."""
    blocks: list[Block] = [_headline(summary), Text(text=summary.verdict.sentence, tone="strong")]
    if summary.outcome != "complete":
        blocks.append(Text(text=f"The run is {summary.outcome}: {summary.outcome_reason or ''}", tone="warning"))
    blocks += _reliance(summary)
    blocks.append(_figures(summary))
    blocks += [Text(text=one, tone="warning") for one in summary.caveats]
    return Section(id="verdict", title="Verdict", blocks=tuple(blocks))


def _headline(summary: Summary) -> Headline:
    use, interval = summary.accelerator_utilization, summary.accelerator_utilization_ci95
    if use is None:
        return Headline(
            number=count("samples_per_s", summary.samples_per_s),
            label="samples/s",
            detail=f"no utilisation: {summary.reasons.get('accelerator_utilization', '')}",
        )
    told = f"{summary.accelerator.count} x {summary.accelerator.name}, idle {percent(1 - use)} of the time"
    if interval is not None:
        told += f"; 95 % interval {100 * interval[0]:.1f} - {100 * interval[1]:.1f} %"
    return Headline(number=share("accelerator_utilization", use), label="accelerator utilisation", detail=told)


def _reliance(summary: Summary) -> list[Block]:
    found = summary.verdict
    if found.bound is None or found.confidence is None:
        return []
    told = (
        f"Binds: {found.bound}. Confidence {found.confidence:.2f}: {len(found.agreeing)} measurements beside it speak "
    )
    told += f"for it, {len(found.contradictions)} against it."
    return [Text(text=told, tone="faint"), *(Text(text=one, tone="warning") for one in found.contradictions)]


def _figures(summary: Summary) -> Table:
    interval = summary.samples_per_s_ci95
    between = "" if interval is None else f"95 % interval {rate_text(interval[0])} - {rate_text(interval[1])}"
    rows = [
        ("delivered, samples/s", count("samples_per_s", summary.samples_per_s), between),
        ("full speed needs, samples/s", count("demand_samples_per_s", summary.demand_samples_per_s), ""),
        ("store without a loader, samples/s", count("ceiling_samples_per_s", summary.ceiling_samples_per_s), ""),
        ("read from the store", bandwidth("bandwidth_bytes_per_s", summary.bandwidth_bytes_per_s), ""),
        ("operations/s", count("iops", summary.iops), ""),
        ("first batch after", seconds("first_batch_s", summary.first_batch_s), ""),
        ("measured", seconds("wall_s", summary.wall_s), f"{summary.steps:,} steps, {summary.samples:,} samples"),
        ("served by this host's page cache", share("cache.client_hit_ratio", summary.cache.client_hit_ratio), ""),
        ("MLPerf Storage's own utilisation", share("mlperf_au", summary.mlperf_au), ""),
    ]
    told = [(name, cell, note or _why(summary, cell, key)) for (name, cell, note), key in zip(rows, _KEYS, strict=True)]
    return Table(header=("", "value", ""), rows=tuple(told), caption="The run in numbers", worded=frozenset({2}))


_KEYS = (
    "samples_per_s", "demand_samples_per_s", "ceiling_samples_per_s", "bandwidth_bytes_per_s", "iops", "first_batch_s",
    "wall_s", "cache.client_hit_ratio", "mlperf_au",
)  # fmt: skip


def _why(summary: Summary, cell: object, key: str) -> str:
    return summary.reasons.get(key, "") if isinstance(cell, str) else ""


def findings(trace: Trace, summary: Summary) -> Section:
    """Return what would help, each with its prediction and the command to copy."""
    found = summary.findings
    if not found:
        why = summary.reasons.get("findings", "")
        told = f"What would help is not predicted: {why}."
        if found is not None:
            told = "No change that can be predicted would help by more than its interval leaves open."
        return Section(id="findings", title="What would help", blocks=(Text(text=told), *_next(trace, summary)))
    rows = tuple((one.action, cure_use(one), cure_rates(one), one.cost, _rests_on(one)) for one in found)
    table = Table(
        header=("change", "utilisation", "samples/s", "cost", "rests on"),
        rows=rows,
        caption="Predicted with 95 % intervals",
        worded=frozenset({3, 4}),
    )
    commands = [Command(line=one.command, told=one.action) for one in found if one.command is not None]
    return Section(id="findings", title="What would help", blocks=(table, *_next(trace, summary), *commands))


def _next(trace: Trace, summary: Summary) -> list[Block]:
    command = next_command(summary, trace.run)
    return [] if command is None else [Command(line=command, told="first, a run that measures the store")]


def _rests_on(one: Finding) -> str:
    outside = [f"beyond what was measured: {told}" for told in one.outside]
    return "; ".join([*one.assumptions, *outside])
