"""How the key figures of a run read in a table of several runs."""

from __future__ import annotations

from ioprof.analysis.wording import percent
from ioprof.compound.figures import KeyFigures
from ioprof.units import format_count, format_duration, format_rate_bytes

FIGURE_HEADS = ("samples/s", "AU", "ops/s", "bandwidth", "p99")
NONE = "-"


def figure_cells(figures: KeyFigures | None) -> list[str]:
    """Return a cell for each of `FIGURE_HEADS`; a dash where a figure is not known."""
    if figures is None:
        return [NONE] * len(FIGURE_HEADS)
    au, rate, iops = figures.accelerator_utilization, figures.samples_per_s, figures.iops
    bandwidth, p99_ns = figures.bandwidth_bytes_per_s, figures.p99_ns
    return [
        NONE if rate is None else format_count(rate),
        NONE if au is None else percent(au),
        NONE if iops is None else format_count(iops),
        NONE if bandwidth is None else format_rate_bytes(bandwidth),
        NONE if p99_ns is None else f"{figures.dearest_operation} {format_duration(p99_ns)}",
    ]
