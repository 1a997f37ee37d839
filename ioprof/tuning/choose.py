"""Which setting to recommend, and which to measure next: pure functions of what is known so far."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ioprof.tuning.predictor import Forecast
from ioprof.tuning.setting import USUAL_PREFETCH, Setting
from ioprof.tuning.tunable import Interval, Measured

NEAR_RATIO = 0.98
"""A setting within 2 % of the best is as good as the best."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What is known of a setting: measured, or predicted."""

    setting: Setting
    samples_per_s: float
    interval: Interval
    """As far as it may be off; of no width where nobody can say."""
    is_measured: bool
    accelerator_utilization: float | None


Estimates = Mapping[Setting, Estimate]


def estimates(measured: Sequence[Measured], forecast: Forecast) -> dict[Setting, Estimate]:
    """Return what is known of every setting, ascending: its run, the mean of several, or else its prediction."""
    found: dict[Setting, Estimate] = {}
    for setting, one in forecast.predicted.items():
        rate = one.samples_per_s
        found[setting] = Estimate(
            setting=setting,
            samples_per_s=rate,
            interval=one.samples_per_s_ci95 or (rate, rate),
            is_measured=False,
            accelerator_utilization=one.accelerator_utilization,
        )
    for setting in {one.setting for one in measured}:
        runs = [one for one in measured if one.setting == setting and one.samples_per_s is not None]
        if runs:
            found[setting] = _mean(setting, runs)
    return dict(sorted(found.items()))


def _mean(setting: Setting, runs: Sequence[Measured]) -> Estimate:
    rates = [one.samples_per_s for one in runs if one.samples_per_s is not None]
    rate = sum(rates) / len(rates)
    known = [one.samples_per_s_ci95 for one in runs if one.samples_per_s_ci95 is not None]
    shares = [one.accelerator_utilization for one in runs if one.accelerator_utilization is not None]
    low = min((one[0] for one in known), default=min(rates))
    high = max((one[1] for one in known), default=max(rates))
    return Estimate(
        setting=setting,
        samples_per_s=rate,
        interval=(low, high),
        is_measured=True,
        accelerator_utilization=sum(shares) / len(shares) if len(shares) == len(runs) else None,
    )


def best(known: Estimates) -> Estimate:
    """Return the fastest of at least one; of equals, the smallest."""
    return max(
        known.values(), key=lambda one: (one.samples_per_s, [-one.setting.workers, -(one.setting.prefetch or 0)])
    )


def smallest_near_best(known: Estimates) -> Estimate:
    """Return the smallest setting within 2 % of the best."""
    enough = NEAR_RATIO * best(known).samples_per_s
    return next(known[setting] for setting in sorted(known) if known[setting].samples_per_s >= enough)


def only_measured(known: Estimates) -> dict[Setting, Estimate]:
    """Return what was measured."""
    return {setting: one for setting, one in known.items() if one.is_measured}


Why = Literal["first", "winner", "best", "smaller", "further-ahead", "less-ahead"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Next:
    """What to measure next, and what for."""

    setting: Setting
    why: Why


def first_settings(candidates: Sequence[Setting], cores: float) -> list[Setting]:
    """Return what is measured before anything can be predicted: as many workers as CPUs, at least two; then none."""
    with_workers = [one for one in candidates if one.workers]
    if not with_workers:
        return list(candidates[:1])
    wanted = max(2, int(cores))
    ahead = {one: one.prefetch or USUAL_PREFETCH for one in with_workers}
    first = min(with_workers, key=lambda one: (abs(one.workers - wanted), abs(ahead[one] - USUAL_PREFETCH), one))
    return [first, *candidates[:1]]


MOST_VAIN = 1
"""Times that what should be the best may turn out not to be: on a plateau there is always another."""
MOST_VAIN_WINNERS = 2
"""Times that what should win may turn out worse than what was run before: predictions that noise has spoilt promise
another each time, and what was run decides."""
HOPELESS_RATIO = 0.6
"""What is predicted to give less than this of the best, interval included, is not run to be compared."""


def next_setting(
    known: Estimates, candidates: Sequence[Setting], failed: Sequence[Setting], vain: int = 0, vain_winners: int = 0
) -> Next | None:
    """Return what to measure next; None: everything that matters is measured.

    The winner is measured, then the best, unless it could not make the winner's place disputable; then what is a little
    smaller than the winner, which must prove to be worse.

    Args:
        known: at least one setting that fits.
        candidates: all settings that fit, ascending.
        failed: those that failed when they were measured.
        vain: how often what should have been the best was measured, and was not.
        vain_winners: how often what should have won was measured, and was worse than what had been run.
    """
    if vain_winners >= MOST_VAIN_WINNERS:
        known = only_measured(known)
    winner, top = smallest_near_best(known), best(known)
    if not winner.is_measured:
        return Next(setting=winner.setting, why="winner")
    most = min(top.interval[1], _demand(winner))
    if vain < MOST_VAIN and not top.is_measured and NEAR_RATIO * most > winner.samples_per_s:
        return Next(setting=top.setting, why="best")
    enough = NEAR_RATIO * top.samples_per_s
    for one, why in _neighbours(winner.setting, candidates):
        estimate = known.get(one)
        if one in failed or (estimate is not None and estimate.is_measured):
            continue
        if why == "smaller" or estimate is None or estimate.interval[1] >= enough:
            return Next(setting=one, why=why)
    return None


def is_hopeless(known: Estimates, setting: Setting) -> bool:
    """Tell whether a setting is predicted to be so far below the best that a run of it would tell nothing."""
    one = known.get(setting)
    return one is not None and not one.is_measured and one.interval[1] < HOPELESS_RATIO * best(known).samples_per_s


def _demand(one: Estimate) -> float:
    """Return the rate at which the accelerator of a run would never be idle; infinite without one."""
    return one.samples_per_s / one.accelerator_utilization if one.accelerator_utilization else math.inf


def _neighbours(winner: Setting, candidates: Sequence[Setting]) -> list[tuple[Setting, Why]]:
    """Return what must be worse: the next fewer workers, as far ahead or further; as many workers, less ahead."""
    fewer = max((one.workers for one in candidates if one.workers < winner.workers), default=None)
    found: list[tuple[Setting, Why]] = []
    if fewer is not None:
        those = [one for one in candidates if one.workers == fewer]
        found += [(one, "smaller") for one in those if one.prefetch in (winner.prefetch, None)]
        found += [(one, "further-ahead") for one in those if (one.prefetch or 0) > (winner.prefetch or 0)][:1]
    if winner.prefetch is not None:
        less = [one for one in candidates if one.workers == winner.workers and (one.prefetch or 0) < winner.prefetch]
        found += [(one, "less-ahead") for one in less[-1:]]
    return found


def gain_of_one_more(known: Estimates, setting: Setting) -> float | None:
    """Return what one more worker would bring, as a ratio to the rate of ``setting``: 0.05 is 5 % more.

    Where the next count that is known lies further away, its gain is shared evenly between the workers up to it. None:
    nothing is known of more.
    """
    more = min((one.workers for one in known if one.workers > setting.workers), default=None)
    rate = known[setting].samples_per_s
    if more is None or rate <= 0:
        return None
    those = [one for one in known.values() if one.setting.workers == more]
    as_far = [one for one in those if one.setting.prefetch == setting.prefetch]
    most = max(one.samples_per_s for one in as_far or those)
    return (most / rate - 1) / (more - setting.workers)
