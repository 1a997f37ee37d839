"""Follows the raw files of a run while they grow: rates of the last seconds, percentiles so far."""

from __future__ import annotations

import contextlib
from collections import deque
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ioprof.clock import now_ns
from ioprof.errors import RunDirectoryError
from ioprof.trace.histogram import percentile_ns
from ioprof.trace.kinds import READ_KINDS, STORAGE_KINDS, Kind, Phase
from ioprof.trace.opsfile import COUNTERS, KINDS, SLOT_WORDS, Words
from ioprof.trace.raw import epochs_with, raw_processes
from ioprof.trace.recordlog import read_log
from ioprof.trace.run_record import EpochRecord, RunRecord
from ioprof.trace.rundir import RAW, read_run_json
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
    done_ratio: float | None
    """Share of the run that is done, by its steps or by its duration, whichever will end it."""
    left_ns: float | None
    """Time left to that end at the pace since the warm-up."""
    utilization_now: float | None
    """None during the warm-up, and without an accelerator."""
    utilization: float | None
    """Since the warm-up; the run's own pauses between epochs are left out of both."""
    samples_per_s: float
    iops: float
    bytes_per_s: float
    kinds: list[KindRate]


class Follower:
    """Reads a growing run directory again and again."""

    def __init__(self, directory: Path) -> None:
        self._raw = directory / RAW
        record = _record(directory)
        self._warmup_steps = record.warmup_steps if record is not None else 0
        self._end = _end_of(record)
        self._start_ns = now_ns()
        self._seen: deque[tuple[int, Words]] = deque()
        # Rates need two readings; a follower that starts late must not count what came before it.
        with contextlib.suppress(OSError, ValueError):
            self._seen.append((self._start_ns, self._counts()))

    def snapshot(self) -> Snapshot | None:
        """Return the run as it is now.

        None before the first step, before operations were counted twice, and once the raw files are gone.
        """
        try:
            steps = read_log(self._raw / "steps-0.log", STEPS)
            epochs = epochs_with(self._raw, steps)
            counts = self._counts()
        except (OSError, ValueError):
            return None
        before = self._remembered(counts)
        if not steps.num_rows or before is None:
            return None
        columns = {name: steps[name].to_numpy() for name in steps.schema.names}
        cycle_ns = _cycles_ns(columns, epochs)
        busy_end = columns["busy_end_ns"]
        first = int(np.searchsorted(busy_end, busy_end[-1] - _RECENT_NS))
        measured = int(np.searchsorted(columns["step"], self._warmup_steps))
        seconds = max(int(cycle_ns[first:].sum()), 1) / 1e9
        op_seconds = max(now_ns() - before[0], 1) / 1e9
        new = counts - before[1]
        steady_ns = cycle_ns[measured:] if measured < len(cycle_ns) else cycle_ns
        ahead = self._end.ahead(steps.num_rows, epochs, float(steady_ns.mean()))
        return Snapshot(
            elapsed_ns=now_ns() - self._start_ns,
            epoch=int(columns["epoch"][-1]),
            steps=steps.num_rows,
            done_ratio=ahead[0] if ahead else None,
            left_ns=ahead[1] if ahead else None,
            utilization_now=_utilization(columns, cycle_ns, max(first, measured)),
            utilization=_utilization(columns, cycle_ns, measured),
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

    def _remembered(self, counts: Words) -> tuple[int, Words] | None:
        """Keep these counts and return those of about five seconds ago; None if these are the first."""
        now = now_ns()
        self._seen.append((now, counts))
        while len(self._seen) > 2 and now - self._seen[1][0] >= _RECENT_NS:
            self._seen.popleft()
        return self._seen[0] if len(self._seen) > 1 else None


def _record(directory: Path) -> RunRecord | None:
    try:
        return read_run_json(directory)
    except RunDirectoryError:
        return None  # the view is a courtesy: the run itself says what is wrong with its directory


@dataclass(frozen=True, slots=True, kw_only=True)
class _End:
    """What ends a run: a number of steps, a duration, or whichever of the two comes first."""

    steps: int | None
    duration_ns: int | None

    def ahead(self, done_steps: int, epochs: list[EpochRecord], step_ns: float) -> tuple[float, float] | None:
        """Return the share done and the time left in ns; None where nothing is known of the end.

        Args:
            done_steps: steps made so far.
            epochs: those begun so far; pauses between them do not count against a duration.
            step_ns: how long a step takes.
        """
        found: list[tuple[float, float]] = []
        if self.steps:
            found.append(((self.steps - done_steps) * step_ns, done_steps / self.steps))
        if self.duration_ns:
            spent_ns = sum(epoch.end_ns - epoch.start_ns for epoch in epochs)
            found.append((self.duration_ns - spent_ns, spent_ns / self.duration_ns))
        if not found:
            return None
        left_ns, share = min(found)
        return min(share, 1.0), max(left_ns, 0.0)


def _end_of(record: RunRecord | None) -> _End:
    if record is None:
        return _End(steps=None, duration_ns=None)
    run, per_epoch = record.spec.get("run", {}), record.workload.steps_per_epoch
    epochs, duration_ns = run.get("epochs"), run.get("duration")
    steps = [epochs * per_epoch] if isinstance(epochs, int) and per_epoch is not None else []
    limit = run.get("steps")
    return _End(
        steps=min([*steps, *([limit] if isinstance(limit, int) else [])], default=None),
        duration_ns=duration_ns if isinstance(duration_ns, int) else None,
    )


def _cycles_ns(columns: dict[str, Words], epochs: list[EpochRecord]) -> Words:
    """Return the time from the end of the step before to the end of each step, without pauses between epochs."""
    busy_end = columns["busy_end_ns"]
    cycle = np.diff(busy_end, prepend=columns["wait_start_ns"][0])
    bounds = {record.epoch: record for record in epochs}
    for index in (np.flatnonzero(np.diff(columns["epoch"])) + 1).tolist():
        before, after = (bounds.get(int(columns["epoch"][at])) for at in (index - 1, index))
        paused_from = before.end_ns if before else int(busy_end[index - 1])
        paused_to = after.start_ns if after else int(columns["wait_start_ns"][index])
        cycle[index] -= max(0, paused_to - max(paused_from, int(busy_end[index - 1])))
    return cycle


def _utilization(columns: dict[str, Words], cycle_ns: Words, first: int) -> float | None:
    busy = int((columns["busy_end_ns"][first:] - columns["busy_start_ns"][first:]).sum())
    wall = int(cycle_ns[first:].sum())
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
