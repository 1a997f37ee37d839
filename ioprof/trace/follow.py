"""Follows the raw files of a run while they grow: rates of the last seconds, percentiles so far."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ioprof.clock import now_ns
from ioprof.trace.histogram import percentile_ns
from ioprof.trace.kinds import READ_KINDS, STORAGE_KINDS, Kind, Phase
from ioprof.trace.opsfile import COUNTERS, KINDS, SLOT_WORDS, Words
from ioprof.trace.raw import raw_processes
from ioprof.trace.recordlog import read_log
from ioprof.trace.rundir import RAW
from ioprof.trace.schema import STEPS

_RECENT_NS = 5 * 10**9
_MAX_KINDS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class KindRate:
    """One operation kind, now."""

    label: str
    per_s: float
    p50_ns: float
    p99_ns: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A run at one moment; rates are of the last five seconds."""

    elapsed_ns: int
    epoch: int
    steps: int
    utilization_now: float | None
    utilization: float | None
    samples_per_s: float
    iops: float
    bytes_per_s: float
    kinds: list[KindRate]


class Follower:
    """Reads a growing run directory again and again."""

    def __init__(self, directory: Path) -> None:
        self._raw = directory / RAW
        self._start_ns = now_ns()
        self._seen: deque[tuple[int, Words]] = deque()

    def snapshot(self) -> Snapshot | None:
        """Return the run as it is now; None before the first step or once the raw files are gone."""
        try:
            steps = read_log(self._raw / "steps-0.log", STEPS)
            counts = self._counts()
        except (OSError, ValueError):
            return None
        if not steps.num_rows:
            return None
        columns = {name: steps[name].to_numpy() for name in steps.schema.names}
        busy_end = columns["busy_end_ns"]
        first = int(np.searchsorted(busy_end, busy_end[-1] - _RECENT_NS))
        seconds = max(int(busy_end[-1] - columns["wait_start_ns"][first]), 1) / 1e9
        at_ns, before = self._remembered(counts)
        op_seconds = max(now_ns() - at_ns, 1) / 1e9
        new = counts - before
        return Snapshot(
            elapsed_ns=now_ns() - self._start_ns,
            epoch=int(columns["epoch"][-1]),
            steps=steps.num_rows,
            utilization_now=_utilization(columns, first),
            utilization=_utilization(columns, 0),
            samples_per_s=float(columns["samples"][first:].sum() / seconds),
            iops=float(sum(new[KINDS.index(kind), 0] for kind in STORAGE_KINDS) / op_seconds),
            bytes_per_s=float(sum(new[KINDS.index(kind), 1] for kind in READ_KINDS) / op_seconds),
            kinds=[_rate(kind, counts, new, op_seconds) for kind in _busiest(new)],
        )

    def _counts(self) -> Words:
        """Return the statistics of all processes outside of discovery, one row per kind."""
        total = np.zeros((len(KINDS), SLOT_WORDS), dtype=np.int64)
        for process in raw_processes(self._raw)[0]:
            by_phase = process.counts().reshape(len(Phase), len(KINDS), SLOT_WORDS)
            total += by_phase[Phase.WARMUP] + by_phase[Phase.STEADY]
        return total

    def _remembered(self, counts: Words) -> tuple[int, Words]:
        """Keep these counts and return those of about five seconds ago."""
        now = now_ns()
        self._seen.append((now, counts))
        while len(self._seen) > 2 and now - self._seen[1][0] >= _RECENT_NS:
            self._seen.popleft()
        at_ns, before = self._seen[0]
        return (at_ns, before) if at_ns < now else (self._start_ns, np.zeros_like(counts))


def _utilization(columns: dict[str, Words], first: int) -> float | None:
    busy = int((columns["busy_end_ns"][first:] - columns["busy_start_ns"][first:]).sum())
    wall = int(columns["busy_end_ns"][-1] - columns["wait_start_ns"][first])
    return busy / wall if busy and wall > 0 else None


def _busiest(new: Words) -> list[Kind]:
    order = np.argsort(-new[:, 0], kind="stable")[:_MAX_KINDS]
    return [KINDS[index] for index in sorted(order) if new[index, 0]]


def _rate(kind: Kind, counts: Words, new: Words, seconds: float) -> KindRate:
    row = counts[KINDS.index(kind)]
    buckets, largest = row[COUNTERS:], 1 << 62
    return KindRate(
        label=kind.label,
        per_s=float(new[KINDS.index(kind), 0] / seconds),
        p50_ns=percentile_ns(buckets, 0.5, 0, largest),
        p99_ns=percentile_ns(buckets, 0.99, 0, largest),
    )
