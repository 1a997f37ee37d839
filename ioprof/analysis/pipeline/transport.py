"""What it costs to move a batch from a worker to the consumer, read off moments when nothing else was waited for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ioprof.analysis.accounted import floats
from ioprof.analysis.measured import RankSteps
from ioprof.trace.probe_record import BaselineRecord
from ioprof.trace.trace import Trace

Floats = NDArray[np.float64]

_FEWEST = 8
"""Of fewer moments no usual cost is told."""
_MANY = 30
"""Of so many a mean is told, which a few slow ones belong to."""
_WELL_FED_RATIO = 0.25
"""From this share of such steps on, the mean of their waits is that of receiving."""
_UNWRAP_SHARE = 0.5
"""Of sending and receiving a batch, what the consumer takes where the two were never seen apart."""
_MOST_UNWRAP_SHARE = 0.8
_HANDOVER_SHARE = 0.3
"""Of what a batch costs the consumer, what comes after receiving it, where that was never seen by itself."""
_OVERTAKEN_NS = 1_000_000
"""Of two batches that were made so long apart the first one arrives first."""
_FEWEST_MOVED = 100
"""Batches that a loader fed from memory must have delivered to say what one takes."""
_FIXED_SEND_NS, SEND_NS_PER_MIB = 900_000.0, 1_400_000.0
_FIXED_UNWRAP_NS, UNWRAP_NS_PER_MIB = 1_100_000.0, 170_000.0
"""Sending is copying into shared memory, page by page; receiving is mapping it. Measured with torch tensors of 4 KiB
to 37 MiB on another machine: used where the run moved no batch, and for what grows with a batch's bytes."""
_WAKE_NS, _BETWEEN_NS, _INLINE_NS = 200_000.0, 200_000.0, 50_000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Transport:
    """Usual costs per batch in ns, as if nothing else ran."""

    send_ns: float
    """Worker's side, beside its main thread, on a CPU."""
    after_ns: float
    """Likewise, once the batch is on its way: it is in nobody's way but on the CPUs."""
    send_wait_ns: float
    """Under way, for anything but a CPU."""
    unwrap_ns: float
    """Consumer's side, on a CPU."""
    handover_ns: float
    """Consumer's side after it has the batch, on a CPU: it asks a worker for another one, and passes this one on.
    Batches that came while an earlier one was waited for cost only this when their turn comes."""
    unwrap_wait_ns: float
    """Consumer's side, waiting for anything but a CPU."""
    received_ns: float | None
    """How long receiving a batch that lay ready took, handing it over included, as it was measured; None: none did."""
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
    steps = slice(rank.first, None)
    seen = Waits(made=made, start=rank.wait_start_ns[steps], end=rank.wait_end_ns[steps])
    delivered = seen.delivered_ns()
    moved = _fed_from_memory_ns(trace, rank, delivered)
    ready = seen.ready_ns(workers * prefetch, moved)
    between, wake = _worker_gaps(made, started, dispatched, worker)
    both = _both_ns(delivered, ready, None if beside_cpu_ns is None else beside_cpu_ns - between)
    received = both * _UNWRAP_SHARE if ready is None else min(both, ready)
    handover = min(received, seen.handover_ns() or received * _HANDOVER_SHARE)
    under_way = max(0.0, delivered - (ready or received)) if delivered is not None else both - received
    return Transport(
        send_ns=min(both - received, under_way),
        after_ns=max(0.0, both - received - under_way),
        send_wait_ns=max(0.0, under_way - (both - received)),
        unwrap_ns=received - handover,
        handover_ns=handover,
        unwrap_wait_ns=0.0 if ready is None else ready - received,
        received_ns=ready,
        inline_ns=_INLINE_NS,
        wake_ns=wake,
        between_ns=between,
        is_split_known=ready is not None,
    )


def _both_ns(delivered: float | None, ready: float | None, beside_cpu_ns: float | None) -> float:
    """Return the CPU time of sending and receiving a batch."""
    if beside_cpu_ns is not None and beside_cpu_ns > 0:
        return max(beside_cpu_ns, ready or 0.0)
    if delivered is not None:
        return delivered
    return ready / _UNWRAP_SHARE if ready is not None else 0.0


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


