"""Lateness against the demand clock: how far behind its schedule a loader that cannot keep up falls.

A loader is a closed loop: while the accelerator waits for a batch, no other is asked for, so waits alone hide what
a pause cost all that came after it. On the demand clock a batch is due when the accelerator would have been done with
all batches before it, had it never waited. The clock starts with the window. It stands still during ioprof's own
pauses between epochs, and while the step loop stands still for a save: neither is the loader's doing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ioprof.analysis.measured import RankSteps
from ioprof.analysis.reasons import Reasons
from ioprof.trace.run_record import RunRecord

_NO_CLOCK = "without an accelerator that takes time there is no demand clock"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lateness:
    """How late measured batches were held on the demand clock, in nanoseconds; a batch in time counts as 0."""

    p50_ns: float
    p99_ns: float
    max_ns: int
    half_from_steps: int | None
    """The fewest steps in which half of it arose: few tell of pauses, many of a rate that is too low. None: no batch
    was late."""


def lateness(run: RunRecord, ranks: list[RankSteps], reasons: Reasons) -> Lateness | None:
    """Return the lateness of all measured batches, all ranks; None without an accelerator or without such batches.

    Args:
        run: the record.
        ranks: the measured steps.
        reasons: takes in why there is none.
    """
    measured = [rank for rank in ranks if rank.measured]
    if not run.accelerator.busy_ns_per_batch or not measured:
        reasons.by_key["lateness"] = _NO_CLOCK if measured else "no step was measured"
        return None
    late_ns = np.concatenate([_late_ns(rank) for rank in measured])
    p50, p99 = np.quantile(late_ns, (0.5, 0.99), method="inverted_cdf")
    gained_ns = np.concatenate([_gained_ns(rank) for rank in measured])
    half = reasons.known("lateness.half_from_steps", _steps_for_half(gained_ns), "no batch was late")
    return Lateness(p50_ns=float(p50), p99_ns=float(p99), max_ns=int(late_ns.max()), half_from_steps=half)


def _gained_ns(rank: RankSteps) -> NDArray[np.int64]:
    """Return by how much each step put the schedule back: the accelerator's idle time, but for saves."""
    return np.asarray((rank.idle_ns - rank.saving_ns)[rank.first :])


def _late_ns(rank: RankSteps) -> NDArray[np.int64]:
    """Return how late each batch was held; its own copy to the accelerator comes after that."""
    copied_ns = np.maximum(rank.busy_start_ns - rank.wait_end_ns, 0)[rank.first :]
    return np.asarray(np.maximum(np.cumsum(_gained_ns(rank)) - copied_ns, 0))


def _steps_for_half(gained_ns: NDArray[np.int64]) -> int | None:
    total = int(gained_ns.sum())
    if total <= 0:
        return None
    return int(np.searchsorted(np.cumsum(np.sort(gained_ns)[::-1]), total / 2)) + 1
