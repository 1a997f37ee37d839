"""What made the accelerator wait: idle time by cause, how it was spent, and what would be left without each cause.

The walk along the critical path is in `ioprof.analysis.pipeline.walk`; causes are the stages and rules of
`ioprof.analysis.pipeline.pieces`. Ranks are walked one by one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ioprof.analysis.idle_causes import IdleByCause, IdleSpent
from ioprof.analysis.measured import RankSteps
from ioprof.analysis.pipeline.made import Made
from ioprof.analysis.pipeline.measured import made_of, shape_of
from ioprof.analysis.pipeline.pieces import STAGES, STORAGE_STAGES, Stage
from ioprof.analysis.pipeline.rules import in_order_ns
from ioprof.analysis.pipeline.span_times import SpanTimes
from ioprof.analysis.pipeline.walk import Charged, MeasuredWalk
from ioprof.analysis.pipeline.work import Floats, PipelineShape
from ioprof.analysis.reasons import Reasons
from ioprof.trace.trace import Trace

NOT_TOLD = {
    Stage.AUGMENT: "workloads time augmenting as part of decoding",
    Stage.PIN: "no stamp tells pinning from the rest of a batch's way: it is part of ipc",
}
"""Causes that nothing recorded tells from others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribution:
    """Idle time and path length by stage, in nanoseconds; arrays of shape (`STAGES`,) unless said otherwise."""

    idle_ns: Floats
    """The parts sum to the idle time of the measured steps."""
    path_ns: Floats
    """Length on the critical path: what the run gains, to first order, if the stage takes no time."""
    spent_ns: Floats
    """Shape (3, `STAGES`): of the idle time, what the kernel says the worker was doing in it: on a CPU, waiting for
    one, blocked. NaN where none of a stage's time was accounted."""
    shared_out: int
    """Batches whose operations were not kept one by one: their storage time is shared out as that of all was."""

    def idle_by_cause(self, reasons: Reasons) -> IdleByCause:
        """Return the idle time by cause in seconds; ``reasons`` takes in why some are not told apart."""
        for stage, why in NOT_TOLD.items():
            reasons.by_key[f"idle_by_cause.{stage.key}"] = why
        parts = {stage.key: float(self.idle_ns[stage]) / 1e9 for stage in Stage if stage not in NOT_TOLD}
        return IdleByCause(**parts)

    def idle_spent(self, reasons: Reasons) -> dict[str, IdleSpent | None]:
        """Return how the idle time of each cause was spent, in seconds; only causes that have any."""
        spent: dict[str, IdleSpent | None] = {}
        for stage in Stage:
            if self.idle_ns[stage] <= 0:
                continue
            on_cpu, run_queue, blocked = (float(part) / 1e9 for part in self.spent_ns[:, stage])
            known = not np.isnan(on_cpu + run_queue + blocked)
            spent[stage.key] = IdleSpent(on_cpu_s=on_cpu, run_queue_s=run_queue, blocked_s=blocked) if known else None
            reasons.known(f"idle_by_cause_spent.{stage.key}", spent[stage.key], _NOT_ACCOUNTED)
        return spent


_NOT_ACCOUNTED = "the kernel's accounting covers what workers do from fetch start to collate end, and none of this"


def attribute_idle(ranks: list[RankSteps], trace: Trace, times: SpanTimes) -> Attribution:
    """Charge the idle time of all measured steps to stages; the parts sum to the idle time.

    Args:
        ranks: the steps of every rank.
        trace: the run; steps whose batch it does not have wait for ``unexplained``.
        times: all spans have passed it.
    """
    shape = shape_of(trace.run)
    parts = [_attribute_rank(rank, made_of(trace, rank, times), shape, several=len(ranks) > 1) for rank in ranks]
    return Attribution(
        idle_ns=sum((part.idle_ns for part in parts), np.zeros(STAGES)),
        path_ns=sum((part.path_ns for part in parts), np.zeros(STAGES)),
        spent_ns=_known_sum([part.spent_ns for part in parts]),
        shared_out=sum(part.shared_out for part in parts),
    )


def _known_sum(parts: list[Floats]) -> Floats:
    """Return the sum of what is known; NaN where nothing is."""
    if not parts:
        return np.full((3, STAGES), np.nan)
    every = np.stack(parts)
    return np.where(np.isnan(every).all(axis=0), np.nan, np.nansum(every, axis=0))


def _attribute_rank(rank: RankSteps, made: Made, shape: PipelineShape | None, *, several: bool) -> Attribution:
    idle_ns = (rank.idle_ns - rank.tail_ns - rank.saving_ns).astype(np.float64)
    ordered_ns = np.zeros(len(idle_ns)) if shape is None else in_order_ns(rank, made, shape, idle_ns)
    between = Stage.STEP_SYNC if several else Stage.UNEXPLAINED
    charged = MeasuredWalk(rank, made, ordered_ns, between_steps=between).run()
    fetch_idle_ns = charged.fetch_idle_ns @ made.share
    path_ns = charged.path_ns + charged.fetch_path_ns @ made.share
    path_ns[Stage.COLLATE] += charged.collate_path_ns.sum()
    total_ns = charged.idle_ns + fetch_idle_ns
    total_ns[Stage.COLLATE] += charged.collate_idle_ns.sum()
    return Attribution(
        idle_ns=total_ns,
        path_ns=path_ns,
        spent_ns=_spent_ns(charged, made, fetch_idle_ns),
        shared_out=int(made.is_shared_out[rank.first :].sum()),
    )


def _spent_ns(charged: Charged, made: Made, fetch_idle_ns: Floats) -> Floats:
    """Return what the idle time charged to workers was spent on, shape (3, `STAGES`).

    What the accounted batches show stands for all, each of them as often as there were batches for one accounted.
    """
    spent, told = made.spent, np.full((3, STAGES), np.nan)
    counted_ns = charged.fetch_idle_ns * spent.counts
    for stage in Stage:
        blocked = spent.storage_blocked if stage in STORAGE_STAGES else spent.other_blocked
        if stage == Stage.UNEXPLAINED:
            blocked = np.where(np.isnan(blocked), np.nan, 1.0)  # it is told by being blocked, and by nothing else
        shares = _mean_parts(counted_ns * made.share[:, stage], blocked, spent.on_cpu)
        if shares is not None:
            told[:, stage] = fetch_idle_ns[stage] * shares
    joined = _mean_parts(charged.collate_idle_ns * spent.counts, spent.collate_blocked, spent.collate_on_cpu)
    if joined is not None:
        told[:, Stage.COLLATE] = charged.collate_idle_ns.sum() * joined
    return told


def _mean_parts(weight_ns: Floats, blocked: Floats, on_cpu: Floats) -> Floats | None:
    """Return the shares on a CPU, waiting for one and blocked, over what was accounted; None: nothing was."""
    known = ~(np.isnan(blocked) | np.isnan(on_cpu)) & (weight_ns > 0)
    total_ns = float(weight_ns[known].sum())
    if total_ns <= 0:
        return None
    weight, blocked, on_cpu = weight_ns[known] / total_ns, blocked[known], on_cpu[known]
    return np.array([weight @ ((1 - blocked) * on_cpu), weight @ ((1 - blocked) * (1 - on_cpu)), weight @ blocked])
