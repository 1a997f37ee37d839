"""When everything happened to each batch, and which of two things each moment waited for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ioprof.analysis.pipeline.work import Floats, Ints, PipelineShape, PipelineWork

NONE = -1
"""In an array of rows: there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """One pass of work through a pipeline; arrays of length n, a row per batch, stamps in ns after the start.

        dispatched  the moment ``dispatched_by`` was received, or the epoch was opened
        made        max(dispatched, made of ``made_after``) + service
        arrived     max(made, arrived of ``made_after``) + ipc
        pinned      max(arrived, pinned of ``pinned_after``) + pin
        asked       busy end of the step before + what the consumer does before asking
        received    max(asked, pinned) + unwrap
        busy start  received + transfer;  busy end = busy start + busy

    The argument that won each max is seen by comparing the two. Without workers the consumer makes the batch: it is
    dispatched when it is asked for.

    A row past the end of ``work`` (only where a stream's worker ran dry before the others) is the word of a worker
    that it has no more: nothing in it takes time.
    """

    work: PipelineWork
    shape: PipelineShape
    order: Ints
    """Rows in the order in which they were delivered."""
    dispatched_by: Ints
    """Row at whose receipt each batch was asked for; `NONE`: at the opening of its epoch."""
    made_after: Ints
    """Row that the same worker made just before; `NONE`: it is its first."""
    pinned_after: Ints
    """Row that was pinned just before; `NONE`: it is the first."""
    opened_after: Ints
    """Row of the last step before the epoch of each batch; `NONE`: it is the first epoch."""
    worker: Ints
    """Which made the batch in this schedule; -1: the consumer."""
    dispatched_ns: Floats
    start_ns: Floats
    made_ns: Floats
    arrived_ns: Floats
    pinned_ns: Floats
    asked_ns: Floats
    received_ns: Floats
    busy_start_ns: Floats
    busy_end_ns: Floats

    @property
    def makespan_ns(self) -> float:
        """When the last step ended; 0 where there was none."""
        return float(self.busy_end_ns[self.order[-1]]) if len(self.order) else 0.0

    @property
    def delivered(self) -> Ints:
        """Rows of ``work`` in the order in which the accelerator used them."""
        return self.order[self.order < len(self.work)]

    @property
    def busy_ns(self) -> float:
        """How long the accelerator was at work."""
        return float(self.work.busy_ns.sum())

    @property
    def idle_ns(self) -> float:
        """How long the accelerator had nothing to do, from the start to the end of the last step."""
        return max(0.0, self.makespan_ns - self.busy_ns)

    @property
    def utilization(self) -> float | None:
        """Busy time over all time, 0.0 to 1.0; None: it took no time."""
        return self.busy_ns / self.makespan_ns if self.makespan_ns > 0 else None


def epoch_starts(epoch: Ints) -> Ints:
    """Return the first row of each epoch, and the number of rows last.

    Args:
        epoch: the epoch of each row, ascending.
    """
    if not len(epoch):
        return np.zeros(1, np.int64)
    return np.concatenate([[0], np.flatnonzero(np.diff(epoch)) + 1, [len(epoch)]])
