"""A comparison for people and for machines: the answer, the ratios, and in what the runs differ."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from rich.text import Text

from ioprof.analysis.compare import Comparison, Ratio, Side
from ioprof.analysis.fairness import Difference
from ioprof.analysis.wording import percent
from ioprof.report.layout import columns, paragraph
from ioprof.units import format_count, format_duration, format_rate_bytes

COMPARE_FORMAT = 1
_NAMES = {
    "samples_per_s": "samples/s",
    "accelerator_utilization": "utilisation",
    "bandwidth_bytes_per_s": "read",
    "iops": "operations/s",
    "ceiling_samples_per_s": "store alone, samples/s",
    "first_batch_s": "first batch",
}
_BASES = {
    "steps": "by the steps of one run a side: what differs between whole runs is not in it",
    "runs": "by how the runs of a side differ",
    "pairs": "by pairs of runs that took turns",
}


def render_compare(
    sides: Sequence[Side], comparisons: Sequence[Comparison], found: Sequence[Difference], width: int
) -> list[Text]:
    """Return the report as lines of at most ``width`` columns, tables apart."""
    counts = ", ".join(f"{side.name} ({len(side.runs)} run{'' if len(side.runs) == 1 else 's'})" for side in sides)
    legend = [(side.name, one.name) for side in sides for one in side.runs if len(side.runs) == 1]
    blocks = [
        paragraph(f"comparison · {counts}", width, first="", style="bold"),
        [Text(f"  {name} = {run}", style="dim") for name, run in legend],
        [line for one in comparisons for line in paragraph(one.sentence, width, style="bold")],
        *(_table(one) for one in comparisons),
        _rests_on(comparisons, width),
        _differences(found, width),
    ]
    return [line for block in blocks if block for line in [*block, Text("")]][:-1]


def _table(one: Comparison) -> list[Text]:
    rows = [["", one.first, one.second, "ratio", "95 % interval"]]
    rows += [[name_of(ratio.key), *values_of(ratio), ratio_told(ratio), interval_told(ratio)] for ratio in one.ratios]
    return columns(rows, indent=2)


def name_of(key: str) -> str:
    """Return what a figure is called in a table."""
    if key in _NAMES:
        return _NAMES[key]
    _, kind, _, percentile = key.split(".")
    return f"{kind} {percentile.replace('p999', 'p99.9')}"


def values_of(one: Ratio) -> list[str]:
    """Return the figure of both sides with its unit."""
    return [_value(one.key, value) for value in (one.first, one.second)]


def _value(key: str, value: float | None) -> str:
    if value is None:
        return "unknown"
    if key.startswith("operations."):
        return format_duration(value)
    if key == "accelerator_utilization":
        return percent(value)
    if key == "first_batch_s":
        return format_duration(value * 1e9)
    if key == "bandwidth_bytes_per_s":
        return format_rate_bytes(value)
    return format_count(round(value) if value >= 100 else round(value, 2))


def ratio_told(one: Ratio) -> str:
    """Return second over first."""
    return "unknown" if one.ratio is None else f"{one.ratio:.3f} x"


def interval_told(one: Ratio) -> str:
    """Return the interval of a ratio; a dash where there is none."""
    return "-" if one.ci95 is None else f"{one.ci95[0]:.3f} - {one.ci95[1]:.3f}"


def _rests_on(comparisons: Sequence[Comparison], width: int) -> list[Text]:
    bases = [basis for basis in _BASES if any(ratio.basis == basis for one in comparisons for ratio in one.ratios)]
    lines = [line for basis in bases for line in paragraph(f"Intervals {_BASES[basis]}.", width, style="dim")]
    if "steps" in bases:
        told = "For an answer that holds tomorrow, take turns: A B A B A B, then compare with --by label."
        lines += paragraph(told, width, style="dim")
    return lines


def _differences(found: Sequence[Difference], width: int) -> list[Text]:
    lines = [
        line
        for one in found
        if one.is_unfair
        for line in paragraph(f"not alike: {one.told}", width, first="  ! ", rest="    ", style="yellow")
    ]
    rest = "; ".join(one.told for one in found if not one.is_unfair)
    return [*lines, *(paragraph(f"Differs: {rest}.", width) if rest else [])]


def compare_json(sides: Sequence[Side], comparisons: Sequence[Comparison], found: Sequence[Difference]) -> str:
    """Return the comparison as JSON text: rates in SI base units, ratios of second over first."""
    content = {
        "format": COMPARE_FORMAT,
        "sides": [{"name": side.name, "runs": [one.name for one in side.runs]} for side in sides],
        "comparisons": [asdict(one) for one in comparisons],
        "differences": [asdict(one) for one in found],
    }
    return json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
