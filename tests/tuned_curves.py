"""Loaders whose rate is known for every setting, for tests of the search: the truth that a run would measure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ioprof.tuning.choose import Next
from ioprof.tuning.limits import Limits, Needs, Room
from ioprof.tuning.predictor import Forecast, Predicted, Predictor
from ioprof.tuning.search import Search, Task
from ioprof.tuning.setting import PREFETCHES, Setting, settings, worker_counts
from ioprof.tuning.tunable import Judged, Measured

Rate = Callable[[Setting], float]
ROOM = Room(
    cores=4.0,
    cores_told="4 CPUs by affinity",
    memory_bytes=8 << 30,
    shm_bytes=4 << 30,
    open_files=4096,
    open_files_now=20,
)


def limits(most_workers: int = 32, room: Room = ROOM, needs: Needs | None = None) -> Limits:
    """Return limits of a host with plenty of everything."""
    return Limits(
        room=room, needs=needs or Needs(batch_bytes=1 << 20, worker_bytes=32 << 20), most_workers=most_workers
    )


def all_settings(most_workers: int = 32) -> tuple[Setting, ...]:
    """Return every setting up to a worker count."""
    return tuple(settings(worker_counts(0, most_workers), PREFETCHES))


@dataclass
class Curve:
    """Something tunable with a known rate."""

    rate: Rate
    fails: Callable[[Setting], bool] = lambda _: False
    runs: list[Setting] = field(default_factory=list)

    def measure(self, setting: Setting) -> Measured:
        """Give the true rate."""
        self.runs.append(setting)
        if self.fails(setting):
            return Measured(
                setting=setting, samples_per_s=None, seconds=1.0, problem="a worker was killed by SIGBUS", fits=False
            )
        return Measured(setting=setting, samples_per_s=self.rate(setting), seconds=1.0)

    def judge(self, measured: Measured) -> Judged:
        """Say the same of every run."""
        return Judged(bound="storage-latency", sentence="The store gives no more.")


@dataclass
class Oracle:
    """A predictor that is off by a factor which it does not know."""

    rate: Rate
    error: Callable[[Setting], float] = lambda _: 1.0
    spread: float = 0.01

    def forecast(self, measured: Sequence[Measured], settings: Sequence[Setting]) -> Forecast:
        """Predict every setting."""
        rates = {one: self.rate(one) * self.error(one) for one in settings}
        predicted = {
            one: Predicted(samples_per_s=rate, samples_per_s_ci95=(rate * (1 - self.spread), rate * (1 + self.spread)))
            for one, rate in rates.items()
        }
        return Forecast(by="an oracle", predicted=predicted)


class Heard:
    """Listens, and keeps what it heard."""

    def __init__(self) -> None:
        self.steps: list[Next] = []

    def begins(self, step: Next, predicted: Predicted | None) -> None:
        """Keep it."""
        self.steps.append(step)

    def predicts(self, settings: int) -> None:
        """Every run is followed by predictions."""
        assert settings

    def ended(self, step: Next, measured: Measured, predicted: Predicted | None) -> None:
        """Every end belongs to the latest beginning."""
        assert self.steps[-1] == step


def searched(tunable: Curve, predictor: Predictor, *, most_workers: int = 32, budget_s: float = 1000.0) -> Search:
    """Return a search that has ended."""
    task = Task(
        tunable=tunable,
        predictor=predictor,
        settings=all_settings(2 * most_workers),
        limits=limits(most_workers),
        budget_s=budget_s,
    )
    search = Search(task, Heard())
    search.run()
    return search


def saturating(of_one: float, most: float, *, slowed: float = 0.0, without: float = 1.0) -> Rate:
    """Return a curve that rises with the workers, bends at ``most`` and falls by ``slowed`` per worker beyond."""

    def rate(setting: Setting) -> float:
        if setting.workers == 0:
            return of_one * without
        ahead = 1 - 0.3 / (setting.prefetch or 1) ** 2
        linear = of_one * setting.workers * ahead
        bent = (linear**-4 + most**-4) ** -0.25
        return bent * (1 - slowed) ** max(0.0, setting.workers - most / of_one)

    return rate
