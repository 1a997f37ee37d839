"""The steps and batches of a run as they are written: totals since the warm-up, and the last few seconds.

Each look costs what came since the one before, however long the run has gone on.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ioprof.trace.log_tail import LogTail
from ioprof.trace.opsfile import Words
from ioprof.trace.raw import EPOCHS, epochs_from
from ioprof.trace.run_record import EpochRecord
from ioprof.trace.schema import BATCHES, STEPS

RECENT_NS = 5 * 10**9
CAUSES = ("storage", "decode", "collate", "loader", "hand-over", "transfer", "not known")
"""What a live view can charge idle time to; see `_causes_ns`."""


@dataclass(slots=True)
class StepTotals:
    """What a rank did so far."""

    steps: int = 0
    samples: int = 0
    epoch: int = 0
    last_ns: int = 0
    """When its last step ended."""
    busy_ns: int = 0
    """Accelerator at work, all steps."""
    idle_ns: int = 0
    """Accelerator without work, the run's own pauses between epochs left out."""
    measured_busy_ns: int = 0
    """Of the steps behind the warm-up, as the next."""
    measured_ns: int = 0
    measured_steps: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Recent:
    """The steps of the last seconds."""

    ns: int
    """How long they took together."""
    samples: int
    utilization: float | None
    """None during the warm-up, and without an accelerator."""
    idle_by_cause: dict[str, float]
    """Share of their time that the accelerator was idle, an estimate by `CAUSES`; parts of nothing are left out."""


class StepFollower:
    """One rank's logs.

    Attributes:
        totals: as of the last look.
        epochs: those begun so far; one that goes on ends with the last step.
    """

    def __init__(self, raw: Path, rank: int, warmup_steps: int) -> None:
        """Begin to follow.

        Args:
            raw: folder of the raw files.
            rank: whose steps.
            warmup_steps: how many do not count as measured.
        """
        self._steps = LogTail(raw / f"steps-{rank}.log", len(STEPS))
        self._batches = LogTail(raw / f"batches-{rank}.log", len(BATCHES))
        self._events = LogTail(raw / f"epochs-{rank}.log", len(EPOCHS))
        self._warmup_steps = warmup_steps
        self.totals = StepTotals()
        self.epochs: list[EpochRecord] = []
        self._epoch_events: list[dict[str, int]] = []
        self._waiting = np.zeros((0, len(STEPS)), np.int64)
        """Steps whose batches are not in their log yet."""
        self._waiting_idle = np.zeros(0, np.int64)
        self._recent = np.zeros((0, len(_RECENT) + len(CAUSES)), np.int64)

    def look(self) -> None:
        """Take what was written since the last look into account.

        Raises:
            OSError: a log is there and cannot be read.
        """
        # Steps first: of what they hold, the epochs' beginnings stand by now.
        steps = self._steps.fresh()
        for event in self._events.fresh().tolist():
            self._epoch_events.append(dict(zip(EPOCHS.names, event, strict=True)))
        if len(steps):
            self._take(steps)
        self.epochs = epochs_from(self._epoch_events, self.totals.last_ns or None)
        self._pair(self._batches.fresh())

    def _take(self, steps: Words) -> None:
        busy_end, busy_start = steps[:, _S["busy_end_ns"]], steps[:, _S["busy_start_ns"]]
        before = self.totals.last_ns or int(steps[0, _S["wait_start_ns"]])
        self.epochs = epochs_from(self._epoch_events, int(busy_end[-1]))
        cycle = np.diff(busy_end, prepend=before)
        self._leave_out_pauses(steps, cycle, before)
        busy, totals = busy_end - busy_start, self.totals
        measured = steps[:, _S["step"]] >= self._warmup_steps
        totals.steps += len(steps)
        totals.samples += int(steps[:, _S["samples"]].sum())
        totals.epoch, totals.last_ns = int(steps[-1, _S["epoch"]]), int(busy_end[-1])
        totals.busy_ns += int(busy.sum())
        totals.idle_ns += int((cycle - busy).sum())
        totals.measured_busy_ns += int(busy[measured].sum())
        totals.measured_ns += int(cycle[measured].sum())
        totals.measured_steps += int(np.count_nonzero(measured))
        known = np.stack([busy_end, cycle, busy, steps[:, _S["samples"]], measured], axis=1)
        self._recent = np.concatenate([self._recent, np.pad(known, ((0, 0), (0, len(CAUSES))))])
        first = int(np.searchsorted(self._recent[:, 0], totals.last_ns - RECENT_NS))
        self._recent = self._recent[first:]
        self._waiting = np.concatenate([self._waiting, steps])
        self._waiting_idle = np.concatenate([self._waiting_idle, cycle - busy])

    def _leave_out_pauses(self, steps: Words, cycle: Words, before_ns: int) -> None:
        """Take the time between epochs off the first step of each, in place: ioprof itself may evict caches there."""
        bounds = {record.epoch: record for record in self.epochs}
        epoch = np.concatenate([[self.totals.epoch if self.totals.steps else steps[0, _S["epoch"]]],
                                steps[:, _S["epoch"]]])  # fmt: skip
        for index in np.flatnonzero(np.diff(epoch)).tolist():
            ended_ns = int(steps[index - 1, _S["busy_end_ns"]]) if index else before_ns
            old, new = bounds.get(int(epoch[index])), bounds.get(int(epoch[index + 1]))
            paused_from = max(ended_ns, old.end_ns if old else ended_ns)
            paused_to = new.start_ns if new else int(steps[index, _S["wait_start_ns"]])
            cycle[index] -= max(0, paused_to - paused_from)

    def _pair(self, batches: Words) -> None:
        """Charge the idle time before each step to what its batch spent its time on."""
        count = min(len(batches), len(self._waiting))
        # A batch is written behind its step: there are never more of them than steps, unless one was lost.
        if not count:
            return
        causes = _causes_ns(self._waiting[:count], batches[:count], self._waiting_idle[:count])
        left = len(self._waiting) - count
        stop = len(self._recent) - left
        start = max(0, stop - count)
        if stop > start:
            self._recent[start:stop, len(_RECENT) :] = causes[count - (stop - start) :]
        self._waiting, self._waiting_idle = self._waiting[count:], self._waiting_idle[count:]

    def recent(self) -> Recent:
        """Return what the last seconds were like."""
        rows = self._recent
        ns = max(int(rows[:, 1].sum()), 1)
        measured = rows[rows[:, 4] == 1]
        busy, cycle = int(measured[:, 2].sum()), int(measured[:, 1].sum())
        by_cause = rows[:, len(_RECENT) :].sum(axis=0) / ns
        shares = {cause: float(share) for cause, share in zip(CAUSES, by_cause, strict=True) if share > 0}
        return Recent(
            ns=ns,
            samples=int(rows[:, 3].sum()),
            utilization=busy / cycle if busy and cycle > 0 else None,
            idle_by_cause=shares,
        )

    def close(self) -> None:
        """Let go of the files."""
        for log in (self._steps, self._batches, self._events):
            log.close()


