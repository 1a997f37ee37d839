"""The end of a report: what binds the run, how far that can be relied on, what would help, and what to type next."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from ioprof.analysis.answer import UNDECIDED
from ioprof.analysis.cures import COSTS
from ioprof.analysis.retry import changed_command
from ioprof.analysis.summary import Finding, Summary, Verdict
from ioprof.analysis.verdict import NOT_JUDGED
from ioprof.analysis.wording import percent, whole_percent
from ioprof.report.layout import paragraph, wrapped
from ioprof.trace.run_record import RunRecord
from ioprof.units import format_count

SHOWN = 4
"""Cures in the table; all are in summary.json."""
_GAP = 2
_SMALL_SHARE = 0.1
"""Below, whole percents are too coarse."""


def answer_lines(summary: Summary, run: RunRecord, width: int) -> list[Text]:
    """Return the verdict, what speaks against it, the cures and the command to try."""
    blocks = [
        [*paragraph(summary.verdict.sentence, width, style="bold"), *_reliance(summary.verdict, width)],
        _cures(summary, width),
        _next(summary, run, width),
    ]
    return [line for block in blocks if block for line in [*block, Text("")]][:-1]


def headline(summary: Summary, width: int) -> list[Text]:
    """Return the answer in short, for the head of a report whose end may be a page further down."""
    first = _first_to_try(summary.findings or ()) or next(iter(summary.findings or ()), None)
    if first is None:
        return []
    sure = summary.verdict.confidence
    bound = "" if summary.verdict.bound is None else f"binds: {summary.verdict.bound}"
    bound += "" if sure is None or not bound else f" (confidence {sure:.2f})"
    has_use = first.predicted_accelerator_utilization is not None
    gain = f"utilisation {cure_use(first)}" if has_use else f"{cure_rates(first)} samples/s"
    told = [bound, f"would help: {_action(first)}: {gain}; {first.cost.removesuffix(': a flag')}"]
    return paragraph(" · ".join(part for part in told if part), width)


def _reliance(verdict: Verdict, width: int) -> list[Text]:
    if verdict.bound is None or verdict.confidence is None:
        return []
    for_it, against = len(verdict.agreeing), len(verdict.contradictions)
    told = f"Confidence {verdict.confidence:.2f}: {_counted(for_it, 'other measurement')} "
    told += "speaks for it" if for_it == 1 else "speak for it"
    if not against:
        return paragraph(f"{told}, none against it.", width, style="dim")
    lines = paragraph(f"{told}, {against} against it:", width, style="yellow")
    return lines + [
        Text(line, style="yellow")
        for one in verdict.contradictions
        for line in wrapped(one, width, first="    - ", rest="      ")
    ]


def _cures(summary: Summary, width: int) -> list[Text]:
    """Return the table of what would help; why there is none where a cure is wanted."""
    found = summary.findings
    if summary.replay is not None:
        return []
    if found is None:
        why = summary.reasons.get("findings", "")
        is_judged = why and why not in NOT_JUDGED and summary.samples_per_s is not None
        return paragraph(f"What would help is not predicted: {why}.", width, style="dim") if is_judged else []
    if not found:
        is_fed = summary.verdict.bound == "accelerator" or not summary.samples_per_s
        told = "No change that can be predicted would help by more than its interval leaves open"
        told += f": {summary.reasons[UNDECIDED]}." if UNDECIDED in summary.reasons else "."
        return [] if is_fed else paragraph(told, width, style="dim")
    return _table(found, width)


def _table(found: Sequence[Finding], width: int) -> list[Text]:
    has_use = found[0].predicted_accelerator_utilization is not None
    rows = [("utilisation" if has_use else "samples/s", "cost", "what would help (95 % intervals)")]
    rows += [(cure_use(one) if has_use else cure_rates(one), one.cost, _action(one)) for one in found[:SHOWN]]
    first, second = (max(len(row[column]) for row in rows) for column in (0, 1))
    lines = []
    for number, (predicted, cost, action) in enumerate(rows):
        head = f"    {predicted.ljust(first + _GAP)}{cost.ljust(second + _GAP)}"
        told = wrapped(action, max(width, len(head) + 20), first=head, rest=" " * len(head))
        lines += [Text(one, style="" if number else "dim") for one in told]
    if len(found) > SHOWN:
        lines.append(Text(f"    and {_counted(len(found) - SHOWN, 'more')} in summary.json", style="dim"))
    return lines


def _next(summary: Summary, run: RunRecord, width: int) -> list[Text]:
    command = next_command(summary, run)
    if command is not None:
        return paragraph(f"Try: {command}", width, rest="       ")
    first = _first_to_try(summary.findings or ())
    if first is None:
        return []
    predicted = [] if first.predicted_accelerator_utilization is None else [f"utilisation {cure_use(first)}"]
    told = ", ".join([*predicted, f"{cure_rates(first)} samples/s"])
    lines = paragraph(f"Try: {first.command}", width, rest="       ", style="bold")
    return [*lines, *paragraph(f"predicted {told}", width, first="       ", rest="       ")]


def _first_to_try(found: Sequence[Finding]) -> Finding | None:
    """Return the best cure that is nothing but a flag and brings much; else the best that has a command."""
    commands = [one for one in found if one.command is not None]
    free = [one for one in commands if one.cost == COSTS[0] and one.severity != "low"]
    return next(iter([*free, *commands]), None)


def _action(one: Finding) -> str:
    return f"{one.action} (beyond what was measured)" if one.outside else one.action


def cure_use(one: Finding) -> str:
    """Return the utilisation that a cure is predicted to bring, with its interval."""
    use, interval = one.predicted_accelerator_utilization, one.predicted_accelerator_utilization_ci95
    if use is None:
        return "unknown"
    decimals = 1 if use < _SMALL_SHARE else 0
    told = percent(use) if decimals else whole_percent(use)
    bounds = "" if interval is None else " - ".join(f"{100 * bound:.{decimals}f}" for bound in interval)
    return f"{told} ({bounds})" if bounds else told


def cure_rates(one: Finding) -> str:
    """Return the samples/s that a cure is predicted to bring, with their interval."""
    rate, interval = one.predicted_samples_per_s, one.predicted_samples_per_s_ci95
    if rate is None:
        return "unknown"
    return _rate(rate) + ("" if interval is None else f" ({_rate(interval[0])} - {_rate(interval[1])})")


def _rate(per_s: float) -> str:
    return format_count(round(per_s) if per_s >= 100 else round(per_s, 2))


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 or noun == 'more' else 's'}"


def next_command(summary: Summary, run: RunRecord) -> str | None:
    """Return the command worth typing before any cure is, or None if the evidence justifies none.

    The one case so far: the page cache, left as it was, served so much that the store was not measured.
    """
    ratio = summary.cache.client_hit_ratio
    if run.cache.requested != "asis" or ratio is None or ratio <= 0.5:
        return None
    command = changed_command(run, {("run", "cache"): "cold"})
    return None if command is None else f"{command} (to measure the store, not this host's memory)"
