"""What a finished run would have delivered with something changed: its batches, played through the pipeline again."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ioprof.analysis.bootstrap import StepTimes, rate_ci95, utilization_ci95
from ioprof.analysis.ceiling import workers_of
from ioprof.analysis.measured import RankSteps
from ioprof.analysis.pipeline.applied import layout_of, load_of
from ioprof.analysis.pipeline.basis import Measured, Setting
from ioprof.analysis.pipeline.change import Change
from ioprof.analysis.pipeline.cpus import cores_of, cpu_beside_making_ns, other_load_of
from ioprof.analysis.pipeline.load import Layout, Load
from ioprof.analysis.pipeline.measured import shape_of
from ioprof.analysis.pipeline.notes import Notes, note_cpus, note_general
from ioprof.analysis.pipeline.recipe import held_ratio, measured_rank, recipe_of, storage_shares
from ioprof.analysis.pipeline.replay import Replayed, replay
from ioprof.analysis.pipeline.settled import settled
from ioprof.analysis.pipeline.store_curve import curve_of
from ioprof.analysis.pipeline.together import Anchor, change_between, check_alike, completed, corrected_ratio
from ioprof.analysis.pipeline.transport import transport_of
from ioprof.errors import RunError
from ioprof.trace.run_record import RunRecord
from ioprof.trace.trace import Trace

MODEL_ERROR_RATIO = 0.06
"""Taken as the model's own error, beside what varies from step to step: with it 63 of 71 reruns of the validation lie
inside (docs/predict.md). A host whose CPUs change their speed adds to it."""
_FEWEST_STEPS = 400
_MOST_EVENTS = 200_000
"""Of a replay, about: more change a rate less than a run's own spread."""
_TURNS = 20
"""Every worker makes at least so many batches for each one that it may be ahead."""

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What a run with something changed delivers, all ranks and hosts together."""

    samples_per_s: float
    samples_per_s_ci95: Interval | None
    """None: too few steps for one."""
    accelerator_utilization: float | None
    """Busy time over all time, 0.0 to 1.0; None: there is no accelerator."""
    accelerator_utilization_ci95: Interval | None
    idle_s_per_step: float
    """The accelerator without work, on average before each step."""
    busy_s_per_step: float
    steps: int
    """Steps that were replayed and counted."""
    setting: Setting
    assumptions: tuple[str, ...]
    outside: tuple[str, ...]
    """What lies beyond what was measured: there the interval does not hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """What the run delivered, all ranks together."""

    samples_per_s: float
    accelerator_utilization: float | None
    """None: there was no accelerator."""
    idle_s_per_step: float
    steps: int
    """Measured steps of one rank."""


class PipelineModel:
    """One run, or several of the same workload, ready to be replayed.

    Attributes:
        setting: as it was measured.
        delivered: what was measured.
    """

    def __init__(self, measured: Measured, delivered: Delivered, anchors: Sequence[Anchor] = ()) -> None:
        """Use `of`."""
        self._measured = measured
        self._anchors = tuple(anchors)
        self.setting = measured.setting
        self.delivered = delivered

    @classmethod
    def of(cls, trace: Trace, *more: Trace) -> PipelineModel:
        """Return the model of a run.

        Args:
            trace: the run to be replayed.
            more: other runs of the same workload, which tell what the first cannot.

        Raises:
            RunError: it has nothing to replay: no batches, too few steps, or a loader that does not say when it
                made them.
        """
        measured, delivered = _measured(trace)
        if not more:
            return cls(measured, delivered, [cls(measured, delivered)._anchor(measured, delivered)])
        for other in more:
            check_alike(trace.run, other.run)
        others = [_measured(other) for other in more]
        alone = cls(completed(measured, [one for one, _ in others]), delivered)
        runs = [(measured, delivered), *others]
        return cls(alone._measured, delivered, [alone._anchor(one, gave) for one, gave in runs])

    def _anchor(self, other: Measured, gave: Delivered) -> Anchor:
        found = self.predict(change_between(self._measured, other))
        return Anchor(workers=other.setting.workers, ratio=gave.samples_per_s / found.samples_per_s)

    def predict(self, change: Change, most_events: int = _MOST_EVENTS) -> Prediction:
        """Return what the run would deliver with a change.

        Args:
            change: what is different.
            most_events: how long the replay may be, about: half as many take half the time.

        Raises:
            RunError: the run cannot tell what is asked.
        """
        measured, notes = self._measured, Notes()
        setting = self.setting.changed(change)
        layout = layout_of(measured, setting, change, notes)
        load = _long_enough(load_of(measured, setting, change, notes), layout, most_events)
        note_general(measured, setting, notes)
        if len(self._anchors) > 1:
            notes.assume(f"It is put right by what {len(self._anchors)} runs delivered, between their worker counts.")
        counted = _counted(replay(load, layout), layout)
        step_ns = float((counted.busy_ns + counted.idle_ns).mean())
        note_cpus(load.computed_ns, step_ns, setting, notes)
        return self._prediction(counted, setting, change, notes)

    def _prediction(self, counted: _Counted, setting: Setting, change: Change, notes: Notes) -> Prediction:
        ranks = setting.ranks_per_host * setting.hosts
        times = StepTimes(samples=counted.samples, step_ns=counted.busy_ns + counted.idle_ns)
        total_ns = float(times.step_ns.sum())
        if total_ns <= 0:
            raise RunError("nothing in this run takes any time after this change, so it has no rate")
        busy_ns = float(counted.busy_ns.sum())
        # No correction makes the accelerator faster than it is.
        # Another ceiling is met elsewhere: what the replay misses of this one says nothing of it.
        is_same = change.store_bandwidth_factor is None and change.store_iops_factor is None
        wanted = corrected_ratio(self._anchors, setting) if is_same else 1.0
        right = min(wanted, total_ns / busy_ns if busy_ns else math.inf)
        rate = float(counted.samples.sum()) / total_ns * 1e9 * right
        spread = _times(rate_ci95(times), right)
        is_used = busy_ns > 0
        utilization = min(1.0, busy_ns / total_ns * right) if is_used else None
        bounds = _times(utilization_ci95(counted.busy_ns, counted.idle_ns), right) if is_used else None
        return Prediction(
            samples_per_s=rate * ranks,
            samples_per_s_ci95=_widened(rate, spread, ranks, math.inf),
            accelerator_utilization=utilization,
            accelerator_utilization_ci95=_widened(utilization or 0.0, bounds, 1, 1.0),
            idle_s_per_step=max(0.0, total_ns / right - busy_ns) / len(counted.samples) / 1e9,
            busy_s_per_step=float(counted.busy_ns.mean()) / 1e9,
            steps=len(counted.samples),
            setting=setting,
            assumptions=tuple(notes.assumptions),
            outside=tuple(notes.outside),
        )


