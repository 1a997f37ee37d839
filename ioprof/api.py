"""From Python: `ioprof.run(spec)` and `ioprof.load(path)` do what the command line does, through the same rooms."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ioprof.analysis.answer import Answering, answer
from ioprof.analysis.summarise import summarise
from ioprof.analysis.summary import Summary
from ioprof.dataset.prepare import Prepared, prepare
from ioprof.dataset.progress import OnProgress, ignore
from ioprof.errors import CaveatWarning, IoprofError, ResultsFullError, RunDirectoryError, SpecError, nearest
from ioprof.report.html.run_page import write_run_page
from ioprof.report.jsonfile import write_summary
from ioprof.runner.beside_run import USUAL_BUDGET, BesideBudget, measure_beside
from ioprof.runner.gate import Gate
from ioprof.runner.interrupt import Interrupted, interruptible, shielded
from ioprof.runner.observer import Observer, Silent
from ioprof.runner.plan import RunPlan, plan_run
from ioprof.runner.record import Recording
from ioprof.runner.run_dataset import run_dataset
from ioprof.runner.run_scratch import run_scratch
from ioprof.spec.dlio import PREFIX, read_dlio
from ioprof.spec.model import RunSpec
from ioprof.spec.resolve import resolve
from ioprof.spec.sources import SECTIONS, RawSpec, Value, read_toml
from ioprof.trace.reader import load_trace
from ioprof.trace.results_folder import check_results
from ioprof.trace.run_record import RunRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A finished (or interrupted) run."""

    directory: Path
    record: RunRecord
    summary: Summary


def spec_of(source: RunSpec | Mapping[str, Mapping[str, Value]] | Path | str) -> RunSpec:
    """Return the validated spec of a mapping of sections, a TOML file, ``dlio:FILE.yaml``, or a spec itself.

    Raises:
        SpecError, PluginError: as `ioprof.spec.resolve.resolve`.
    """
    if isinstance(source, RunSpec):
        return source
    if isinstance(source, str | Path):
        is_dlio = isinstance(source, str) and source.startswith(PREFIX)
        return resolve(read_dlio(str(source), None) if is_dlio else read_toml(Path(source)))
    if not isinstance(source, Mapping):
        raise SpecError(f"{source!r:.80} is no spec: give a spec file's path, a mapping of sections, or a RunSpec")
    raw = RawSpec()
    for section, values in source.items():
        if section not in SECTIONS:
            raise SpecError(f"unknown section '{section}'{nearest(str(section), SECTIONS)}")
        if not isinstance(values, Mapping):
            raise SpecError(f"{section} = {values!r:.80}: a section is a mapping, such as {{'name': ...}}")
        for key, value in values.items():
            raw.put(section, key, value, f"{section}.{key}")
    return resolve(raw)


def prepare_plan(plan: RunPlan, on_progress: OnProgress = ignore) -> Prepared | None:
    """Prepare the dataset of a plan, or find it ready; None where its loader would not read it.

    Raises:
        StoreError: as `ioprof.dataset.prepare.prepare`.
    """
    if not plan.loader.reads_storage:
        return None
    spec = plan.spec
    return prepare(plan.store, spec.workload, plan.layout, on_progress=on_progress, smaller=spec.smaller_dataset)


def run(source: RunSpec | Mapping[str, Mapping[str, Value]] | Path | str, observer: Observer | None = None) -> Run:
    """Prepare if needed, drive, and analyse; the run directory is complete when this returns.

    Raises:
        IoprofError: as the command line reports it; what was measured is kept.
        Interrupted: SIGINT or SIGTERM arrived; the run directory is complete and says so.
    """
    plan = plan_run(spec_of(source))
    check_results(Path(plan.spec.run.results))
    with interruptible():
        prepared = prepare_plan(plan)
        try:
            finished = record_and_load(plan, prepared, ["ioprof.run"], observer or Silent())
        except RecordingStoppedError as stopped:
            raise stopped.cause from None
        leave_page(finished)
        return finished


def leave_page(run: Run) -> None:
    """Leave report.html in a run's directory; where that cannot be, warn: the run is as good without.

    Warns:
        CaveatWarning: why there is none.
    """
    try:
        write_run_page(run.directory, run.summary)
    except RunDirectoryError as error:
        warnings.warn(str(error), CaveatWarning, stacklevel=2)


class RecordingStoppedError(Exception):
    """A recording ended early; what it left was analysed all the same."""

    def __init__(self, run: Run, cause: BaseException) -> None:
        super().__init__(str(cause))
        self.run = run
        self.cause = cause
        """What ended it: `Interrupted` or an `IoprofError`."""


def record_and_load(
    plan: RunPlan,
    prepared: Prepared | None,
    command: list[str],
    observer: Observer,
    gate: Gate | None = None,
    unprobed: str | None = None,
    beside: BesideBudget = USUAL_BUDGET,
    answering: Answering = answer,
) -> Run:
    """Record a prepared run and analyse its directory; ``prepared`` is None where the loader reads no storage.

    A ``gate`` holds the first batch back until other runs are as far. ``unprobed`` says why neither ceiling nor
    baselines are measured; None: as the spec says, and as long as ``beside`` allows.
    ``answering`` draws the conclusions.

    Raises:
        RecordingStoppedError: it ended early; carries the partial run and the cause.
        StoreError: the workload writes, and the store cannot be written; no run directory was made.
    """
    with run_scratch(plan, prepared) as scratch:
        recording = Recording(plan, prepared, command, observer, scratch, gate)
        try:
            recording.run()
            measure_beside(plan, run_dataset(plan, prepared), recording.directory, command, observer, unprobed, beside)
        except (Interrupted, IoprofError) as cause:
            raise stopped(recording.directory, cause, answering) from cause
    return analysed(recording.directory, answering)


def stopped(directory: Path, cause: Interrupted | IoprofError, answering: Answering = answer) -> RecordingStoppedError:
    """Return what was left of a run that ended early.

    Raises:
        Interrupted, IoprofError: not even that can be analysed; it is the cause, with a note of why.
    """
    with shielded():
        try:
            return RecordingStoppedError(analysed(directory, answering), cause)
        except IoprofError as second:
            # What ended the run is what the user must hear of; a full disk is one line.
            if not isinstance(cause, ResultsFullError):
                cause.add_note(str(second))
            raise cause from second


def load(directory: Path | str, answering: Answering = answer) -> Run:
    """Read and analyse a run directory; nothing is written.

    Raises:
        RunDirectoryError: not a run directory, corrupt, or of a newer format.
    """
    trace = load_trace(Path(directory))
    return Run(directory=Path(directory), record=trace.run, summary=summarise(trace, answering))


def analysed(directory: Path, answering: Answering = answer) -> Run:
    """Analyse a finished run's directory and leave summary.json there.

    Raises:
        RunDirectoryError: it cannot be read or written.
    """
    found = load(directory, answering)
    write_summary(directory, found.summary)
    return found
