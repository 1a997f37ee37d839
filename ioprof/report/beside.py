"""What was measured beside a run: the store's ceiling and the loader's baselines, as lines of its report."""

from __future__ import annotations

from rich.text import Text

from ioprof.analysis.summary import Ceiling, Summary
from ioprof.report.layout import fact
from ioprof.units import format_count

_LIMITS = {
    "store": "",
    "client": "; a lower bound: this host's CPUs were the limit",
    "unknown": "; a lower bound",
}


def beside_lines(summary: Summary, width: int) -> list[Text]:
    """Return a line for the ceiling and one for the baselines; none where they were not measured."""
    lines = [] if summary.ceiling is None else fact("ceiling", _ceiling(summary.ceiling), width)
    alone = summary.baselines.no_workers_samples_per_s
    moved = summary.baselines.transport_samples_per_s
    told = [
        *([f"without workers {_rate(alone)} samples/s"] if alone is not None else []),
        *([f"fed from memory {_rate(moved)} samples/s"] if moved is not None else []),
    ]
    return lines + (fact("the loader", ", ".join(told), width) if told else [])


def _ceiling(ceiling: Ceiling) -> str:
    told = f"the store gives {_processes(ceiling.at_processes)} {_rate(ceiling.samples_per_s)} samples/s"
    if ceiling.ci95 is not None:
        told += f" (95 % CI {_rate(ceiling.ci95[0])} - {_rate(ceiling.ci95[1])})"
    if ceiling.at_workers_samples_per_s not in (None, ceiling.samples_per_s):
        told += f", and as many processes as there are workers {_rate(ceiling.at_workers_samples_per_s or 0.0)}"
    return told + _LIMITS.get(ceiling.limited_by, "")


def _processes(count: int) -> str:
    return f"{count} process{'' if count == 1 else 'es'}"


def _rate(per_s: float) -> str:
    return format_count(round(per_s) if per_s >= 100 else round(per_s, 2))
