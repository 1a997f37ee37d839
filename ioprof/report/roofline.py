"""The data roofline as a table of the report: every part's rate on its own, highest first, and the run below them."""

from __future__ import annotations

from rich.text import Text

from ioprof.analysis.roofline import REACHED_RATIO
from ioprof.analysis.roofs import Roofline, RoofName
from ioprof.analysis.summary import Summary
from ioprof.analysis.wording import whole_percent
from ioprof.report.layout import LABEL_COLUMNS, wrapped
from ioprof.units import format_count

ROOF_WORDS: dict[RoofName, str] = {
    "accelerator": "accelerator",
    "loader": "loader",
    "cpu": "CPUs",
    "store_at_workers": "store at workers",
    "store_cold": "store, cold",
    "store_warm": "store, warm",
}
_SHORTEST_BASIS = 24


def roofline_lines(summary: Summary, width: int) -> list[Text]:
    """Return the table, then what is unknown and why, then which roof is lowest; nothing where no roof is known."""
    line = summary.roofline
    if line is None or not _known(line):
        return []
    delivered = line.delivered_samples_per_s
    rows = [(rate, _label(name), line.roofs[name].basis) for name, rate in _known(line).items()]
    alone = summary.baselines.no_workers_samples_per_s
    if alone is not None:
        rows.append((alone, "no workers", "in the consumer itself; no roof"))
    rows.append((delivered, "delivered", ""))
    lowered = {_label(name) for name, roof in line.roofs.items() if roof.is_lower_bound}
    rows.sort(key=lambda row: -row[0])
    cells = [
        (label, f"{_rate(rate)}{'+' if label in lowered else ' '}", _times(rate / delivered), basis)
        for rate, label, basis in rows
    ]
    rates = max(len("samples/s "), *(len(cell[1]) for cell in cells))
    table = [_head(rates), *_table(cells, rates, width)]
    return [*table, *_unknown(summary, line, width), *_conclusion(line, width)]


def _known(line: Roofline) -> dict[RoofName, float]:
    return {name: roof.samples_per_s for name, roof in line.roofs.items() if roof.samples_per_s is not None}


def _label(name: RoofName) -> str:
    return ROOF_WORDS[name]


def _head(rates: int) -> Text:
    head = Text("  roofline".ljust(LABEL_COLUMNS + 4), style="bold")
    return head.append(f"{'samples/s '.rjust(rates)}   delivered", style="dim")


def _table(cells: list[tuple[str, str, str, str]], rates: int, width: int) -> list[Text]:
    lines = []
    for label, rate, times, basis in cells:
        head = f"    {label.ljust(LABEL_COLUMNS)}{rate.rjust(rates)}  {times.rjust(10)}  "
        room = max(width, len(head) + _SHORTEST_BASIS)
        told = wrapped(basis, room, first=head, rest=" " * len(head)) or [head]
        lines += [Text(one.rstrip(), style="bold" if label == "delivered" else "") for one in told]
    return lines


def _unknown(summary: Summary, line: Roofline, width: int) -> list[Text]:
    """Return the roofs that are not known, those of one reason together."""
    names: dict[str, list[str]] = {}
    for name, roof in line.roofs.items():
        if roof.samples_per_s is None:
            why = summary.reasons.get(f"roofline.roofs.{name}.samples_per_s", "")
            names.setdefault(why, []).append(_label(name))
    return [
        Text(one, style="dim")
        for why, labels in names.items()
        for one in wrapped(f"{'; '.join(labels)}: unknown ({why})", width, first="    ", rest="      ")
    ]


def _conclusion(line: Roofline, width: int) -> list[Text]:
    """Return which roof is lowest and how far the next one is, and which were passed."""
    told, delivered = [], line.delivered_samples_per_s
    rate = None if line.lowest is None else line.roofs[line.lowest].samples_per_s
    if line.lowest is not None and rate is not None:
        share = whole_percent(delivered / rate)
        name = _label(line.lowest)
        told.append(f"{name} binds" if line.binds else f"none is reached: the run got {share} of the lowest, {name}")
    if line.next is not None and line.next_ratio is not None:
        told.append(f"the next roof, {_label(line.next)}, is {line.next_ratio:.2f} x as high")
    passed = [_label(name) for name, rate in _known(line).items() if rate * REACHED_RATIO < delivered]
    if passed:
        told.append(f"{' and '.join(passed)} was measured too low: the run delivered more")
    return [Text(one) for one in wrapped("; ".join(told), width, first="    ", rest="    ")]


def _times(ratio: float) -> str:
    return f"{ratio:,.2f} x" if ratio < 10 else f"{ratio:,.0f} x"


def _rate(per_s: float) -> str:
    return format_count(round(per_s) if per_s >= 100 else round(per_s, 2))
