"""Steps that waited far longer than the others: named, with what their worker did meanwhile, and never left out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ioprof.analysis.measured import RankSteps
from ioprof.analysis.reasons import Reasons
from ioprof.trace.kinds import Kind
from ioprof.trace.trace import Trace

TIMES_P95 = 5
"""A wait is extreme beyond this multiple of the 95th percentile of all waits."""
LEAST_SHARE_OF_STEP = 0.5
"""And where it is longer than this share of the median step: shorter ones cost nothing worth naming."""
LISTED = 10
"""So many are named, the longest first."""
TELLING_SHARE = 0.5
"""What the worker did is told where it took this share of the wait."""
_DID_KEYS = ("outliers.longest.worker_did", "outliers.longest.worker_did_ns")
_NOTHING_TELLING = "nothing that the worker did took half of the wait"
_NOT_ALL_SPANS = "not every span was kept, and nothing that is known of the worker took half of the wait"
BETWEEN, FETCH, PREP = "between operations", "fetch", "prep"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlier:
    """One step that waited extremely long."""

    rank: int
    step: int
    epoch: int
    batch: int
    worker: int
    """Which made the batch; -1: the consumer's own process."""
    at_s: float
    """When the wait began, in seconds after the first step's."""
    wait_ns: int
    opens_epoch: bool
    """The first step of an epoch: its wait holds what a loader does to begin one."""
    worker_did: str | None
    """What the worker spent most of the wait on: a kind of operation, or ``between operations``; by its batch alone,
    ``fetch`` or ``prep``, where its spans were not kept. None: not known, or nothing took half of the wait."""
    worker_did_ns: int | None
    """How long it did that during the wait; by its batch alone, in all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outliers:
    """The steps with extreme waits, and what extreme means in this run."""

    steps: int
    """How many there are."""
    opening_epochs: int
    """How many of them are the first of an epoch."""
    over_ns: int | None
    """Waits longer than this are extreme; None: no step was measured."""
    longest: tuple[Outlier, ...]
    """The longest waits, at most ten."""


@dataclass(slots=True)
class _Watched:
    """One extreme wait, and how long its worker was seen in each kind of operation during it."""

    rank: RankSteps
    index: int
    start_ns: int
    end_ns: int
    did_ns: dict[int, int] = field(default_factory=dict)


class OutlierSearch:
    """Finds extreme waits, and watches the spans pass: one pass over them serves this and whoever counts them."""

    def __init__(self, ranks: list[RankSteps], trace: Trace) -> None:
        """Find the extreme waits of all ranks.

        Args:
            ranks: the measured steps.
            trace: the run they are of.
        """
        measured = [rank for rank in ranks if rank.measured]
        self._trace = trace
        self._over_ns = _limit_ns(measured) if measured else None
        extreme = [wait for rank in measured for wait in _longer(rank, self._over_ns or 0)]
        self._count = len(extreme)
        self._opening = sum(_opens_epoch(wait) for wait in extreme)
        self._watched = sorted(extreme, key=lambda wait: wait.start_ns - wait.end_ns)[:LISTED]

    def watching(self, spans: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Pass the spans on, with an eye on those of the waits that were found."""
        for batch in spans:
            if self._watched:
                self._look(batch)
            yield batch

    def _look(self, spans: pa.RecordBatch) -> None:
        rank, worker, kind, start_ns, duration_ns = (
            spans.column(name).to_numpy(zero_copy_only=False)
            for name in ("rank", "worker", "kind", "start_ns", "duration_ns")
        )
        end_ns = start_ns + duration_ns
        for wait in self._watched:
            inside = (end_ns > wait.start_ns) & (start_ns < wait.end_ns)
            inside &= (worker == wait.rank.worker[wait.index]) & (rank == wait.rank.rank)
            for index in np.flatnonzero(inside).tolist():
                number = int(kind[index])
                spent_ns = min(int(end_ns[index]), wait.end_ns) - max(int(start_ns[index]), wait.start_ns)
                wait.did_ns[number] = wait.did_ns.get(number, 0) + spent_ns

    def found(self, reasons: Reasons) -> Outliers:
        """Return what was found, after the spans have passed; ``reasons`` takes in why there is no limit."""
        reasons.known("outliers.over_ns", self._over_ns, "no step was measured")
        longest = tuple(self._named(wait) for wait in self._watched)
        if any(one.worker_did is None for one in longest):
            reasons.by_key |= dict.fromkeys(_DID_KEYS, _NOTHING_TELLING if self._knows_all else _NOT_ALL_SPANS)
        return Outliers(
            steps=self._count,
            opening_epochs=self._opening,
            over_ns=self._over_ns,
            longest=longest,
        )

    def _named(self, wait: _Watched) -> Outlier:
        rank, index = wait.rank, wait.index
        did, did_ns = self._doing(wait)
        return Outlier(
            rank=rank.rank,
            step=int(rank.step[index]),
            epoch=int(rank.epoch[index]),
            batch=int(rank.batch[index]),
            worker=int(rank.worker[index]),
            at_s=(wait.start_ns - int(rank.wait_start_ns[0])) / 1e9,
            wait_ns=wait.end_ns - wait.start_ns,
            opens_epoch=_opens_epoch(wait),
            worker_did=did,
            worker_did_ns=did_ns,
        )

    @property
    def _knows_all(self) -> bool:
        """Whether the spans of every batch were kept."""
        return self._trace.has_spans and self._trace.run.sample_every == 1 and self._trace.run.dropped_spans == 0

    def _doing(self, wait: _Watched) -> tuple[str, int] | tuple[None, None]:
        length_ns = wait.end_ns - wait.start_ns
        by_label = {Kind(number).label: ns for number, ns in wait.did_ns.items() if number in set(Kind)}
        if self._knows_all:
            by_label[BETWEEN] = length_ns - sum(by_label.values())
        else:
            by_label |= _by_batch(self._trace.batches, wait)
        label = max(by_label, key=lambda name: by_label[name], default=None)
        if label is None or by_label[label] < TELLING_SHARE * length_ns:
            return None, None
        return label, by_label[label]


