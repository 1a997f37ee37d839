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
_UNWRAP_SHARE = 0.4
"""Of sending and receiving a batch, what the consumer takes where the two were never seen apart."""
_FIXED_NS, _PER_MIB_NS = 900_000.0, 1_500_000.0
"""Sending and receiving one batch where nothing was ever sent: measured with torch tensors of 256 KiB to 37 MiB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transport:
    """Usual costs per batch in ns, as if nothing else ran."""

    send_ns: float
    """Worker's side, beside its main thread."""
    unwrap_ns: float
    """Consumer's side."""
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
    unwrap, known = _unwrap(trace, rank, ready, delivered)
    send = max(0.0, (delivered if delivered is not None else 2 * unwrap) - unwrap)
    if beside_cpu_ns is not None:
        # What the run's processes computed and no worker's main thread did: receiving, sending, and between batches.
        send = max(0.0, beside_cpu_ns - unwrap - between)
    return Transport(send_ns=send, unwrap_ns=unwrap, wake_ns=wake, between_ns=between, is_split_known=known)


def _stamps(batches: pa.Table, rank: RankSteps) -> tuple[Floats, ...]:
    table = batches.filter(batches["rank"].to_numpy() == rank.rank)
    numbers = table["batch"].to_numpy()
    order = np.argsort(numbers, kind="stable")
    wanted = rank.batch[rank.first :]
    row = order[np.minimum(np.searchsorted(numbers[order], wanted), len(order) - 1)]
    found = numbers[row] == wanted
    made, started, dispatched = (
        np.where(found, floats(table, name)[row], np.nan)
        for name in ("collate_end_ns", "fetch_start_ns", "dispatch_ns")
    )
    return made, started, dispatched, np.asarray(rank.worker[rank.first :], np.float64)


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
    if (~recent).sum() >= _FEWEST:
        return float(np.mean(waits[~recent]))
    before = np.concatenate([[np.inf], wait_end[:-1]])
    came = (made > before) & (made < wait_start - (wait_start - before) * 0.2)
    return float(np.mean(waits[came])) if came.sum() >= _FEWEST else None


def _worker_gaps(made: Floats, started: Floats, dispatched: Floats, worker: Floats) -> tuple[float, float]:
    """Return the usual time between two batches of a busy worker, and from asking an idle one to its start."""
    gaps, wakes = [], []
    for number in np.unique(worker[worker >= 0]):
        rows = np.flatnonzero(worker == number)
        rows = rows[np.argsort(started[rows])]
        free, begun, asked = made[rows[:-1]], started[rows[1:]], dispatched[rows[1:]]
        gaps.append((begun - free)[asked < free])
        wakes.append((begun - asked)[asked > free])
    between = _usual(np.concatenate(gaps)) if gaps else None
    wake = _usual(np.concatenate(wakes)) if wakes else None
    usual = between if between is not None else 0.0
    return usual, wake if wake is not None else usual


def _unwrap(trace: Trace, rank: RankSteps, ready: float | None, delivered: float | None) -> tuple[float, bool]:
    """Return the consumer's cost of a batch, and whether it was seen by itself."""
    if ready is not None:
        return ready, True
    baseline = _transport_ns(trace, rank)
    if delivered is not None:
        share = delivered * _UNWRAP_SHARE
        return (share if baseline is None else min(share, baseline)), False
    return (0.0 if baseline is None else baseline * _UNWRAP_SHARE), False


def _transport_ns(trace: Trace, rank: RankSteps) -> float | None:
    """Return what a batch takes of a loader that is fed from memory."""
    baseline = trace.probe.transport if trace.probe is not None else None
    if baseline is None or not baseline.samples_per_s:
        return None
    return float(rank.samples[rank.first :].mean()) / baseline.samples_per_s * 1e9


def _without_workers(trace: Trace, rank: RankSteps) -> Transport:
    table = trace.batches.filter(trace.batches["rank"].to_numpy() == rank.rank)
    mib = float(np.nan_to_num(floats(table, "bytes")).mean()) / 2**20 if table.num_rows else 0.0
    both = _FIXED_NS + _PER_MIB_NS * mib
    return Transport(
        send_ns=both * (1 - _UNWRAP_SHARE),
        unwrap_ns=both * _UNWRAP_SHARE,
        wake_ns=100_000.0,
        between_ns=50_000.0,
        from_memory=True,
    )
