"""Runs side by side: how many times as much one side gives, with an interval, and which is better where that shows it.

A side is one run or several of the same thing. Of one run a side, the interval tells how far two runs like these would
scatter by what varies from step to step; what differs between whole runs is not in it. Of several, it is Student's t
over the runs' own rates, on their logarithms, and what differs between runs is in it: pair by pair where the sides
took turns (A B A B), else by Welch's rule.

Source: Welch, "The generalization of Student's problem", Biometrika 1947.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ioprof.analysis.bootstrap import StepTimes, rate_ratio_ci95, student_t
from ioprof.analysis.measured import measured_ranks, step_times
from ioprof.analysis.operations import totals_by_kind
from ioprof.analysis.summary import Summary
from ioprof.trace.histogram import BUCKETS, percentile_ns
from ioprof.trace.kinds import STORAGE_KINDS, Phase
from ioprof.trace.run_record import RunRecord
from ioprof.trace.trace import Trace

NOISE_RATIO = 0.02
"""A difference within so much is none that anybody should act on, whatever its interval."""
PERCENTILES = {"p50": 0.5, "p99": 0.99, "p999": 0.999}

Interval = tuple[float, float]
Histogram = NDArray[np.int64]
Basis = Literal["steps", "runs", "pairs", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedRun:
    """One run, as far as a comparison needs it."""

    name: str
    run: RunRecord
    summary: Summary
    times: StepTimes
    histograms: dict[str, Histogram]
    """Of every storage operation of the measured window, by kind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """What is held against another side: a run, or several of the same thing."""

    name: str
    runs: tuple[ComparedRun, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """A figure of two sides."""

    key: str
    first: float | None
    second: float | None
    ratio: float | None
    """Second over first; None: one of them is not known, or is 0."""
    ci95: Interval | None
    basis: Basis
    """What the interval rests on: the steps of one run a side, the runs of several, pairs of these, or nothing."""
    higher_is_better: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A side against the first one."""

    first: str
    second: str
    ratios: tuple[Ratio, ...]
    winner: str | None
    """The side that gives more samples/s; None: the interval or the noise band do not show it."""
    sentence: str


def compared_run(name: str, trace: Trace, summary: Summary) -> ComparedRun:
    """Return what a comparison needs of a run."""
    phases = (Phase.STEADY,) if summary.operations_phase == "steady" else tuple(Phase)
    totals = [one for one in totals_by_kind(trace.operations, phases) if one.kind in STORAGE_KINDS]
    return ComparedRun(
        name=name,
        run=trace.run,
        summary=summary,
        times=step_times(measured_ranks(trace.steps, trace.run, trace.checkpoints)),
        histograms={one.kind.label: one.buckets for one in totals if one.buckets.sum()},
    )


def compare(first: Side, second: Side, noise_ratio: float = NOISE_RATIO) -> Comparison:
    """Hold the second side against the first.

    Args:
        first: what ratios are told of; 1.0 is as much as it.
        second: the other one.
        noise_ratio: differences within so much have no winner.
    """
    ratios = [_rate(first, second)]
    ratios += [_figure(key, first, second, get, higher) for key, get, higher in _FIGURES]
    ratios += [one for kind in _kinds(first, second) for one in _latencies(kind, first, second)]
    known = tuple(one for one in ratios if one.first is not None or one.second is not None)
    winner = _winner(ratios[0], first, second, noise_ratio)
    return Comparison(
        first=first.name,
        second=second.name,
        ratios=known,
        winner=winner,
        sentence=_sentence(ratios[0], first, second, winner, noise_ratio),
    )


def _of_summary(get: Callable[[Summary], float | None]) -> Callable[[ComparedRun], float | None]:
    return lambda one: get(one.summary)


_FIGURES: tuple[tuple[str, Callable[[ComparedRun], float | None], bool], ...] = (
    ("accelerator_utilization", _of_summary(lambda one: one.accelerator_utilization), True),
    ("bandwidth_bytes_per_s", _of_summary(lambda one: one.bandwidth_bytes_per_s), True),
    ("iops", _of_summary(lambda one: one.iops), True),
    ("ceiling_samples_per_s", _of_summary(lambda one: one.ceiling_samples_per_s), True),
    ("first_batch_s", _of_summary(lambda one: one.first_batch_s), False),
)


def _rate(first: Side, second: Side) -> Ratio:
    """Return samples/s: of one run a side, the steps tell how well it is known."""
    found = _figure("samples_per_s", first, second, _of_summary(lambda one: one.samples_per_s), True)
    if found.basis != "none" or len(first.runs) > 1 or len(second.runs) > 1:
        return found
    interval = rate_ratio_ci95(second.runs[0].times, first.runs[0].times)
    return _with(found, interval, "none" if interval is None else "steps")


def _with(one: Ratio, interval: Interval | None, basis: Basis) -> Ratio:
    return Ratio(
        key=one.key, first=one.first, second=one.second, ratio=one.ratio, ci95=interval, basis=basis,
        higher_is_better=one.higher_is_better,
    )  # fmt: skip


def _figure(
    key: str, first: Side, second: Side, get: Callable[[ComparedRun], float | None], higher_is_better: bool
) -> Ratio:
    one, other = _values(first, get), _values(second, get)
    ends = [_middle(values) for values in (one, other)]
    ratio = ends[1] / ends[0] if ends[0] and ends[1] is not None else None
    interval, basis = _over_runs(one, other, _take_turns(first, second)) if ratio else (None, "none")
    return Ratio(
        key=key, first=ends[0], second=ends[1], ratio=ratio, ci95=interval, basis=basis,
        higher_is_better=higher_is_better,
    )  # fmt: skip


def _values(side: Side, get: Callable[[ComparedRun], float | None]) -> list[float]:
    return [value for one in side.runs if (value := get(one)) is not None]


def _middle(values: Sequence[float]) -> float | None:
    """Return the geometric mean, which ratios of means are ratios of; None: nothing is known."""
    if not values:
        return None
    return math.exp(math.fsum(map(math.log, values)) / len(values)) if min(values) > 0 else sum(values) / len(values)


def _take_turns(first: Side, second: Side) -> bool:
    """Tell whether runs of the two sides followed each other by turns: then what drifts meets both alike."""
    if len(first.runs) != len(second.runs) or len(first.runs) < 2:
        return False
    marked = [(one.run.started_utc, place) for place, side in enumerate((first, second)) for one in side.runs]
    order = [place for _, place in sorted(marked)]
    return all(order[at] != order[at + 1] for at in range(0, len(order), 2))


def _over_runs(one: Sequence[float], other: Sequence[float], by_turns: bool) -> tuple[Interval | None, Basis]:
    """Return the interval of the ratio by how runs of a side differ; none with a side of one run."""
    if min(len(one), len(other)) < 2 or min(*one, *other) <= 0:
        return None, "none"
    logs = [np.log(np.asarray(values, dtype=float)) for values in (one, other)]
    if by_turns and len(one) == len(other):
        gaps = logs[1] - logs[0]
        half = student_t(len(gaps) - 1) * float(gaps.std(ddof=1)) / math.sqrt(len(gaps))
        return _around(float(gaps.mean()), half), "pairs"
    spreads = [float(values.var(ddof=1)) / len(values) for values in logs]
    total = sum(spreads)
    middle = float(logs[1].mean() - logs[0].mean())
    if total == 0:
        return _around(middle, 0.0), "runs"
    freedom = total**2 / sum(
        spread**2 / (len(values) - 1) for spread, values in zip(spreads, logs, strict=True) if spread
    )
    return _around(middle, student_t(freedom) * math.sqrt(total)), "runs"


def _around(middle: float, half: float) -> Interval:
    return math.exp(middle - half), math.exp(middle + half)


def _kinds(first: Side, second: Side) -> list[str]:
    """Return the kinds of operations that both sides made, those that took most time first."""
    made = [{kind for one in side.runs for kind in one.histograms} for side in (first, second)]
    return sorted(made[0] & made[1], key=lambda kind: -int(merged(first, kind).sum()))


def merged(side: Side, kind: str) -> Histogram:
    """Return the latencies of one kind over all runs of a side: histograms add up, percentiles do not."""
    total = np.zeros(BUCKETS, np.int64)
    for one in side.runs:
        found = one.histograms.get(kind)
        if found is not None:
            total[: len(found)] += found
    return total


def _latencies(kind: str, first: Side, second: Side) -> list[Ratio]:
    by_turns = _take_turns(first, second)
    found = []
    for name, quantile in PERCENTILES.items():
        one, other = (_percentile(merged(side, kind), quantile) for side in (first, second))
        singles = [_percentiles_of_runs(side, kind, quantile) for side in (first, second)]
        interval, basis = _over_runs(singles[0], singles[1], by_turns)
        ratio = Ratio(
            key=f"operations.{kind}.latency_ns.{name}", first=one, second=other, ratio=other / one if one else None,
            ci95=interval, basis=basis, higher_is_better=False,
        )  # fmt: skip
        found.append(ratio)
    return found


def _percentile(histogram: Histogram, quantile: float) -> float:
    return percentile_ns(histogram, quantile, 0, 1 << 62)


def _percentiles_of_runs(side: Side, kind: str, quantile: float) -> list[float]:
    return [_percentile(one.histograms[kind], quantile) for one in side.runs if kind in one.histograms]


def _winner(rate: Ratio, first: Side, second: Side, noise_ratio: float) -> str | None:
    if rate.ratio is None or rate.ci95 is None or abs(math.log(rate.ratio)) <= math.log1p(noise_ratio):
        return None
    low, high = rate.ci95
    if low > 1.0:
        return second.name
    return first.name if high < 1.0 else None


def _sentence(rate: Ratio, first: Side, second: Side, winner: str | None, noise_ratio: float) -> str:
    if rate.ratio is None:
        return f"Samples/s of {first.name} and {second.name} cannot be compared: not both delivered any."
    told = f"{second.name} delivers {rate.ratio:.3f} x the samples/s of {first.name}"
    if rate.ci95 is None:
        return f"{told}; how well that is known cannot be said: too few steps, or one run on a side of several."
    told += f" (95 % interval {rate.ci95[0]:.3f} - {rate.ci95[1]:.3f})"
    if winner is not None:
        return f"{told}: {winner} is faster."
    if abs(math.log(rate.ratio)) <= math.log1p(noise_ratio):
        return f"{told}: no difference beyond {100 * noise_ratio:g} %, which nobody should act on."
    return f"{told}: the interval holds 1, so neither is shown to be faster."
