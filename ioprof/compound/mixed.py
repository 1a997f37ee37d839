"""Drives a mixed run: every phase in turn, each figure into mixed.json as soon as it is known."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from ioprof import __version__
from ioprof.analysis.interference import MeasuredSteps, measured_steps, overlap_ratio
from ioprof.compound.figures import key_figures
from ioprof.compound.interference import caveats_of, faster_caveats, interference_of, sentence_of
from ioprof.compound.json_file import KEPT, make_directory
from ioprof.compound.messages import Ended
from ioprof.compound.mixed_record import MIXED_JSON, MixedRecord, PhaseRecord, PipelineRecord, PipelineRun
from ioprof.compound.mixed_spec import MixedSpec
from ioprof.compound.phase import run_phase
from ioprof.errors import RunError
from ioprof.report.jsonfile import read_summary
from ioprof.runner.interrupt import Interrupted, shielded
from ioprof.store.fsspec_store import without_credentials
from ioprof.trace.json_record import write_record
from ioprof.trace.reader import load_trace

TOGETHER = "together"
"""The phase of all pipelines."""


class MixedObserver(Protocol):
    """Told how a mixed run goes on."""

    def phase_started(self, name: str, number: int, total: int, duration_s: float) -> None:
        """A phase begins."""
        ...

    def phase_ended(self, phase: PhaseRecord) -> None:
        """It has ended, or was skipped."""
        ...


class MixedRun:
    """One mixed run; its datasets stand prepared."""

    def __init__(self, spec: MixedSpec, command: list[str], observer: MixedObserver) -> None:
        """Create its directory and mixed.json.

        Raises:
            RunDirectoryError: the results folder is not writable.
        """
        self._spec, self._observer = spec, observer
        self._command = [without_credentials(word) for word in command]
        started = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        label = f"-{spec.label}" if spec.label else ""
        self.directory = make_directory(spec.results, f"{started.replace(':', '').replace('-', '')}-mixed{label}")
        self.record = _first_record(spec, self._command, started)
        self._measured: dict[tuple[str, str], MeasuredSteps] = {}
        self._save()

    def run(self) -> None:
        """Run all phases; `record` and mixed.json are complete afterwards, however it ended.

        Raises:
            RunError: a pipeline failed; the phases without it were run all the same.
            Interrupted: a signal ended it; what was measured is kept.
        """
        try:
            for number, names in enumerate(self._spec.phases, 1):
                self._phase(number, names)
        except Interrupted as signal:
            self._close("interrupted", f"{signal.signal_name} received")
            raise
        except Exception:
            self._close("failed", "ioprof itself failed")
            raise
        problem = next((phase.reason for phase in self.record.phases if phase.outcome == "failed"), None)
        self._close("complete" if problem is None else "failed", problem)
        if problem is not None:
            raise RunError(f"{problem}; what was measured is kept in {self.directory}")

    def _phase(self, number: int, names: tuple[str, ...]) -> None:
        name = phase_name(names, len(self._spec.pipelines))
        self._observer.phase_started(name, number, len(self._spec.phases), self._spec.duration_ns / 1e9)
        failed_alone = [one for one in names if self._failed_alone(one)]
        if failed_alone:
            self._keep(PhaseRecord(name=name, outcome="skipped", reason=f"{failed_alone[0]} failed alone", runs=[]))
            return
        folder = self.directory / f"{number}-{name}"
        end = run_phase(self._spec.of_phase(names, folder), self._command)
        with shielded():
            runs = self._phase_runs(name, end.ended)
            reason: str | None = None
            if end.interrupted is not None:
                reason = f"{end.interrupted.signal_name} received"
            elif end.failed is not None:
                reason = f"pipeline {end.failed} failed in phase {name}: {end.ended[end.failed].problem}"
            outcome = "interrupted" if end.interrupted else "failed" if end.failed else "complete"
            self._keep(PhaseRecord.model_validate({"name": name, "outcome": outcome, "reason": reason, "runs": runs}))
        if end.interrupted is not None:
            raise end.interrupted

    def _failed_alone(self, pipeline: str) -> bool:
        return any(phase.outcome == "failed" and phase.name == f"alone-{pipeline}" for phase in self.record.phases)

    def _phase_runs(self, phase: str, ended: dict[str, Ended]) -> list[PipelineRun]:
        windows: dict[str, MeasuredSteps] = {}
        for pipeline, end in ended.items():
            if end.directory is not None and (measured := measured_steps(load_trace(Path(end.directory)))) is not None:
                windows[pipeline] = self._measured[phase, pipeline] = measured
        return [self._pipeline_run(pipeline, end, windows, alone=len(ended) == 1) for pipeline, end in ended.items()]

    def _pipeline_run(
        self, pipeline: str, end: Ended, windows: dict[str, MeasuredSteps], *, alone: bool
    ) -> PipelineRun:
        own = windows.get(pipeline)
        others = [window for name, window in windows.items() if name != pipeline]
        figures = None
        if end.directory is not None:
            figures = key_figures(read_summary(Path(end.directory)))
        return PipelineRun(
            pipeline=pipeline,
            directory=None if end.directory is None else str(Path(end.directory).relative_to(self.directory)),
            problem=end.problem,
            figures=figures,
            window_s=None if own is None else (own.end_ns - own.start_ns) / 1e9,
            paused_s=None if own is None else own.paused_ns / 1e9,
            overlap_ratio=None if own is None or alone else overlap_ratio(own, others) if others else 0.0,
        )

    def _keep(self, phase: PhaseRecord) -> None:
        phases = [*self.record.phases, phase]
        found = interference_of(phases, self._measured)
        self.record = self.record.model_copy(
            update={
                "phases": phases,
                "interference": found,
                "sentence": sentence_of(found, len(self._spec.pipelines)),
                "caveats": [*faster_caveats(found), *caveats_of(phases, self._spec.pipelines)],
            }
        )
        self._save()
        self._observer.phase_ended(phase)

    def _close(self, outcome: str, reason: str | None) -> None:
        ended = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        self.record = self.record.model_copy(update={"outcome": outcome, "reason": reason, "ended_utc": ended})
        with shielded():
            self._save()

    def _save(self) -> None:
        write_record(self.directory / MIXED_JSON, self.record, KEPT)


def phase_name(names: tuple[str, ...], pipelines: int) -> str:
    """Return ``alone-train``, ``together`` or ``pair-train-storm``."""
    if len(names) == 1:
        return f"alone-{names[0]}"
    return TOGETHER if len(names) == pipelines else f"pair-{'-'.join(names)}"


def _first_record(spec: MixedSpec, command: list[str], started_utc: str) -> MixedRecord:
    return MixedRecord(
        ioprof_version=__version__,
        outcome="running",
        started_utc=started_utc,
        command=command,
        label=spec.label,
        store=without_credentials(spec.store_url),
        duration_s=spec.duration_ns / 1e9,
        pipelines=[
            PipelineRecord(
                name=name,
                workload=one.workload,
                loader=one.loader,
                accelerator=one.accelerator.name,
                batch_size=one.loader_section.batch_size,
            )
            for name, one in spec.pipelines.items()
        ],
    )