def _mean(values: Floats) -> float | None:
    values = values[np.isfinite(values)]
    return float(np.mean(values)) if len(values) >= _FEWEST else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """When each batch was made, and from when to when the consumer waited for it; one entry per measured step."""

    made: Floats
    start: NDArray[np.int64]
    end: NDArray[np.int64]

    def delivered_ns(self) -> float | None:
        """Return the usual time from made to received of batches that were waited for."""
        late = (self.made > self.start) & ~self._overtook()
        return _usual((self.end - self.made)[late])

    def handover_ns(self) -> float | None:
        """Return what a batch still costs that was received while an earlier one was waited for; None: none was."""
        return _usual(self._wait_ns()[self._overtook()])

    def ready_ns(self, ahead: int, moved_ns: float | None) -> float | None:
        """Return what a batch costs the consumer that lies ready; None: not seen.

        While one batch is waited for, others that come are received as well, and cost less when their turn comes. So
        batches count whose predecessors, as many as can be under way, lay ready too; else those that overtook no
        other one and were on their way for long before they were asked for. Of a few of these the loader fed from
        memory knows better.

        Args:
            ahead: batches that can be under way.
            moved_ns: what the loader fed from memory took for one; None: not known.
        """
        waits, late = self._wait_ns(), ~(self.made < self.start)
        recent = np.convolve(late, np.ones(ahead + 1), "full")[: len(late)] > 0
        if (~recent).sum() >= max(_FEWEST, len(waits) * _WELL_FED_RATIO):
            return float(np.mean(waits[~recent]))
        sent_ns = self.delivered_ns() or 0.0
        ready = waits[(self.made < self.start - sent_ns) & (self.made >= self._latest_before() + _OVERTAKEN_NS)]
        if len(ready) >= _MANY:
            return float(np.mean(ready))
        return moved_ns if moved_ns is not None else _usual(ready)

    def _wait_ns(self) -> Floats:
        return (self.end - self.start).astype(np.float64)

    def _latest_before(self) -> Floats:
        """Return when the last of all earlier batches was made."""
        latest = np.fmax.accumulate(self.made)
        return np.concatenate([[-np.inf], latest[:-1]])

    def _overtook(self) -> NDArray[np.bool_]:
        return np.asarray(self.made < self._latest_before() - _OVERTAKEN_NS)


def _worker_gaps(made: Floats, started: Floats, dispatched: Floats, worker: Floats) -> tuple[float, float]:
    """Return the mean time between two batches of a busy worker, and usually from asking an idle one to its start.

    Some gaps are longer, where the thread that sends the batch before runs first: all of them hold the worker up.
    """
    gaps, wakes = [], []
    for number in np.unique(worker[worker >= 0]):
        rows = np.flatnonzero(worker == number)
        rows = rows[np.argsort(started[rows])]
        free, begun, asked = made[rows[:-1]], started[rows[1:]], dispatched[rows[1:]]
        gaps.append(np.maximum(begun - free, 0.0)[asked < free])
        wakes.append(np.maximum(begun - asked, 0.0)[asked > free])
    between = _mean(np.concatenate(gaps)) if gaps else None
    wake = _usual(np.concatenate(wakes)) if wakes else None
    usual = between if between is not None else 0.0
    return usual, wake if wake is not None else usual


def _fed_from_memory_ns(trace: Trace, rank: RankSteps, delivered: float | None) -> float | None:
    """Return what a batch takes of a loader that is fed from memory; None: not known.

    Its consumer does nothing but receive: where its workers are not slower than that, this is what receiving takes.
    """
    taken_ns = _moved_ns(trace.probe.transport, rank) if trace.probe is not None else None
    return taken_ns if taken_ns is None or delivered is None else min(taken_ns, delivered * _MOST_UNWRAP_SHARE)


def _moved_ns(baseline: BaselineRecord | None, rank: RankSteps) -> float | None:
    if baseline is None or not baseline.samples_per_s or baseline.batches < _FEWEST_MOVED:
        return None
    return float(rank.samples[rank.first :].mean()) / baseline.samples_per_s * 1e9


def _without_workers(trace: Trace, rank: RankSteps) -> Transport:
    table = trace.batches.filter(trace.batches["rank"].to_numpy() == rank.rank)
    mib = float(np.nan_to_num(floats(table, "bytes")).mean()) / 2**20 if table.num_rows else 0.0
    made, started, _, _ = _stamps(trace.batches, rank)
    waited = (rank.wait_end_ns - rank.wait_start_ns)[rank.first :]
    inline = _usual(waited - (made - started))
    moved = _moved_ns(trace.probe.one_worker, rank) if trace.probe is not None else None
    received = _FIXED_UNWRAP_NS + UNWRAP_NS_PER_MIB * mib if moved is None else moved
    return Transport(
        send_ns=_FIXED_SEND_NS + SEND_NS_PER_MIB * mib if moved is None else moved * (1 / _UNWRAP_SHARE - 1),
        after_ns=0.0,
        send_wait_ns=0.0,
        unwrap_ns=received * (1 - _HANDOVER_SHARE),
        handover_ns=received * _HANDOVER_SHARE,
        unwrap_wait_ns=0.0,
        received_ns=None,
        inline_ns=_INLINE_NS if inline is None else max(0.0, inline),
        wake_ns=_WAKE_NS,
        between_ns=_BETWEEN_NS,
        from_memory=moved is None,
    )