def _limit_ns(ranks: list[RankSteps]) -> int:
    waits_ns = np.concatenate([rank.wait_ns[rank.first :] for rank in ranks])
    step_ns = np.concatenate([(rank.idle_ns + rank.busy_ns)[rank.first :] for rank in ranks])
    return int(max(TIMES_P95 * np.quantile(waits_ns, 0.95), LEAST_SHARE_OF_STEP * np.median(step_ns)))


def _longer(rank: RankSteps, limit_ns: int) -> list[_Watched]:
    """Return the measured waits beyond the limit."""
    return [
        _Watched(
            rank=rank,
            index=index,
            start_ns=int(rank.wait_start_ns[index]),
            end_ns=int(rank.wait_end_ns[index]),
        )
        for index in (np.flatnonzero(rank.wait_ns[rank.first :] > limit_ns) + rank.first).tolist()
    ]


def _opens_epoch(wait: _Watched) -> bool:
    epoch = wait.rank.epoch
    return wait.index == 0 or bool(epoch[wait.index] != epoch[wait.index - 1])


def _by_batch(batches: pa.Table, wait: _Watched) -> dict[str, int]:
    """Return what the batch as a whole took, where its worker's spans were not kept."""
    chosen = pc.and_(
        pc.equal(batches["batch"], int(wait.rank.batch[wait.index])), pc.equal(batches["rank"], wait.rank.rank)
    )
    rows = batches.filter(chosen).select(["storage_ns", "prep_ns"]).to_pylist()
    if not rows:
        return {}
    return {FETCH: rows[0]["storage_ns"] or 0, PREP: rows[0]["prep_ns"] or 0}
