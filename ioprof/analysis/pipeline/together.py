"""Several runs of one workload: what one cannot tell another may, and where a replay missed them it is put right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ioprof.analysis.pipeline.basis import Measured, Setting
from ioprof.analysis.pipeline.change import Change
from ioprof.errors import RunError
from ioprof.trace.run_record import RunRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """What a run delivered over what the replay of another one came to for its setting."""

    workers: int
    ratio: float


def check_alike(first: RunRecord, other: RunRecord) -> None:
    """Refuse runs that cannot be learnt from together.

    Raises:
        RunError: they differ in workload or loader.
    """
    for what, one, another in (
        ("workloads", first.workload.name, other.workload.name),
        ("loaders", first.loader, other.loader),
    ):
        if one != another:
            raise RunError(f"runs of different {what} cannot be learnt from together: {one} and {another}")


def completed(first: Measured, others: Sequence[Measured]) -> Measured:
    """Return the first run with what it could not tell taken from others: moving batches, and the store's curve."""
    transport, curve = first.transport, first.curve
    moved = [
        other.transport
        for other in others
        if other.setting.workers > 0
        and other.setting.batch_size == first.setting.batch_size
        and other.transport.is_split_known
    ]
    if moved and (first.setting.workers == 0 or not transport.is_split_known):
        transport = replace(moved[0], inline_ns=transport.inline_ns)
    measured = [other.curve for other in others if other.curve.is_measured]
    if measured and not curve.is_measured:
        curve = measured[0]
    return replace(first, transport=transport, curve=curve)


def change_between(one: Measured, other: Measured) -> Change:
    """Return what is different in the setting of another run."""
    names = ("workers", "prefetch", "batch_size", "in_order", "pin", "cores", "ranks_per_host")
    is_same = one.asked_busy_ns == other.asked_busy_ns
    return Change(
        **{name: getattr(other.setting, name) for name in names},
        busy_ns_per_batch=None if is_same else other.asked_busy_ns or 0,
    )


def corrected_ratio(anchors: Sequence[Anchor], setting: Setting) -> float:
    """Return by how much to correct a prediction: between two numbers of workers that were measured, gradually."""
    if not anchors:
        return 1.0
    if len(anchors) == 1:
        # One run's miss says less of other settings the more workers lie between.
        only = anchors[0]
        likeness = max(0.0, 1.0 - abs(float(np.log2((1 + setting.workers) / (1 + only.workers)))))
        return float(only.ratio**likeness)
    workers = sorted({anchor.workers for anchor in anchors})
    misses = [np.mean([np.log(one.ratio) for one in anchors if one.workers == number]) for number in workers]
    return float(np.exp(np.interp(np.log1p(setting.workers), np.log1p(workers), misses)))
