"""Accelerator idle time by what it waited for: keys of summary.json."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class IdleByCause:
    """Accelerator idle time by the stage on the critical path, in seconds; the parts that are known sum to ``idle_s``.

    A part is None where nothing that was recorded tells it from another one, which then holds it.
    """

    list: float | None = None
    stat: float | None = None
    open: float | None = None
    read: float | None = None
    close: float | None = None
    get: float | None = None
    other_storage: float | None = None
    """Every other storage operation: mapping and touching files, writing, renaming, ..."""
    decode: float | None = None
    augment: float | None = None
    dataset: float | None = None
    """The dataset's own code, reading and preparing samples, beside the operations that were timed."""
    collate: float | None = None
    loader: float | None = None
    """The worker's own code between operations, and between being asked for a batch and beginning to fetch it."""
    ipc: float | None = None
    """Batches on their way from workers to the consumer: sent, received, unwrapped."""
    pin: float | None = None
    transfer: float | None = None
    """Copy to the accelerator."""
    prefetch_limit: float | None = None
    """Workers had nothing to do, and were not asked for the next batch yet."""
    in_order: float | None = None
    """Later batches lay ready and had to wait for their turn, and so did workers."""
    start_up: float | None = None
    """Workers came up at the start of an epoch, or the loader closed down at its end."""
    step_sync: float | None = None
    """Waiting for other ranks."""
    checkpoint: float | None = None
    """The step loop stood still for a save."""
    host_late: float | None = None
    """An emulated step was over, and the consumer got no CPU in time to go on."""
    unexplained: float | None = None
    """Matches no stage; never spread over the others."""

    def of(self, group: str) -> float:
        """Return the sum of a group's causes in seconds; a cause that is not told from another is part of that."""
        return sum(getattr(self, cause) or 0.0 for cause in GROUPS[group])

    def total(self) -> float:
        """Return the sum of all causes in seconds."""
        return sum(self.of(group) for group in GROUPS)


GROUPS = {
    "storage": ("list", "stat", "open", "read", "close", "get", "other_storage"),
    "prep": ("decode", "augment", "collate"),
    "dataset": ("dataset",),
    "delivery": ("loader", "ipc", "pin"),
    "transfer": ("transfer",),
    "rules": ("prefetch_limit", "in_order"),
    "start_up": ("start_up",),
    "step_sync": ("step_sync",),
    "checkpoint": ("checkpoint",),
    "host_late": ("host_late",),
    "unexplained": ("unexplained",),
}
"""Every cause, in groups that are told as one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IdleSpent:
    """What workers were doing in the idle time of one cause, in seconds, by the kernel's accounting of their batches.

    Less than the cause's where part of it is between batches, which is not accounted. Inside a batch what blocks is
    its storage operations, for as long as these lasted; and what did not block was on a CPU or waited for one as in
    the whole batch.
    """

    on_cpu_s: float
    run_queue_s: float
    """Runnable, and waiting for a CPU."""
    blocked_s: float
