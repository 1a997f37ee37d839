"""One tuning: a search whose every step is written to tune.json at once, so that what was measured outlives a kill."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from ioprof.compound.json_file import KEPT
from ioprof.errors import IoprofError
from ioprof.runner.interrupt import Interrupted, shielded
from ioprof.runner.run_failure import told
from ioprof.trace.json_record import write_record
from ioprof.tuning.bound import why
from ioprof.tuning.choose import Estimate, Next, gain_of_one_more
from ioprof.tuning.predictor import Predicted
from ioprof.tuning.record import (
    TUNE_JSON,
    ChosenRecord,
    LimitRecord,
    MeasuredRecord,
    PointRecord,
    RateRecord,
    SettingRecord,
    TuneOutcome,
    TuneRecord,
)
from ioprof.tuning.remarks import bound_by_limit, contradiction, first_refused, unmeasured_told
from ioprof.tuning.search import Search, Task, choice
from ioprof.tuning.setting import Setting
from ioprof.tuning.tunable import Measured


class Shows(Protocol):
    """Shows how a tuning goes on."""

    def begins(self, record: TuneRecord, step: Next, predicted: Predicted | None) -> None:
        """A run begins."""
        ...

    def predicts(self, settings: int) -> None:
        """So many settings are predicted by what the run has shown."""
        ...

    def ended(self, run: MeasuredRecord) -> None:
        """A run has ended."""
        ...


class Tuning:
    """Searches, and keeps tune.json."""

    def __init__(
        self,
        directory: Path,
        record: TuneRecord,
        task: Task,
        *,
        command: Callable[[Setting], str | None],
        shows: Shows,
    ) -> None:
        """Write the first tune.json.

        Args:
            directory: where it goes; run directories are expected below.
            record: who and what, nothing measured yet.
            task: what to search.
            command: the command that runs a setting; None where there is none.
            shows: told of each run.

        Raises:
            RunDirectoryError: the directory cannot be written.
        """
        self.directory, self.record = directory, record
        self._task, self._command, self._shows = task, command, shows
        self._search = Search(task, self)
        self._save()

    def run(self) -> None:
        """Search; `record` and tune.json are complete afterwards, however it ended.

        Raises:
            RunError: nothing could be measured.
            Interrupted: a signal ended it; what was measured is kept.
        """
        try:
            self._search.run()
        except Interrupted as signal:
            self._close("interrupted", f"{signal.signal_name} received")
            raise
        except IoprofError as error:
            self._close("failed", " ".join(str(error).split()))
            raise
        except Exception as error:
            self._close("failed", told(error))
            raise
        self._close("complete", None)

    def winners_run(self) -> Path | None:
        """Return the directory of the run that the recommendation rests on; None: there is none."""
        found = choice(self._search.known())
        if found is None:
            return None
        return next(one.directory for one in reversed(self._search.measured) if one.setting == found[0].setting)

    def begins(self, step: Next, predicted: Predicted | None) -> None:
        """Pass it on."""
        self._shows.begins(self.record, step, predicted)

    def predicts(self, settings: int) -> None:
        """Pass it on."""
        self._shows.predicts(settings)

    def ended(self, step: Next, measured: Measured, predicted: Predicted | None) -> None:
        """Keep what a run gave, and what is known now."""
        run = MeasuredRecord(
            setting=_setting(measured.setting),
            why=step.why,
            rate=_measured_rate(measured),
            predicted=None if predicted is None else _predicted_rate(predicted),
            problem=measured.problem,
            directory=None if measured.directory is None else os.path.relpath(measured.directory, self.directory),
            seconds=measured.seconds,
        )
        wrong = contradiction(measured, predicted)
        self._note(
            runs=[*self.record.runs, run],
            spent_s=self._search.spent_s,
            remarks=[*self.record.remarks, *([] if wrong is None else [wrong])],
        )
        self._draw()
        with shielded():
            self._save()
        self._shows.ended(run)

    def _draw(self) -> None:
        """Take over the curve, the limits and the winner as they are known now; what bound it is judged at the end."""
        search = self._search
        known = search.known()
        within = [one for one in self._task.settings if one.workers <= search.limits.most_workers]
        self._note(
            predicted_by=search.forecast.by if search.forecast.predicted else None,
            assumptions=list(search.forecast.assumptions) if search.forecast.predicted else [],
            curve=[
                PointRecord(setting=_setting(at), rate=_rate(one), is_measured=one.is_measured)
                for at, one in known.items()
            ],
            limits=[
                LimitRecord(setting=_setting(at), reason=reason)
                for reason, at in first_refused(within, search.limits).items()
            ],
            chosen=self._chosen(known),
        )

    def _chosen(self, known: dict[Setting, Estimate]) -> ChosenRecord | None:
        found = choice(known)
        if found is None:
            return None
        winner, ratio = found
        return ChosenRecord(
            setting=_setting(winner.setting),
            rate=_rate(winner),
            of_best_ratio=ratio,
            gain_of_one_more_worker_ratio=gain_of_one_more(known, winner.setting),
            bound=None,
            why="",
            command=self._command(winner.setting),
        )

    def _judged(self) -> ChosenRecord | None:
        """Return the winner with what bound it."""
        known, chosen = self._search.known(), self.record.chosen
        found = choice(known)
        if found is None or chosen is None:
            return chosen
        winner = found[0]
        run = next(one for one in reversed(self._search.measured) if one.setting == winner.setting)
        limit = bound_by_limit(winner, known, self._task.settings, self._search.limits)
        bound, sentence = why(winner, known, limit, self._task.tunable.judge(run))
        return chosen.model_copy(update={"bound": bound, "why": sentence})

    def _left_told(self, left: Next) -> str:
        most_runs = None if self._search.has_runs_left(left) else self._search.most_runs
        return unmeasured_told(left, self._search.known(), most_runs)

    def _close(self, outcome: TuneOutcome, reason: str | None) -> None:
        left = self._search.unmeasured
        remarks = [
            *self.record.remarks,
            *self._task.remarks(),
            *([] if left is None else [self._left_told(left)]),
        ]
        ended = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        with shielded():
            chosen = self._judged()
            self._note(outcome=outcome, reason=reason, ended_utc=ended, remarks=remarks, chosen=chosen)
            self._save()

    def _note(self, **facts: object) -> None:
        self.record = self.record.model_copy(update=facts)

    def _save(self) -> None:
        write_record(self.directory / TUNE_JSON, self.record, KEPT)


def _setting(setting: Setting) -> SettingRecord:
    return SettingRecord(workers=setting.workers, prefetch=setting.prefetch)


def _measured_rate(measured: Measured) -> RateRecord | None:
    if measured.samples_per_s is None:
        return None
    return RateRecord(
        samples_per_s=measured.samples_per_s,
        samples_per_s_ci95=measured.samples_per_s_ci95,
        accelerator_utilization=measured.accelerator_utilization,
    )


def _predicted_rate(predicted: Predicted) -> RateRecord:
    return RateRecord(
        samples_per_s=predicted.samples_per_s,
        samples_per_s_ci95=predicted.samples_per_s_ci95,
        accelerator_utilization=predicted.accelerator_utilization,
    )


def _rate(estimate: Estimate) -> RateRecord:
    low, high = estimate.interval
    return RateRecord(
        samples_per_s=estimate.samples_per_s,
        samples_per_s_ci95=None if low == high else (low, high),
        accelerator_utilization=estimate.accelerator_utilization,
    )
