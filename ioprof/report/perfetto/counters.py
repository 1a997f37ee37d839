"""The counters: exact where they count batches, means over equal stretches of time where they are rates."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ioprof.report.perfetto.events import EventWriter
from ioprof.report.perfetto.selection import Columns, Stamps, Window

_BINS = 2000
_LEAST_BIN_NS = 10_000_000
Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bins:
    """Equal stretches of time."""

    edges_ns: Stamps

    @property
    def seconds(self) -> Values:
        """How long each is."""
        return np.diff(self.edges_ns) / 1e9


def bins_of(start_ns: int, end_ns: int) -> Bins:
    """Return the stretches over which rates are means: at most 2,000, none shorter than 10 ms but the last."""
    width_ns = max(_LEAST_BIN_NS, -(-(end_ns - start_ns) // _BINS))
    edges = np.arange(start_ns, end_ns, width_ns, dtype=np.int64)
    return Bins(edges_ns=np.append(edges, max(end_ns, start_ns + 1)))


def _covered(start_ns: Stamps, end_ns: Stamps, weight: Values | None, edges_ns: Stamps) -> Values:
    """Return, for each stretch between edges, how much of the intervals lies in it, in ns, each times its weight."""
    weights = np.ones(len(start_ns)) if weight is None else weight
    at = np.concatenate([start_ns, end_ns])
    order = np.argsort(at, kind="stable")
    stamps, slopes = at[order], np.cumsum(np.concatenate([weights, -weights])[order])
    if not len(stamps):
        return np.zeros(len(edges_ns) - 1)
    area = np.concatenate([[0.0], np.cumsum(slopes[:-1] * np.diff(stamps))])
    return np.diff(np.interp(edges_ns, stamps, area))


def write_idle(writer: EventWriter, process: int, steps: Columns, since_ns: Stamps, bins: Bins) -> None:
    """Draw the share of time in which the accelerator was idle; nothing where it did neither."""
    idle = _covered(since_ns, steps["busy_start_ns"], None, bins.edges_ns)
    busy = _covered(steps["busy_start_ns"], steps["busy_end_ns"], None, bins.edges_ns)
    known = idle + busy > 0
    share = np.divide(100 * idle, idle + busy, out=np.zeros(len(idle)), where=known)
    _write(writer, process, "accelerator idle", "%", bins.edges_ns[:-1][known], np.clip(share, 0, 100)[known])


def write_rates(
    writer: EventWriter,
    process: int,
    steps: Columns,
    batches: Columns,
    started_ns: Stamps | None,
    every: int,
    bins: Bins,
) -> None:
    """Draw samples, bytes and operations per second.

    Args:
        writer: of the trace.
        process: of the rank.
        steps: those to draw; samples count when they are received.
        batches: those to draw; their bytes count evenly over the time in which each was fetched.
        started_ns: when the kept operations of the store began; None: none were kept.
        every: one batch in so many was kept with its operations.
        bins: over which rates are means.
    """
    edges, seconds = bins.edges_ns, bins.seconds
    received = np.histogram(steps["wait_end_ns"], edges, weights=steps["samples"])[0]
    _write(writer, process, "samples", "1/s", edges[:-1], received / seconds)
    known = (batches["fetch_start_ns"] >= 0) & (batches["end_ns"] > batches["fetch_start_ns"]) & (batches["bytes"] >= 0)
    if known.any():
        start, end = batches["fetch_start_ns"][known], batches["end_ns"][known]
        rate = batches["bytes"][known] / (end - start)
        _write(writer, process, "fetched", "B/s", edges[:-1], _covered(start, end, rate, edges) / seconds)
    if started_ns is not None:
        name = "store operations" if every == 1 else f"store operations, from 1 batch in {every}"
        counted = np.histogram(started_ns, edges)[0] * every
        _write(writer, process, name, "1/s", edges[:-1], counted / seconds)


def write_queues(writer: EventWriter, process: int, batches: Columns, window: Window) -> None:
    """Draw how many batches are ready and wait to be received, are being made, and wait for a worker to begin."""
    received, made, begun = batches["received_ns"], batches["end_ns"], batches["fetch_start_ns"]
    asked = batches["dispatch_ns"]
    for name, start, end in (("ready", made, received), ("being made", begun, made), ("queued", asked, begun)):
        known = (start >= 0) & (end > start)
        if known.any():
            stamps, depth = _depth(start[known], end[known])
            inside = (stamps >= window.start_ns) & (stamps < window.end_ns)
            _write(writer, process, "batches", name, stamps[inside], depth[inside])


def _depth(start_ns: Stamps, end_ns: Stamps) -> tuple[Stamps, Values]:
    """Return the moments at which the number of open intervals changes, and what it is from each on."""
    at = np.concatenate([start_ns, end_ns])
    order = np.argsort(at, kind="stable")
    count = np.cumsum(np.concatenate([np.ones(len(start_ns)), -np.ones(len(end_ns))])[order])
    stamps = at[order]
    last = np.append(stamps[1:] != stamps[:-1], True)
    return stamps[last], count[last]


_HOST = {
    "cpu_busy_s_total": ("CPU", "busy cores", 1.0),
    "disk_read_bytes_total": ("disk read", "B/s", 1.0),
    "disk_reads_total": ("disk read", "requests/s", 1.0),
    "disk_in_flight": ("disk", "requests in flight", 1.0),
    "net_rx_bytes_total": ("network received", "B/s", 1.0),
    "psi_io_some_s_total": ("stalled on I/O", "% of time", 100.0),
    "psi_cpu_some_s_total": ("waiting for a CPU", "% of time", 100.0),
    "page_cache_bytes": ("page cache", "B", 1.0),
}
"""Series of the host that are drawn: their name, their unit, and the factor to it; totals become rates."""


def write_host(writer: EventWriter, process: int, host: pa.Table, window: Window) -> None:
    """Draw what the host did, as rates between its readings."""
    for metric, (name, unit, factor) in _HOST.items():
        of_metric = host.filter(pc.equal(pc.cast(host["metric"], pa.string()), metric))
        devices = pc.cast(of_metric["device"], pa.string())
        for device in sorted(pc.unique(devices).to_pylist()):
            series = of_metric.filter(pc.equal(devices, device)).sort_by("time_ns")
            stamps, values = series["time_ns"].to_numpy(), series["value"].to_numpy()
            if metric.endswith("_total"):
                if len(stamps) < 2:
                    continue
                # From a reading to the next one: drawn from the first of them on.
                values = np.diff(values) / (np.maximum(np.diff(stamps), 1) / 1e9)
                stamps = stamps[:-1]
            inside = (stamps >= window.start_ns) & (stamps < window.end_ns)
            if not values[inside].any():
                continue  # a disk or an interface that did nothing
            _write(writer, process, f"{name} {device}".strip(), unit, stamps[inside], factor * values[inside])


def _write(writer: EventWriter, process: int, name: str, series: str, stamps: Stamps, values: Values) -> None:
    """Draw a counter, a point wherever it changes."""
    if not len(stamps):
        return
    changes = np.append(True, values[1:] != values[:-1])
    told, unit = json.dumps(name)[1:-1], json.dumps(series)[1:-1]
    for at_ns, value in zip(stamps[changes].tolist(), values[changes].tolist(), strict=True):
        writer.counter(process, told, unit, at_ns, value)
