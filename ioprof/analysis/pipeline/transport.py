"""What it costs to move a batch from a worker to the consumer, read off moments when nothing else was waited for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ioprof.analysis.accounted import floats
from ioprof.analysis.measured import RankSteps
from ioprof.trace.trace import Trace

Floats = NDArray[np.float64]

_FEWEST = 8
"""Of fewer moments no usual cost is told."""
_WELL_FED_RATIO = 0.25
"""From this share of such steps on, the mean of their waits is that of receiving."""
_UNWRAP_SHARE = 0.4
"""Of sending and receiving a batch, what the consumer takes where the two were never seen apart."""
_MOST_UNWRAP_SHARE = 0.8
_FIXED_SEND_NS, _SEND_NS_PER_MIB = 400_000.0, 1_400_000.0
_FIXED_UNWRAP_NS, _UNWRAP_NS_PER_MIB = 400_000.0, 170_000.0
_WAKE_NS, _BETWEEN_NS, _INLINE_NS = 200_000.0, 200_000.0, 50_000.0
"""Where the run moved no batch: measured elsewhere with torch tensors of 256 KiB to 37 MiB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transport:
    """Usual costs per batch in ns, as if nothing else ran."""

    send_ns: float
    """Worker's side, beside its main thread, on a CPU."""
    send_wait_ns: float
    """Under way, for anything but a CPU."""
    unwrap_ns: float
    """Consumer's side, on a CPU."""
    unwrap_wait_ns: float
    """Consumer's side, waiting for anything but a CPU."""
    received_ns: float | None
    """How long receiving a batch that lay ready took, as it was measured; None: none did."""
    inline_ns: float
    """Consumer's own work between two batches where it makes them itself."""
    wake_ns: float
    """From asking a worker that has nothing to do to its start."""
    between_ns: float
    """A worker's own work between two batches when the next one is there."""
    from_memory: bool = False
    """The costs are a guess from other machines: this run moved no batch."""
    is_split_known: bool = True
    """False: how much of it is the consumer's was not seen."""


def transport_of(trace: Trace, rank: RankSteps, workers: int, prefetch: int, beside_cpu_ns: float | None) -> Transport:
    """Return what moving the batches of a rank cost.

    Args:
        trace: the run.
        rank: its steps.
        workers: worker processes; 0: nothing was moved.
        prefetch: batches each may be ahead.
        beside_cpu_ns: CPU time per batch beyond what workers took to make it; None: not known.
    """
    if workers == 0:
        return _without_workers(trace, rank)
    made, started, dispatched, worker = _stamps(trace.batches, rank)
    ahead, steps = workers * prefetch, slice(rank.first, None)
    wait_start, wait_end = rank.wait_start_ns[steps], rank.wait_end_ns[steps]
    delivered = _usual((wait_end - made)[made > wait_start])
    ready = _ready_ns(made, wait_start, wait_end, ahead)
    between, wake = _worker_gaps(made, started, dispatched, worker)
    both = _both_ns(trace, rank, delivered, ready, None if beside_cpu_ns is None else beside_cpu_ns - between)
    unwrap = both * _UNWRAP_SHARE if ready is None else min(both * _MOST_UNWRAP_SHARE, ready)
    send = both - unwrap
    return Transport(
        send_ns=send,
        send_wait_ns=max(0.0, delivered - send - (ready or unwrap)) if delivered is not None else 0.0,
        unwrap_ns=unwrap,
        unwrap_wait_ns=0.0 if ready is None else ready - unwrap,
        received_ns=ready,
        inline_ns=_INLINE_NS,
        wake_ns=wake,
        between_ns=between,
        is_split_known=ready is not None,
    )


def _both_ns(
    trace: Trace, rank: RankSteps, delivered: float | None, ready: float | None, beside_cpu_ns: float | None
) -> float:
    """Return the CPU time of sending and receiving a batch."""
    if beside_cpu_ns is not None and beside_cpu_ns > 0:
        return beside_cpu_ns
    if delivered is not None:
        return delivered
    if ready is not None:
        return ready / _UNWRAP_SHARE
    return _transport_ns(trace, rank) or 0.0


