"""The loop: measure, predict, choose, verify; until what is left could not change the answer, or enough was spent."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from ioprof.errors import RunError
from ioprof.tuning.choose import (
    NEAR_RATIO,
    Estimate,
    Next,
    best,
    estimates,
    first_settings,
    is_hopeless,
    next_setting,
    only_measured,
    smallest_near_best,
)
from ioprof.tuning.limits import Limits
from ioprof.tuning.predictor import Forecast, Predicted, Predictor
from ioprof.tuning.setting import Setting
from ioprof.tuning.tunable import Measured, Tunable

REACH = 8
"""No prediction is trusted, nor a run risked, for more than so many times the most workers that were tried."""
GIVES_UP_AFTER = 2
"""Settings that fail one after another, before any was measured: it is not the settings."""
MOST_RUNS_RATIO = 0.25
"""Of the settings that fit, at most so many are run: more, and trying everything would be as good a way."""
FEWEST_RUNS = 8
"""So many are run even of few settings: the first two, the winner, and what is around it."""


class Listener(Protocol):
    """Told how a search goes on."""

    def begins(self, step: Next, predicted: Predicted | None) -> None:
        """A run begins; ``predicted`` is what it should give."""
        ...

    def predicts(self, settings: int) -> None:
        """The run has ended, and so many settings are predicted anew."""
        ...

    def ended(self, step: Next, measured: Measured, predicted: Predicted | None) -> None:
        """A run has ended, and what it tells of others is known."""
        ...


class Unheard:
    """Tells nobody."""

    def begins(self, step: Next, predicted: Predicted | None) -> None:
        """Ignore it."""

    def predicts(self, settings: int) -> None:
        """Ignore it."""

    def ended(self, step: Next, measured: Measured, predicted: Predicted | None) -> None:
        """Ignore it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What to search."""

    tunable: Tunable
    """What is run."""
    predictor: Predictor
    """What says how settings would do that were not run."""
    settings: tuple[Setting, ...]
    """What may be recommended if it fits, ascending; some that do not fit tell what a limit costs."""
    limits: Limits
    """What fits this host."""
    budget_s: float
    """Time that runs and the predictions between them may take together; the winner is run also beyond it."""
    remarks: Callable[[], Sequence[str]] = tuple
    """Asked at the end what a reader must know of the runs."""


class Search:
    """Looks for the smallest setting that is within 2 % of the best."""

    def __init__(self, task: Task, listener: Listener) -> None:
        """Say what to search, and who is told."""
        self._task, self._listener = task, listener
        self.limits = task.limits
        """What fits, by what runs have shown of batches and workers."""
        self.measured: list[Measured] = []
        self.forecast = Forecast(by="nothing")
        self._vain_bests = self._vain_winners = 0
        self.predicting_s = 0.0
        """Time that predictions have taken."""
        self.unmeasured: Next | None = None
        """What would have been measured next when time or runs were used up; None: nothing that matters was left."""
        self.most_runs = max(FEWEST_RUNS, int(MOST_RUNS_RATIO * len(self.candidates())))
        """Runs that it may take, whatever the budget."""

    @property
    def spent_s(self) -> float:
        """Time that runs, and the predictions between them, have taken."""
        return sum(one.seconds for one in self.measured) + self.predicting_s

    @property
    def failed(self) -> list[Setting]:
        """Settings that failed."""
        return [one.setting for one in self.measured if one.samples_per_s is None]

    def candidates(self) -> list[Setting]:
        """Return what fits, is not beyond a setting that failed, and is within reach of what was measured."""
        reach = REACH * max((one.setting.workers for one in self.measured), default=self._task.limits.most_workers)
        return [
            one
            for one in self._task.settings
            if one.workers <= max(reach, REACH)
            and self.limits.refusal(one) is None
            and not any(_beyond(one, run.setting) for run in self.measured if not run.fits)
        ]

    def known(self) -> dict[Setting, Estimate]:
        """Return what is known of the candidates, ascending."""
        wanted = set(self.candidates())
        found = estimates(self.measured, self.forecast)
        return {setting: one for setting, one in found.items() if setting in wanted or one.is_measured}

    def run(self) -> None:
        """Search; afterwards `measured`, `forecast` and `known` hold what was found.

        Raises:
            RunError: nothing fits, or no setting could be measured.
            Interrupted: a signal ended it; what was measured stands in `measured`.
        """
        self._first()
        while (step := self._next()) is not None:
            if not self._affords(step) or not self.has_runs_left(step):
                self.unmeasured = step
                return
            self._measure(step)

    def _next(self) -> Next | None:
        return next_setting(self.known(), self.candidates(), self.failed, self._vain_bests, self._vain_winners)

    def _first(self) -> None:
        while not only_measured(self.known()):
            left = [one for one in self.candidates() if one not in self.failed]
            if not left or len(self.failed) >= GIVES_UP_AFTER:
                raise RunError(self._why_nothing())
            self._measure(Next(setting=first_settings(left, self.limits.room.cores)[0], why="first"))
        for one in first_settings(self.candidates(), self.limits.room.cores):
            if one not in (run.setting for run in self.measured) and not is_hopeless(self.known(), one):
                self._measure(Next(setting=one, why="first"))

    def _why_nothing(self) -> str:
        if not self.measured:
            smallest = min(self._task.settings)
            return f"no setting fits this host: {smallest.told} does not, by {self.limits.refusal(smallest)}"
        told = "; ".join(f"{one.setting.told}: {one.problem}" for one in self.measured)
        return f"no setting could be measured: {told}"

    def _affords(self, step: Next) -> bool:
        """Tell whether a run fits the budget; one is kept back for the winner, who must have been run."""
        longest_s = (
            max(one.seconds for one in self.measured[1:]) if len(self.measured) > 1 else self.measured[0].seconds
        )
        left_s = self._task.budget_s - self.spent_s
        return left_s >= longest_s if step.why == "winner" else left_s >= 2 * longest_s

    def has_runs_left(self, step: Next) -> bool:
        """Tell whether one more run is allowed; one is kept back for the winner, as of the budget."""
        return self.most_runs - len(self.measured) >= (1 if step.why == "winner" else 2)

    def _measure(self, step: Next) -> None:
        predicted = self.forecast.predicted.get(step.setting)
        self._listener.begins(step, predicted)
        before = max((one.samples_per_s or 0.0 for one in self.measured), default=0.0)
        found = self._task.tunable.measure(step.setting)
        rate = found.samples_per_s or 0.0
        self._vain_bests += step.why == "best" and NEAR_RATIO * rate <= before
        self._vain_winners += step.why == "winner" and rate < NEAR_RATIO * before
        self.measured.append(found)
        self._learn(found)
        self._listener.ended(step, found, predicted)

    def _learn(self, found: Measured) -> None:
        """Take over what a run has shown of the loader's needs, and predict anew."""
        needs = self.limits.needs
        sizes = [one for one in (needs.batch_bytes, found.batch_bytes) if one is not None]
        owned = [one for one in (needs.worker_bytes, found.worker_bytes) if one is not None]
        needs = replace(needs, batch_bytes=max(sizes, default=None), worker_bytes=max(owned, default=None))
        self.limits = replace(self.limits, needs=needs)
        succeeded = [one for one in self.measured if one.samples_per_s is not None]
        if succeeded:
            wanted, start_s = self.candidates(), time.monotonic()
            self._listener.predicts(len(wanted))
            self.forecast = self._task.predictor.forecast(succeeded, wanted)
            self.predicting_s += time.monotonic() - start_s


def _beyond(one: Setting, failed: Setting) -> bool:
    return one.workers >= failed.workers > 0 and one.in_flight >= failed.in_flight


def choice(known: dict[Setting, Estimate]) -> tuple[Estimate, float] | None:
    """Return the recommendation, always a measured setting, and its rate over the best that is known or predicted.

    None: nothing was measured. A prediction that was not put to the test lifts the bar, but cannot win.
    """
    runs = only_measured(known)
    if not runs:
        return None
    top = best(known)
    enough = NEAR_RATIO * top.samples_per_s
    near = [one for setting, one in sorted(runs.items()) if one.samples_per_s >= enough]
    winner = near[0] if near else smallest_near_best(runs)
    return winner, winner.samples_per_s / top.samples_per_s if top.samples_per_s else 1.0
