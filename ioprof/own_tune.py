"""`ioprof.tune(make_loader)`: the smallest setting of a user's own loader that feeds the user's own training step."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self, TypeVar

from rich.console import Console

from ioprof import __version__
from ioprof.compound.json_file import make_directory
from ioprof.errors import RunError, SpecError
from ioprof.report.tune import begins_told, ended_told, render_tune
from ioprof.runner.interrupt import interruptible
from ioprof.tuning.choose import Next
from ioprof.tuning.limits import Limits, Needs, Room
from ioprof.tuning.own_loader import MakeLoader, OwnLoaderRuns
from ioprof.tuning.predictor import Corrected, Predicted
from ioprof.tuning.record import MeasuredRecord, TuneRecord
from ioprof.tuning.replay import Replay
from ioprof.tuning.room import room
from ioprof.tuning.search import Task
from ioprof.tuning.setting import PREFETCHES, settings, worker_counts
from ioprof.tuning.task import usual_most_workers
from ioprof.tuning.tuning import Tuning

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuned:
    """What a tuning found."""

    directory: Path
    """Holds tune.json, and below it the run directory of each measurement."""
    record: TuneRecord
    """The content of tune.json."""
    workers: int
    """Of the smallest setting within 2 % of the best."""
    prefetch: int | None
    """Of that setting; None where it has no workers."""

    @classmethod
    def of(cls, tuning: Tuning) -> Self:
        """Return what a tuning found that went to its end.

        Raises:
            RunError: it has not measured anything.
        """
        chosen = tuning.record.chosen
        if chosen is None:
            raise RunError("no setting was measured")
        found = chosen.setting
        return cls(directory=tuning.directory, record=tuning.record, workers=found.workers, prefetch=found.prefetch)

    def report(self) -> None:
        """Print the report, as ``ioprof report DIRECTORY`` does."""
        console = Console(highlight=False)
        for line in render_tune(self.record, console.width):
            console.print(line, soft_wrap=True)
        console.print(f"\nioprof report {self.directory}", style="dim", soft_wrap=True)


def to_stderr(line: str) -> None:
    """Print a line beside the program's own output."""
    sys.stderr.write(f"{line}\n")


def tune(
    make_loader: MakeLoader[Item],
    train_step: Callable[[Item], object] | None = None,
    *,
    duration_s: float = 5.0,
    budget_s: float = 120.0,
    max_workers: int | None = None,
    results: Path | str = "results",
    label: str | None = None,
    on_progress: Callable[[str], object] = to_stderr,
) -> Tuned:
    """Find the fewest workers, and the least prefetch, with which a loader of your own feeds.

    Used like this::

        def make_loader(workers, prefetch):
            return DataLoader(dataset, batch_size=64, num_workers=workers, prefetch_factor=prefetch)

        best = ioprof.tune(make_loader, train_step)
        train_loader = make_loader(best.workers, best.prefetch)

    Args:
        make_loader: called with workers and prefetch (None where there are no workers) for each run; returns a new
            torch DataLoader, or any iterable of batches, with that setting.
        train_step: called with each batch; None: nothing is, and the rates are what the loader can deliver at most.
        duration_s: length of each run beyond its warm-up.
        budget_s: time that all runs and the predictions between them may take.
        max_workers: think of no more; None: eight for each CPU, at least 32 and at most 128.
        results: folder that gets the tuning's own.
        label: added to its name.
        on_progress: given a line before and after each run.

    Raises:
        SpecError: an argument is wrong.
        UsageError: ``make_loader`` returns a loader with another setting, or without batches.
        RunError: no setting could be measured.
        RunDirectoryError: the results cannot be written.
        Interrupted: SIGINT or SIGTERM arrived; what was measured is kept.

    What ``make_loader``, ``train_step`` and the dataset raise goes on to the caller, except what running out of memory,
    processes or descriptors shows as in the loader: that is a result.
    """
    _check(make_loader, train_step, duration_s, budget_s, max_workers)
    host = room()
    most = usual_most_workers(host.cores) if max_workers is None else max_workers
    record = _first_record(make_loader, train_step, host, most, budget_s, label)
    words = [record.started_utc.replace(":", "").replace("-", ""), "tune", record.workload, label]
    directory = make_directory(Path(results), "-".join(filter(None, words)).replace("/", "_"))
    runs = OwnLoaderRuns(make_loader, train_step, directory=directory, duration_s=duration_s)
    task = Task(
        tunable=runs,
        predictor=Corrected(Replay()),
        settings=tuple(settings(worker_counts(0, 2 * most), PREFETCHES)),
        limits=Limits(room=host, needs=Needs(), most_workers=most, asked_by="max_workers="),
        budget_s=budget_s,
        remarks=runs.remarks,
    )
    tuning = Tuning(
        directory,
        record,
        task,
        command=lambda one: f"{record.workload}({one.workers}, {one.prefetch})",
        shows=_Shows(on_progress),
    )
    with interruptible():
        tuning.run()
    return Tuned.of(tuning)


def _check(
    make_loader: object, train_step: object, duration_s: float, budget_s: float, max_workers: int | None
) -> None:
    if not callable(make_loader):
        raise SpecError(
            f"make_loader = {make_loader!r:.80}: give a function of (workers, prefetch) that returns a new loader; a "
            "loader that was made has its setting already"
        )
    if train_step is not None and not callable(train_step):
        raise SpecError(f"train_step = {train_step!r:.80}: give a function of a batch, or None")
    for name, value in (("duration_s", duration_s), ("budget_s", budget_s)):
        if not value > 0:
            raise SpecError(f"{name} = {value!r}: give seconds, above 0")
    if max_workers is not None and max_workers < 0:
        raise SpecError(f"max_workers = {max_workers!r}: give a number of workers, 0 or more")


def _first_record(
    make_loader: object, train_step: object, host: Room, most_workers: int, budget_s: float, label: str | None
) -> TuneRecord:
    return TuneRecord(
        ioprof_version=__version__,
        outcome="running",
        started_utc=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        # The arguments of a program may hold anything, a token too: its name is enough.
        command=["ioprof.tune", Path(sys.argv[0]).name if sys.argv else ""],
        label=label,
        workload=_name(make_loader),
        loader="own loader",
        store=None,
        accelerator="none" if train_step is None else "train_step",
        cache="asis",
        cores=host.cores,
        cores_told=host.cores_told,
        most_workers=most_workers,
        budget_s=budget_s,
    )


def _name(make_loader: object) -> str:
    """Return what a program calls the function; a lambda or a partial has no name to call it by."""
    name = getattr(make_loader, "__name__", "")
    return name if isinstance(name, str) and name.isidentifier() else "make_loader"


class _Shows:
    """What a tuning says while it goes on."""

    def __init__(self, on_progress: Callable[[str], object]) -> None:
        self._tell = on_progress

    def begins(self, record: TuneRecord, step: Next, predicted: Predicted | None) -> None:
        """Name the setting."""
        self._tell(begins_told(record, step, predicted))

    def predicts(self, settings: int) -> None:
        """Say nothing: the next line tells what was predicted."""

    def ended(self, run: MeasuredRecord) -> None:
        """Say what it gave."""
        self._tell(f"  {ended_told(run)}")
