"""Whether a run was long enough and steady enough for what its figures claim."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ioprof.analysis.bootstrap import MIN_STEPS, StepTimes, rate_ratio_ci95
from ioprof.analysis.machine import machine_changes, speed_ratio
from ioprof.analysis.measured import RankSteps, finds_warmup, ranks_after, step_times
from ioprof.analysis.reasons import Reasons
from ioprof.analysis.start_up import LEAST_STEPS, start_up_steps
from ioprof.analysis.wording import percent, whole_percent
from ioprof.trace.trace import Trace
from ioprof.units import format_count

WIDE = 0.05
"""A rate whose interval reaches further than this share to either side is told to be known badly."""
DRIFT = 0.05
"""Halves of a run whose rates differ by more than this share are no steady state..."""
SURE_DRIFT = 0.02
"""... and told to be none where the interval of their ratio leaves out all that is nearer to 1 than this."""
START_UP_BIAS = 0.02
"""A start-up that stayed in the figures is told where it moves the rate by more than this share."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Steadiness:
    """How steady the steps of a run were, those of the warm-up included."""

    start_up_steps: int | None
    """So many first steps are unlike the rest; None: too few steps to tell, or no steady part follows."""
    samples_per_s: float | None
    """Without the warm-up and without those steps: what a longer run would come to."""
    drift_ratio: float | None
    """Samples/s in the second half of the steps that are left over those in the first."""
    drift_ratio_ci95: tuple[float, float] | None
    speed_ratio: float | None
    """Speed of one of the host's CPUs after the run over that before it, by a short loop of arithmetic."""


def steadiness(trace: Trace, ranks: list[RankSteps], reasons: Reasons) -> Steadiness:
    """Return how steady a run was.

    Args:
        trace: the run.
        ranks: its measured steps.
        reasons: takes in why a figure is missing.
    """
    all_ns = step_times(ranks_after(0, trace.steps, trace.run, trace.checkpoints)).step_ns
    start_up = start_up_steps(all_ns)
    if start_up is not None and ranks and start_up > ranks[0].first:
        ranks = ranks_after(start_up, trace.steps, trace.run, trace.checkpoints)
    steps = step_times(ranks)
    rate = _samples_per_s(steps)
    half = len(steps.step_ns) // 2
    first, second = _part(steps, 0, half), _part(steps, half, len(steps.step_ns))
    interval = rate_ratio_ci95(second, first)
    rates = _samples_per_s(first), _samples_per_s(second)
    drift = rates[1] / rates[0] if interval is not None and rates[0] and rates[1] is not None else None
    too_few = f"fewer than {LEAST_STEPS} steps" if len(all_ns) < LEAST_STEPS else "no steady part follows it"
    no_halves = f"each half has {half} steps, and {MIN_STEPS} that took time are needed"
    return Steadiness(
        start_up_steps=reasons.known("steady.start_up_steps", start_up, too_few),
        samples_per_s=reasons.known("steady.samples_per_s", rate, "no measured step took any time"),
        drift_ratio=reasons.known("steady.drift_ratio", drift, no_halves),
        drift_ratio_ci95=reasons.known("steady.drift_ratio_ci95", interval, no_halves),
        speed_ratio=reasons.known("steady.speed_ratio", speed_ratio(trace.run), "the CPU was not timed at both ends"),
    )


def _part(steps: StepTimes, low: int, high: int) -> StepTimes:
    return StepTimes(samples=steps.samples[low:high], step_ns=steps.step_ns[low:high])


def _samples_per_s(steps: StepTimes) -> float | None:
    total_ns = int(steps.step_ns.sum())
    return int(steps.samples.sum()) / (total_ns / 1e9) if total_ns > 0 else None


def unsteady(
    trace: Trace, ranks: list[RankSteps], found: Steadiness, rate: float | None, interval: tuple[float, float] | None
) -> tuple[str, ...]:
    """Return what a reader must know: start-up in the figures, a rate that drifts, an interval too wide.

    Args:
        trace: the run.
        ranks: its measured steps.
        found: how steady it was.
        rate: its samples/s, and
        interval: their 95 % interval.
    """
    if not rate:
        return tuple(machine_changes(trace))
    step_count = len(step_times(ranks).step_ns)
    return (
        *machine_changes(trace),
        *_start_up(trace, ranks, found, rate),
        *(list(_drift(found)) or _wide(step_count, rate, interval)),
    )


def _start_up(trace: Trace, ranks: list[RankSteps], found: Steadiness, rate: float) -> Iterator[str]:
    asked, dropped, start_up = trace.run.warmup_steps, ranks[0].first, found.start_up_steps
    if finds_warmup(trace.run) and dropped > asked:
        yield (
            f"The first {dropped:,} steps were start-up and are left out of rates and utilisation; operations and "
            f"workers' time are counted from step {asked} on, as the workers could not know."
        )
    elif start_up is not None and start_up > dropped and found.samples_per_s:
        bias = found.samples_per_s / rate - 1
        if abs(bias) > START_UP_BIAS:
            yield (
                f"The first {start_up:,} steps were start-up, and only {dropped} were left out: without them it is "
                f"{format_count(found.samples_per_s)} samples/s, not {format_count(rate)}. "
                f"Use --warmup {start_up} or --warmup auto."
            )


def _drift(found: Steadiness) -> Iterator[str]:
    ratio, interval = found.drift_ratio, found.drift_ratio_ci95
    if ratio is None or interval is None or abs(ratio - 1) <= DRIFT:
        return
    if interval[0] <= 1 + SURE_DRIFT and interval[1] >= 1 - SURE_DRIFT:
        return
    low, high = sorted(abs(100 * (bound - 1)) for bound in interval)
    of_what = "steps after the start-up" if found.start_up_steps else "run"
    yield (
        f"No steady state: the second half of the {of_what} was {whole_percent(abs(ratio - 1))} "
        f"{'faster' if ratio > 1 else 'slower'} than the first (95 % CI {low:.0f} - {high:.0f}), so a longer run would "
        "give other figures. Run longer, and with nothing else at work on this host or its store."
    )


def _wide(steps: int, rate: float, interval: tuple[float, float] | None) -> Iterator[str]:
    if interval is None:
        return
    half = (interval[1] - interval[0]) / 2 / rate
    if half > WIDE:
        # An interval narrows with the square root of the steps; a few more than that, so that it gets below.
        needed = f"{float(f'{1.1 * steps * (half / WIDE) ** 2:.2g}'):,.0f}"
        yield (
            f"Samples/s are known to ± {percent(half)} only: {steps:,} steps are too few for how much they differ. "
            f"About {needed} would make it {whole_percent(WIDE)}."
        )