def _measured(trace: Trace) -> tuple[Measured, Delivered]:
    _check(trace.run)
    rank = measured_rank(trace)
    recipe = recipe_of(trace, rank)
    setting = _setting(trace.run)
    making_ns = float(recipe.worker_cpu_ns.mean())
    beside_ns = cpu_beside_making_ns(trace, rank, making_ns)
    measured = Measured(
        recipe=recipe,
        transport=transport_of(trace, rank, setting.workers, setting.prefetch, beside_ns),
        shares=storage_shares(trace),
        curve=curve_of(trace.probe),
        setting=setting,
        asked_busy_ns=trace.run.accelerator.busy_ns_per_batch,
        is_busy_drawn=trace.run.accelerator.source.startswith("drawn"),
        other_load=other_load_of(trace, rank),
        held_ratio=held_ratio(trace),
    )
    return settled(measured), _delivered(rank, trace.run)


def _check(run: RunRecord) -> None:
    if not run.workload.reads_storage:
        raise RunError(
            f"the loader {run.loader} delivers prepared batches and makes none, so there is nothing to replay; "
            "predict from a run with another loader"
        )
    if run.accelerator.is_measured and shape_of(run) is None:
        raise RunError(
            f"what makes the batches of {run.loader} cannot be seen from outside, so there is nothing to replay; "
            "predict from a run with a torch DataLoader"
        )


def _setting(run: RunRecord) -> Setting:
    loader = run.spec.get("loader", {})
    prefetch = loader.get("prefetch")
    return Setting(
        workers=workers_of(run),
        prefetch=prefetch if isinstance(prefetch, int) and prefetch > 0 else 1,
        batch_size=run.batch_size or 1,
        in_order=loader.get("in_order") is not False,
        pin=loader.get("pin") is True,
        cores=cores_of(run),
        ranks_per_host=max(1, run.accelerator.count),
        hosts=1,
    )


def _delivered(rank: RankSteps, run: RunRecord) -> Delivered:
    busy_ns, idle_ns = int(rank.busy_ns.sum()), int(rank.idle_ns.sum())
    if busy_ns + idle_ns <= 0:
        raise RunError("the measured steps took no time, so there is nothing to replay")
    has_accelerator = run.accelerator.busy_ns_per_batch is not None
    return Delivered(
        samples_per_s=float(rank.samples[rank.first :].sum()) / (busy_ns + idle_ns) * 1e9 * run.accelerator.count,
        accelerator_utilization=busy_ns / (busy_ns + idle_ns) if has_accelerator else None,
        idle_s_per_step=idle_ns / rank.measured / 1e9,
        steps=rank.measured,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Counted:
    samples: np.ndarray[tuple[int], np.dtype[np.int64]]
    busy_ns: np.ndarray[tuple[int], np.dtype[np.int64]]
    idle_ns: np.ndarray[tuple[int], np.dtype[np.int64]]


def _counted(steps: Replayed, layout: Layout) -> _Counted:
    """Return the steps between the filling of the pipeline and its running dry."""
    ahead = min(max(1, layout.workers * layout.prefetch), len(steps.samples) // 4)
    inside = slice(ahead, len(steps.samples) - ahead + 1)
    before = steps.busy_end_ns[ahead - 1 : len(steps.samples) - ahead]
    end, start = steps.busy_end_ns[inside], steps.busy_start_ns[inside]
    return _Counted(
        samples=steps.samples[inside],
        busy_ns=np.rint(end - start).astype(np.int64),
        idle_ns=np.rint(np.clip(start - before, 0, None)).astype(np.int64),
    )


def _long_enough(load: Load, layout: Layout, most_events: int) -> Load:
    """Return the batches as often as it takes to fill the pipeline many times, but not more than is replayed soon."""
    most = max(_FEWEST_STEPS, layout.batches_of(most_events))
    wanted = min(most, max(_FEWEST_STEPS, _TURNS * layout.workers * layout.prefetch, len(load)))
    repeated = {name: np.resize(getattr(load, name), wanted) for name in load.__dataclass_fields__}
    repeated["opens"][len(load) :: len(load)] = False
    return Load(**repeated)


def _times(interval: Interval | None, factor: float) -> Interval | None:
    return None if interval is None else (interval[0] * factor, interval[1] * factor)


def _widened(value: float, interval: Interval | None, ranks: int, most: float) -> Interval | None:
    """Return an interval with the model's own error added, as squares."""
    if interval is None:
        return None
    error = value * MODEL_ERROR_RATIO
    low, high = (math.hypot(bound - value, error) for bound in interval)
    return max(0.0, value - low) * ranks, min(most, (value + high) * ranks)
