"""Follows the raw files of a run while they grow: rates of the last seconds, percentiles and totals so far."""

from __future__ import annotations

import contextlib
from collections import deque
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ioprof.clock import now_ns
from ioprof.errors import RunDirectoryError
from ioprof.trace.histogram import percentile_ns
from ioprof.trace.kinds import READ_KINDS, STORAGE_KINDS, Kind
from ioprof.trace.operation_follow import OperationFollower, WorkerCounts
from ioprof.trace.opsfile import COUNTERS, KINDS, SLOT_WORDS, Words
from ioprof.trace.run_record import EpochRecord, RunRecord
from ioprof.trace.rundir import RAW, read_run_json
from ioprof.trace.step_follow import RECENT_NS, StepFollower

_MAX_KINDS = 6
_LONGEST_NS = 1 << 62


@dataclass(frozen=True, slots=True, kw_only=True)
class KindRate:
    """One operation kind, now."""

    label: str
    per_s: float
    p50_ns: float
    """Of all of the run so far, as the other percentile."""
    p99_ns: float


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerNow:
    """One worker, now."""

    worker: int
    pid: int
    batches: int
    """Made so far."""
    busy_ratio: float | None
    """Share of the last seconds that went into batches, as far as these are done; None: none was."""


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
    idle_by_cause: dict[str, float]
    """Share of the last seconds that the accelerator was idle, an estimate; see `ioprof.trace.step_follow.CAUSES`."""
    samples_per_s: float
    iops: float
    bytes_per_s: float
    kinds: list[KindRate]
    workers: list[WorkerNow]


class Follower:
    """Reads a growing run directory again and again.

    Attributes:
        record: run.json as it was when the run began; None: it could not be read.
        operations: what the recording processes did.
    """

    def __init__(self, directory: Path) -> None:
        """Begin to follow a run that has begun."""
        raw = directory / RAW
        self.record = _record(directory)
        self._end = _end_of(self.record)
        self._raw = raw
        self._start_ns = now_ns()
        self._ranks: dict[int, StepFollower] = {}
        self.operations = OperationFollower(raw)
        self._seen: deque[tuple[int, Words, dict[int, WorkerCounts]]] = deque()
        # Rates need two readings; a follower that starts late must not count what came before it.
        with contextlib.suppress(OSError, ValueError):
            self._remember()

    def ranks(self) -> dict[int, StepFollower]:
        """Return the ranks' steps as they are now.

        Raises:
            OSError: a log cannot be read.
        """
        warmup_steps = self.record.warmup_steps if self.record is not None else 0
        for path in self._raw.glob("steps-*.log"):
            number = path.stem.removeprefix("steps-")
            if number.isdigit() and int(number) not in self._ranks:
                self._ranks[int(number)] = StepFollower(self._raw, int(number), warmup_steps)
        for one in self._ranks.values():
            one.look()
        return dict(sorted(self._ranks.items()))

    def snapshot(self) -> Snapshot | None:
        """Return the run as it is now, by the steps of its first rank.

        None before the first step, before operations were counted twice, and where nothing can be read.
        """
        try:
            ranks = self.ranks()
            before = self._remember()
        except (OSError, ValueError):
            return None
        steps = next(iter(ranks.values()), None)
        if steps is None or not steps.totals.steps or before is None:
            return None
        return self._snapshot(steps, before)

    def _snapshot(self, steps: StepFollower, before: tuple[int, Words, dict[int, WorkerCounts]]) -> Snapshot:
        totals, recent = steps.totals, steps.recent()
        at_ns, counts, workers = self._seen[-1]
        seconds, op_seconds = recent.ns / 1e9, max(at_ns - before[0], 1) / 1e9
        new = counts - before[1]
        all_ns, all_steps = totals.busy_ns + totals.idle_ns, totals.steps
        pace = (totals.measured_ns, totals.measured_steps) if totals.measured_steps else (all_ns, all_steps)
        ahead = self._end.ahead(totals.steps, steps.epochs, pace[0] / pace[1])
        utilization = totals.measured_busy_ns / totals.measured_ns if totals.measured_ns else None
        return Snapshot(
            elapsed_ns=now_ns() - self._start_ns,
            epoch=totals.epoch,
            steps=totals.steps,
            done_ratio=ahead[0] if ahead else None,
            left_ns=ahead[1] if ahead else None,
            utilization_now=recent.utilization,
            utilization=utilization or None,
            idle_by_cause=recent.idle_by_cause,
            samples_per_s=recent.samples / seconds,
            iops=float(sum(new[KINDS.index(kind), 0] for kind in STORAGE_KINDS) / op_seconds),
            bytes_per_s=float(sum(new[KINDS.index(kind), 1] for kind in READ_KINDS) / op_seconds),
            kinds=[_rate(kind, counts, new, op_seconds) for kind in _busiest(new)],
            workers=[_worker(one, before[2].get(one.pid), op_seconds) for one in workers.values()],
        )

    def _remember(self) -> tuple[int, Words, dict[int, WorkerCounts]] | None:
        """Keep the counts and return those of about five seconds ago; None if these are the first."""
        self.operations.look()
        counts = np.zeros((len(KINDS), SLOT_WORDS), np.int64)
        for of_rank in self.operations.counts().values():
            counts += of_rank
        now = now_ns()
        self._seen.append((now, counts, {one.pid: one for one in self.operations.workers()}))
        while len(self._seen) > 2 and now - self._seen[1][0] >= RECENT_NS:
            self._seen.popleft()
        return self._seen[0] if len(self._seen) > 1 else None

    def close(self) -> None:
        """Let go of the files."""
        for one in self._ranks.values():
            one.close()


def _worker(now: WorkerCounts, before: WorkerCounts | None, seconds: float) -> WorkerNow:
    busy_ns = now.busy_ns - (before.busy_ns if before is not None else 0)
    made = now.batches - (before.batches if before is not None else 0)
    # A batch counts when it is done, also what of it was before these seconds.
    return WorkerNow(
        worker=now.worker,
        pid=now.pid,
        batches=now.batches,
        busy_ratio=min(busy_ns / 1e9 / seconds, 1.0) if made else None,
    )


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


def _busiest(new: Words) -> list[Kind]:
    order = np.argsort(-new[:, 0], kind="stable")[:_MAX_KINDS]
    return [KINDS[index] for index in sorted(order) if new[index, 0]]


def _rate(kind: Kind, counts: Words, new: Words, seconds: float) -> KindRate:
    row = counts[KINDS.index(kind)]
    buckets = row[COUNTERS:]
    return KindRate(
        label=kind.label,
        per_s=float(new[KINDS.index(kind), 0] / seconds),
        p50_ns=percentile_ns(buckets, 0.5, 0, _LONGEST_NS),
        p99_ns=percentile_ns(buckets, 0.99, 0, _LONGEST_NS),
    )
