"""Drives a suite: one run after another, each in a process of its own, each result into suite.json at once."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from ioprof import __version__
from ioprof.compound.figures import key_figures
from ioprof.compound.json_file import KEPT, make_directory
from ioprof.compound.messages import Advanced, Ended, FromRun, Held, Measuring, Order, PhaseBegan, StepsEnded
from ioprof.compound.mixed import TOGETHER, MixedObserver, MixedRun
from ioprof.compound.mixed_spec import MixedSpec
from ioprof.compound.run_process import RunProcess
from ioprof.compound.suite_record import SUITE_JSON, SuiteEntryRecord, SuiteOutcome, SuiteRecord
from ioprof.compound.suite_spec import SuiteEntry, SuiteSpec, in_directory
from ioprof.errors import IoprofError, RunError
from ioprof.report.jsonfile import read_summary
from ioprof.runner.interrupt import Interrupted, shielded
from ioprof.runner.observer import Observer
from ioprof.spec.model import RunSpec
from ioprof.store.fsspec_store import without_credentials
from ioprof.trace.json_record import write_record


class SuiteStoppedError(RunError):
    """Entries of a suite failed; all others were run."""


class SuiteRun:
    """One suite being run."""

    def __init__(
        self,
        spec: SuiteSpec,
        command: list[str],
        *,
        prepare: Callable[[RunSpec | MixedSpec], None],
        observer: Observer,
        mixed_observer: MixedObserver,
        started: Callable[[int, SuiteEntryRecord], None],
        ended: Callable[[SuiteEntryRecord], None],
    ) -> None:
        """Create its directory and suite.json.

        Args:
            spec: the suite.
            command: the words that started it.
            prepare: prepares the datasets of an entry, showing how far it is.
            observer: told how each run goes on.
            mixed_observer: told how mixed runs go on.
            started: told the number of each entry from 1, before it begins.
            ended: told each entry when it has ended.

        Raises:
            RunDirectoryError: the results folder is not writable.
        """
        self._spec = spec
        self._command = [without_credentials(word) for word in command]
        self._prepare, self._observer, self._mixed_observer = prepare, observer, mixed_observer
        self._started, self._ended = started, ended
        self._signal: Interrupted | None = None
        begun = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        name = f"{begun.replace(':', '').replace('-', '')}-suite-{spec.name}{f'-{spec.label}' if spec.label else ''}"
        self.directory = make_directory(spec.results, name)
        self.record = _first_record(spec, self._command, begun)
        self._save()

    def run(self) -> None:
        """Run all entries; `record` and suite.json are complete afterwards, however it ended.

        Raises:
            SuiteStoppedError: one or more failed.
            Interrupted: a signal ended it; what was measured is kept.
        """
        try:
            for number, entry in enumerate(self._spec.entries):
                if entry.spec is not None:
                    self._entry(number, entry, in_directory(entry.spec, self.directory))
        except Interrupted as signal:
            self._close("interrupted", f"{signal.signal_name} received")
            raise
        except Exception:
            self._close("failed", "ioprof itself failed")
            raise
        failed = [one.name for one in self.record.entries if one.outcome == "failed"]
        self._close("failed" if failed else "complete", f"{', '.join(failed)} failed" if failed else None)
        if failed:
            raise SuiteStoppedError(f"{len(failed)} of {len(self.record.entries)} failed: {', '.join(failed)}")

    def _entry(self, number: int, entry: SuiteEntry, spec: RunSpec | MixedSpec) -> None:
        start_s = time.monotonic()
        self._update(number, outcome="running")
        self._started(number + 1, self.record.entries[number])
        try:
            self._prepare(spec)
            found = self._mixed(spec) if isinstance(spec, MixedSpec) else self._single(spec)
        except Interrupted as signal:
            self._update(number, outcome="interrupted", reason=f"{signal.signal_name} received")
            raise
        except IoprofError as error:
            found = {"outcome": "failed", "reason": " ".join(str(error).split())}
        self._update(number, seconds=time.monotonic() - start_s, **found)
        self._ended(self.record.entries[number])
        if self._signal is not None:
            raise self._signal

    def _mixed(self, spec: MixedSpec) -> dict[str, object]:
        run = MixedRun(spec, self._command, self._mixed_observer)
        found: dict[str, object] = {"outcome": "complete"}
        try:
            run.run()
        except Interrupted as caught:
            self._signal = caught
            found = {"outcome": "interrupted", "reason": f"{caught.signal_name} received"}
        except IoprofError as error:
            found = {"outcome": "failed", "reason": " ".join(str(error).split())}
        return found | {
            "directory": str(run.directory.relative_to(self.directory)),
            "verdict": run.record.sentence,
            "together": {
                one.pipeline: one.figures
                for phase in run.record.phases
                for one in phase.runs
                if phase.name == TOGETHER and one.figures is not None
            },
        }

    def _single(self, spec: RunSpec) -> dict[str, object]:
        with RunProcess(Order(spec, self._command, gated=True)) as run:
            try:
                while run.ended is None:
                    message = run.receive()
                    _pass_on(message, self._observer)
                    if isinstance(message, Held):
                        run.let_go()
            except Interrupted as caught:
                self._signal = caught
                with shielded():
                    run.ask_to_end(caught.signum)
                    run.wait_for_end()
                    self._observer.finished()
            ended = run.ended
        return self._found(ended) if ended is not None else {"outcome": "failed", "reason": "its process vanished"}

    def _found(self, ended: Ended) -> dict[str, object]:
        with shielded():
            found: dict[str, object] = {"outcome": "complete", "reason": ended.problem}
            if ended.problem is not None:
                found["outcome"] = "failed" if self._signal is None else "interrupted"
            if ended.directory is not None:
                summary = read_summary(Path(ended.directory))
                found |= {
                    "directory": str(Path(ended.directory).relative_to(self.directory)),
                    "figures": key_figures(summary),
                    "verdict": summary.verdict.sentence,
                }
            return found

    def _update(self, number: int, **facts: object) -> None:
        entries = list(self.record.entries)
        entries[number] = entries[number].model_copy(update=facts)
        self.record = self.record.model_copy(update={"entries": entries})
        with shielded():
            self._save()

    def _close(self, outcome: SuiteOutcome, reason: str | None) -> None:
        ended = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        self.record = self.record.model_copy(update={"outcome": outcome, "reason": reason, "ended_utc": ended})
        with shielded():
            self._save()

    def _save(self) -> None:
        write_record(self.directory / SUITE_JSON, self.record, KEPT)


def _pass_on(message: FromRun, observer: Observer) -> None:
    match message:
        case PhaseBegan(text):
            observer.phase(text)
        case Advanced(done, total):
            observer.progress(done, total)
        case Measuring(directory):
            observer.measuring(Path(directory))
        case StepsEnded() | Ended():
            observer.finished()


def _first_record(spec: SuiteSpec, command: list[str], started_utc: str) -> SuiteRecord:
    return SuiteRecord(
        ioprof_version=__version__,
        suite=spec.name,
        outcome="running",
        started_utc=started_utc,
        command=command,
        label=spec.label,
        store=without_credentials(spec.store_url),
        entries=[
            SuiteEntryRecord(
                name=entry.name,
                workload=entry.workload,
                outcome="waiting" if entry.spec is not None else "skipped",
                reason=entry.missing,
            )
            for entry in spec.entries
        ],
    )
