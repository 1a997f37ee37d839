"""A run over time, in as many bins as a picture can show: what is binned is summed, and extremes are kept by name."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ioprof.analysis.host import CORE_BUSY_METRIC
from ioprof.analysis.measured import RankSteps
from ioprof.trace.kinds import READ_KINDS, STORAGE_KINDS

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepBins:
    """The measured steps of one rank, neighbours together; one entry for each bin."""

    rank: int
    start_s: Floats
    """When the first step of the bin asked for its batch, after the window had opened."""
    end_s: Floats
    """When its last step ended."""
    busy_s: Floats
    idle_s: Floats
    longest_wait_s: Floats
    """The longest idle stretch before a step of the bin."""
    longest_step: Ints
    """Which step that was."""
    steps: Ints
    """Steps in the bin."""


def step_bins(ranks: list[RankSteps], most_bins: int) -> list[StepBins]:
    """Return the measured steps of every rank in at most so many bins; ranks without a measured step are left out.

    Raises:
        ValueError: fewer than one bin.
    """
    if most_bins < 1:
        raise ValueError(f"{most_bins} bins hold nothing")
    return [_bins_of(rank, most_bins) for rank in ranks if rank.measured]


def _bins_of(rank: RankSteps, most_bins: int) -> StepBins:
    first, count = rank.first, rank.measured
    bins = min(count, most_bins)
    starts = (np.arange(bins, dtype=np.int64) * count) // bins
    ends = np.append(starts[1:], count)
    busy, idle = rank.busy_ns[first:] / 1e9, rank.idle_ns[first:] / 1e9
    longest = np.array([low + int(np.argmax(idle[low:high])) for low, high in zip(starts, ends, strict=True)])
    opened = window_opened_ns(rank)
    return StepBins(
        rank=rank.rank,
        start_s=(rank.wait_start_ns[first:][starts] - opened) / 1e9,
        end_s=(rank.busy_end_ns[first:][ends - 1] - opened) / 1e9,
        busy_s=np.add.reduceat(busy, starts),
        idle_s=np.add.reduceat(idle, starts),
        longest_wait_s=idle[longest],
        longest_step=rank.step[first:][longest],
        steps=ends - starts,
    )


def window_opened_ns(rank: RankSteps) -> int:
    """Return when a rank's measured window opened: its first measured step asked for its batch."""
    return int(rank.wait_start_ns[rank.first])


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """What came per second, in bins of equal length."""

    centre_s: Floats
    """Middle of each bin, after the window had opened."""
    samples_per_s: Floats
    operations_per_s: Floats | None
    """None: no spans were kept."""
    read_bytes_per_s: Floats | None


def rates_over_time(
    ranks: list[RankSteps], spans: Iterable[pa.RecordBatch] | None, *, bins: int, spans_every: int
) -> Rates | None:
    """Return samples, operations and bytes per second over the measured window; None: no step was measured.

    Args:
        ranks: the steps of every rank.
        spans: operations; None: they were not kept.
        bins: how many, at least 1.
        spans_every: one batch in so many kept its spans; each counts so often.
    """
    measured = [rank for rank in ranks if rank.measured]
    if not measured:
        return None
    opened = min(window_opened_ns(rank) for rank in measured)
    closed = max(int(rank.busy_end_ns[-1]) for rank in measured)
    edges = np.linspace(opened, max(closed, opened + 1), bins + 1)
    width_s = (edges[1] - edges[0]) / 1e9
    samples = np.zeros(bins)
    for rank in measured:
        samples += _binned(rank.wait_end_ns[rank.first :], rank.samples[rank.first :], edges)
    operations, read_bytes = (None, None) if spans is None else _spans_binned(spans, edges)
    return Rates(
        centre_s=(edges[:-1] + edges[1:] - 2 * opened) / 2e9,
        samples_per_s=samples / width_s,
        operations_per_s=None if operations is None else operations * (spans_every / width_s),
        read_bytes_per_s=None if read_bytes is None else read_bytes * (spans_every / width_s),
    )


def _binned(at_ns: Ints, weights: Ints, edges: Floats) -> Floats:
    return np.histogram(at_ns, bins=edges, weights=weights.astype(np.float64))[0]


_IS_STORAGE, _IS_READ = np.zeros(256, bool), np.zeros(256, bool)
_IS_STORAGE[[int(kind) for kind in STORAGE_KINDS]] = True
_IS_READ[[int(kind) for kind in READ_KINDS]] = True


def _spans_binned(spans: Iterable[pa.RecordBatch], edges: Floats) -> tuple[Floats, Floats]:
    operations, read_bytes = np.zeros(len(edges) - 1), np.zeros(len(edges) - 1)
    low, scale = edges[0], (len(edges) - 1) / (edges[-1] - edges[0])
    for batch in spans:
        names = ("start_ns", "duration_ns", "kind", "bytes")
        start, took, kind, size = (batch.column(name).to_numpy(zero_copy_only=False) for name in names)
        place = ((start + took - low) * scale).astype(np.int64)
        inside = (place >= 0) & (place < len(operations)) & _IS_STORAGE[kind]
        operations += np.bincount(place[inside], minlength=len(operations))
        reading = inside & _IS_READ[kind]
        read_bytes += np.bincount(place[reading], weights=size[reading].astype(float), minlength=len(operations))
    return operations, read_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSeries:
    """One series of the host over the measured window."""

    at_s: Floats
    """When each value was read, after the window had opened; of a rate, the end of the interval."""
    value: Floats


def host_rate(host: pa.Table, metric: str, opened_ns: int, closed_ns: int) -> HostSeries | None:
    """Return how fast a counter grew between its samples, all devices together; None: fewer than two in the window.

    Args:
        host: the host table.
        metric: a counter, whose name ends in ``_total``.
        opened_ns: when the window opened.
        closed_ns: when it closed.
    """
    rows = host.filter(pc.equal(host["metric"].cast(pa.string()), metric))
    times = rows["time_ns"].to_numpy()
    inside = (times >= opened_ns) & (times <= closed_ns)
    if rows.num_rows == 0 or not inside.any():
        return None
    at, place = np.unique(times[inside], return_inverse=True)
    total = np.bincount(place, weights=rows["value"].to_numpy()[inside])
    if len(at) < 2:
        return None
    return HostSeries(
        at_s=(at[1:] - opened_ns) / 1e9, value=np.maximum(np.diff(total), 0.0) / (np.diff(at).astype(float) / 1e9)
    )


def host_cores(host: pa.Table) -> int:
    """Return how many CPUs the samples tell of."""
    return len(pc.unique(host["device"].filter(pc.equal(host["metric"].cast(pa.string()), CORE_BUSY_METRIC))))


def thinned(series: HostSeries, most: int) -> HostSeries:
    """Return at most so many values, neighbours averaged."""
    if len(series.at_s) <= most:
        return series
    starts = (np.arange(most, dtype=np.int64) * len(series.at_s)) // most
    counts = np.diff(np.append(starts, len(series.at_s)))
    return HostSeries(
        at_s=np.add.reduceat(series.at_s, starts) / counts, value=np.add.reduceat(series.value, starts) / counts
    )