_S = {name: index for index, name in enumerate(STEPS.names)}
_B = {name: index for index, name in enumerate(BATCHES.names)}
_RECENT = ("busy_end_ns", "cycle_ns", "busy_ns", "samples", "is_measured")


def _causes_ns(steps: Words, batches: Words, idle_ns: Words) -> Words:
    """Return the idle time before each step by cause, shape (steps, causes): an estimate that needs no other batch.

    The copy to the accelerator and the time from when the batch was made count as they are. What was waited before
    that is divided as its worker divided its time on that very batch. The report walks the critical path back through
    the batches before, which may have been what held this one up.
    """
    transfer = np.minimum(steps[:, _S["h2d_end_ns"]] - steps[:, _S["wait_end_ns"]], idle_ns)
    begun, fetched, made = (batches[:, _B[name]] for name in ("fetch_start_ns", "fetch_end_ns", "collate_end_ns"))
    ready = np.where(made >= 0, made, fetched)
    waited_from = np.maximum(ready, steps[:, _S["wait_start_ns"]])
    handed = np.where(ready >= 0, np.maximum(steps[:, _S["wait_end_ns"]] - waited_from, 0), 0)
    handed = np.minimum(handed, idle_ns - transfer)
    rest = idle_ns - transfer - handed
    known = (begun >= 0) & (ready > begun)
    took = np.where(known, ready - begun, 1)
    storage = np.clip(batches[:, _B["storage_ns"]], 0, took)
    decode = np.clip(batches[:, _B["prep_ns"]], 0, took - storage)
    collate = np.clip(np.where(made >= 0, made - fetched, 0), 0, took - storage - decode)
    parts = np.stack([storage, decode, collate, took - storage - decode - collate], axis=1)
    charged = np.where(known[:, None], rest[:, None] * (parts / took[:, None]), 0)
    unknown = np.where(known, 0, rest)
    found: Words = np.column_stack([charged, handed, transfer, unknown]).astype(np.int64)
    return found