def _stamps(batches: pa.Table, rank: RankSteps) -> tuple[Floats, ...]:
    table = batches.filter(batches["rank"].to_numpy() == rank.rank)
    numbers = table["batch"].to_numpy()
    order = np.argsort(numbers, kind="stable")
    wanted = rank.batch[rank.first :]
    row = order[np.minimum(np.searchsorted(numbers[order], wanted), len(order) - 1)]
    found = numbers[row] == wanted
    made, started, dispatched, worker = (
        np.where(found, floats(table, name)[row], np.nan)
        for name in ("collate_end_ns", "fetch_start_ns", "dispatch_ns", "worker")
    )
    return made, started, dispatched, worker


def _usual(values: Floats) -> float | None:
    values = values[np.isfinite(values)]
    return float(np.median(values)) if len(values) >= _FEWEST else None


def _ready_ns(made: Floats, wait_start: NDArray[np.int64], wait_end: NDArray[np.int64], ahead: int) -> float | None:
    """Return what receiving a batch takes that lay ready when it was asked for; None: none did.

    While one batch is waited for, others that come are received as well, and cost nothing when their turn comes: so
    batches count whose predecessors, as many as can be under way, lay ready too; else those that came while the
    accelerator was at work on the one before.
    """
    waits, late = wait_end - wait_start, ~(made < wait_start)
    recent = np.convolve(late, np.ones(ahead + 1), "full")[: len(late)] > 0
    if (~recent).sum() >= max(_FEWEST, len(waits) * _WELL_FED_RATIO):
        return float(np.mean(waits[~recent]))
    before = np.concatenate([[np.inf], wait_end[:-1]])
    came = (made > before) & (made < wait_start - (wait_start - before) * 0.2)
    # Some of these are still being sent when they are asked for: the median hardly sees them.
    return _usual(waits[came].astype(np.float64))


def _worker_gaps(made: Floats, started: Floats, dispatched: Floats, worker: Floats) -> tuple[float, float]:
    """Return the usual time between two batches of a busy worker, and from asking an idle one to its start."""
    gaps, wakes = [], []
    for number in np.unique(worker[worker >= 0]):
        rows = np.flatnonzero(worker == number)
        rows = rows[np.argsort(started[rows])]
        free, begun, asked = made[rows[:-1]], started[rows[1:]], dispatched[rows[1:]]
        gaps.append(np.maximum(begun - free, 0.0)[asked < free])
        wakes.append(np.maximum(begun - asked, 0.0)[asked > free])
    between = _usual(np.concatenate(gaps)) if gaps else None
    wake = _usual(np.concatenate(wakes)) if wakes else None
    usual = between if between is not None else 0.0
    return usual, wake if wake is not None else usual


def _transport_ns(trace: Trace, rank: RankSteps) -> float | None:
    """Return what a batch takes of a loader that is fed from memory."""
    baseline = trace.probe.transport if trace.probe is not None else None
    if baseline is None or not baseline.samples_per_s:
        return None
    return float(rank.samples[rank.first :].mean()) / baseline.samples_per_s * 1e9


def _without_workers(trace: Trace, rank: RankSteps) -> Transport:
    table = trace.batches.filter(trace.batches["rank"].to_numpy() == rank.rank)
    mib = float(np.nan_to_num(floats(table, "bytes")).mean()) / 2**20 if table.num_rows else 0.0
    made, started, _, _ = _stamps(trace.batches, rank)
    waited = (rank.wait_end_ns - rank.wait_start_ns)[rank.first :]
    inline = _usual(waited - (made - started))
    return Transport(
        send_ns=_FIXED_SEND_NS + _SEND_NS_PER_MIB * mib,
        send_wait_ns=0.0,
        unwrap_ns=_FIXED_UNWRAP_NS + _UNWRAP_NS_PER_MIB * mib,
        unwrap_wait_ns=0.0,
        received_ns=None,
        inline_ns=_INLINE_NS if inline is None else max(0.0, inline),
        wake_ns=_WAKE_NS,
        between_ns=_BETWEEN_NS,
        from_memory=True,
    )
