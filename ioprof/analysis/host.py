"""Figures from the host's time series."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

CPU_BUSY_METRIC = "cpu_busy_s_total"
CORE_BUSY_METRIC = "core_busy_s_total"


def cpu_utilization(host: pa.Table | None, start_ns: int, end_ns: int) -> float | str:
    """Return the share of the host's CPU time in use between two stamps, or why it is unknown.

    Busy CPU seconds are interpolated between samples at both ends of the window; a window that reaches beyond
    the samples is cut to them. All programs on the host count, ioprof's sampler included.
    """
    if host is None or host.num_rows == 0:
        return "the host was not sampled"
    metric = host["metric"].cast(pa.string())
    cores = len(pc.unique(host["device"].filter(pc.equal(metric, CORE_BUSY_METRIC))))
    busy = host.filter(pc.equal(metric, CPU_BUSY_METRIC)).sort_by("time_ns")
    if busy.num_rows == 0 or cores == 0:
        return "the samples of the host hold no CPU time"
    times, seconds = busy["time_ns"].to_numpy(), busy["value"].to_numpy()
    low, high = max(start_ns, int(times[0])), min(end_ns, int(times[-1]))
    if high <= low:
        return "no two samples of the host fall into the measured window"
    used_s = np.interp(high, times, seconds) - np.interp(low, times, seconds)
    return float(min(1.0, max(0.0, used_s / ((high - low) / 1e9 * cores))))
