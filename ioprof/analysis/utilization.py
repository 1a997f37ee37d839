"""How fast batches came and how well they fed the accelerator, over the measured window."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ioprof.analysis.attribution import attribute_idle
from ioprof.analysis.bootstrap import MIN_STEPS, rate_ci95, utilization_ci95
from ioprof.analysis.idle_causes import IdleByCause, IdleSpent
from ioprof.analysis.idle_if_free import idle_if_free
from ioprof.analysis.measured import RankSteps, step_times
from ioprof.analysis.mlperf import MlperfRates
from ioprof.analysis.pipeline.span_times import SpanTimes
from ioprof.analysis.reasons import Reasons
from ioprof.trace.run_record import RunRecord
from ioprof.trace.trace import Trace

NO_ACCELERATOR = "the accelerator is `none`, which takes batches as they come; there are only rates"


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What was done in the measured window; fields as in `ioprof.analysis.summary.Summary`."""

    samples: int
    steps: int
    warmup_steps: int
    epochs: int
    wall_s: float | None
    first_batch_s: float | None
    samples_per_s: float | None
    samples_per_s_ci95: tuple[float, float] | None
    demand_samples_per_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Utilization:
    """How busy the accelerator was; fields as in `ioprof.analysis.summary.Summary`."""

    accelerator_utilization: float | None
    accelerator_utilization_ci95: tuple[float, float] | None
    mlperf_au: float | None
    busy_s: float | None
    idle_s: float | None
    idle_by_cause: IdleByCause | None
    idle_by_cause_spent: dict[str, IdleSpent | None] | None
    idle_if_free: dict[str, float] | None


def nothing_measured(ranks: list[RankSteps]) -> str:
    """Return why there are no measured steps."""
    dropped = sum(rank.first for rank in ranks)
    return f"all {dropped} steps were warm-up" if dropped else "no step was made"


def no_interval(steps: int) -> str:
    """Return why so few steps have no interval."""
    return f"{steps} measured steps; an interval needs {MIN_STEPS}"


def progress(run: RunRecord, ranks: list[RankSteps], reasons: Reasons) -> Progress:
    """Return counts and rates.

    The window of a run is its longest over the ranks. Samples/s is what reached the accelerators in it;
    batches made ahead during warm-up count when they are used. Demand is samples per measured step / asked
    busy time per batch x accelerators: batches may hold fewer samples than asked for.
    """
    samples = sum(int(rank.samples[rank.first :].sum()) for rank in ranks)
    steps = sum(rank.measured for rank in ranks)
    window_ns = max((rank.window_ns for rank in ranks), default=0)
    none = nothing_measured(ranks) if steps == 0 else "the measured steps took no time"
    times = step_times(ranks)
    interval = rate_ci95(times) if window_ns else None
    wall_s = reasons.known("wall_s", window_ns / 1e9 if steps else None, none)
    return Progress(
        samples=samples,
        steps=steps,
        warmup_steps=sum(rank.first for rank in ranks),
        epochs=len({epoch for rank in ranks for epoch in np.unique(rank.epoch[rank.first :]).tolist()}),
        wall_s=wall_s,
        first_batch_s=reasons.number("first_batch_s", _first_batch_s(run, ranks)),
        samples_per_s=reasons.known("samples_per_s", samples / wall_s if wall_s else None, none),
        samples_per_s_ci95=reasons.known(
            "samples_per_s_ci95", interval, no_interval(len(times.step_ns)) if window_ns else none
        ),
        demand_samples_per_s=reasons.number("demand_samples_per_s", _demand(run, ranks, samples, steps)),
    )


def _first_batch_s(run: RunRecord, ranks: list[RankSteps]) -> float | str:
    if not ranks:
        return "no batch was received"
    if run.run_start_ns is None:
        return "the run's start was not recorded"
    return max(int(rank.wait_end_ns[0]) - run.run_start_ns for rank in ranks) / 1e9


def _demand(run: RunRecord, ranks: list[RankSteps], samples: int, steps: int) -> float | str:
    busy_ns = run.accelerator.busy_ns_per_batch
    if busy_ns is None:
        return NO_ACCELERATOR
    if busy_ns <= 0:
        return "a busy time of 0 per batch has no finite demand"
    if steps == 0:
        return nothing_measured(ranks)
    return samples / steps / (busy_ns / 1e9) * run.accelerator.count


def utilization(
    trace: Trace, ranks: list[RankSteps], times: SpanTimes, theirs: MlperfRates | str, reasons: Reasons
) -> Utilization:
    """Return busy / (busy + idle) summed over ranks, its interval, and where the idle time went.

    Args:
        trace: the run.
        ranks: the steps of every rank.
        times: all spans have passed it.
        theirs: the rates by MLPerf Storage's formulas.
        reasons: takes in why something is None.
    """
    why = _no_utilization(trace.run, ranks)
    if why is not None:
        reasons.by_key.update(dict.fromkeys(Utilization.__dataclass_fields__, why))
        return Utilization(**dict.fromkeys(Utilization.__dataclass_fields__))
    busy_ns, idle_ns = (_by_step(ranks, name) for name in ("busy_ns", "idle_ns"))
    interval = utilization_ci95(busy_ns, idle_ns)
    charged = attribute_idle(ranks, trace, times)
    causes = charged.idle_by_cause(reasons)
    return Utilization(
        accelerator_utilization=float(busy_ns.sum() / (busy_ns.sum() + idle_ns.sum())),
        accelerator_utilization_ci95=reasons.known(
            "accelerator_utilization_ci95",
            interval,
            no_interval(len(busy_ns)),
        ),
        mlperf_au=reasons.number("mlperf_au", theirs if isinstance(theirs, str) else theirs.au),
        busy_s=float(busy_ns.sum() / 1e9),
        idle_s=float(idle_ns.sum() / 1e9),
        idle_by_cause=causes,
        idle_by_cause_spent=charged.idle_spent(reasons),
        idle_if_free=idle_if_free(ranks, trace, times, causes, reasons),
    )


def _no_utilization(run: RunRecord, ranks: list[RankSteps]) -> str | None:
    if run.accelerator.busy_ns_per_batch is None:
        return NO_ACCELERATOR
    if sum(rank.measured for rank in ranks) == 0:
        return nothing_measured(ranks)
    return "the measured steps took no time" if sum(rank.window_ns for rank in ranks) == 0 else None


def _by_step(ranks: list[RankSteps], name: str) -> NDArray[np.int64]:
    """Return a duration per measured step, summed over the ranks: they march together."""
    sums = np.zeros(max(rank.measured for rank in ranks), np.int64)
    for rank in ranks:
        sums[: rank.measured] += getattr(rank, name)[rank.first :]
    return sums


def made_before_window(ranks: list[RankSteps], batches: pa.Table) -> int:
    """Return how many measured batches were ready before their rank's window opened."""
    ranks = [rank for rank in ranks if rank.measured]
    made_ns = batches["collate_end_ns"].fill_null(-1).to_numpy()
    count = 0
    for rank in ranks:
        of_rank = (batches["rank"].to_numpy() == rank.rank) & (made_ns >= 0)
        early = of_rank & (made_ns < rank.opened_ns[rank.first])
        count += int(np.isin(rank.batch[rank.first :], batches["batch"].to_numpy()[early]).sum())
    return count
