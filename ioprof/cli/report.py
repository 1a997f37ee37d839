"""`ioprof report`, and the past runs of `ioprof list`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ioprof.analysis.glance import Glance, glance
from ioprof.analysis.summarise import summarise
from ioprof.analysis.summary import Summary
from ioprof.analysis.wording import percent
from ioprof.compound.mixed_record import MIXED_FORMAT, MIXED_JSON, MixedRecord
from ioprof.compound.suite_record import SUITE_FORMAT, SUITE_JSON, SuiteRecord
from ioprof.errors import RunDirectoryError
from ioprof.plugins import MIXED
from ioprof.report.jsonfile import SUMMARY_JSON, read_summary
from ioprof.report.terminal import render
from ioprof.trace.json_record import read_record
from ioprof.trace.liveness import as_it_stands
from ioprof.trace.reader import load_trace
from ioprof.trace.run_record import RunRecord
from ioprof.trace.rundir import RUN_JSON, read_run_json
from ioprof.tuning.record import TUNE_FORMAT, TUNE_JSON, TuneRecord
from ioprof.units import format_count


def report_run(directory: Path, *, console: Console, as_json: bool) -> int:
    """Analyse a run directory anew and print the report, or summary.json; nothing is written there.

    Raises:
        RunDirectoryError: not a run directory, corrupt, or of a newer format.
    """
    trace = load_trace(directory)
    summary = summarise(trace)
    if as_json:
        console.file.write(summary.to_json())
    else:
        print_report(summary, trace.run, console=console)
    return 0


def print_report(summary: Summary, run: RunRecord, *, console: Console) -> None:
    """Print a summary for people, as wide as the console."""
    for line in render(summary, run, console.width):
        console.print(line, soft_wrap=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class PastRun:
    """One run directory as `ioprof list` shows it."""

    name: str
    started_utc: str | None
    workload: str | None
    loader: str | None
    accelerator: str | None
    outcome: str
    """As `as_it_stands` says, like in every report, or ``unreadable``."""
    accelerator_utilization: float | None
    samples_per_s: float | None
    problem: str | None
    """Why figures are missing; None: all is well."""

    def as_json(self) -> dict[str, object]:
        """Return the fields as plain values."""
        return asdict(self)


def past_runs(results: Path) -> list[PastRun]:
    """Return the runs of a results folder, newest first; what cannot be read is listed as unreadable.

    Of runs without summary.json, such as killed ones, the steps are read. Folders that hold neither run.json nor a
    trace are no runs.
    """
    try:
        found = [entry for entry in results.iterdir() if entry.is_dir() and _looks_like_run(entry)]
    except OSError:
        return []
    return sorted(map(_past_run, found), key=lambda run: (run.started_utc or "", run.name), reverse=True)


def _looks_like_run(directory: Path) -> bool:
    names = (RUN_JSON, SUMMARY_JSON, "steps.parquet", "trace", MIXED_JSON, SUITE_JSON, TUNE_JSON)
    return any((directory / name).exists() for name in names)


def _past_run(directory: Path) -> PastRun:
    if any((directory / name).exists() for name in (MIXED_JSON, SUITE_JSON, TUNE_JSON)):
        return _past_compound(directory)
    try:
        record = as_it_stands(directory, read_run_json(directory))
    except RunDirectoryError as error:
        return _unreadable(directory, str(error))
    figures = _figures(directory)
    return PastRun(
        name=directory.name,
        started_utc=record.started_utc,
        workload=record.workload.name,
        loader=record.loader,
        accelerator=record.accelerator.name,
        outcome=record.outcome,
        accelerator_utilization=figures.accelerator_utilization,
        samples_per_s=figures.samples_per_s,
        problem=figures.problem,
    )


def _figures(directory: Path) -> Glance:
    """Return what summary.json says; what the recorded steps say where it is missing, as after a kill, or not readable.

    One that an older or newer ioprof wrote may lack keys or have others; the steps are always there.
    """
    try:
        summary = read_summary(directory)
    except RunDirectoryError:
        try:
            return glance(load_trace(directory))
        except RunDirectoryError as error:
            return Glance(accelerator_utilization=None, samples_per_s=None, problem=str(error))
    return Glance(
        accelerator_utilization=summary.accelerator_utilization,
        samples_per_s=summary.samples_per_s,
        problem=summary.reasons.get("samples_per_s"),
    )


def _past_compound(directory: Path) -> PastRun:
    """Return a mixed run, a suite or a tuning: what it is made of is in its own report."""
    try:
        record: MixedRecord | SuiteRecord | TuneRecord
        if (directory / MIXED_JSON).exists():
            record = read_record(directory / MIXED_JSON, MixedRecord, MIXED_FORMAT)
        elif (directory / TUNE_JSON).exists():
            record = read_record(directory / TUNE_JSON, TuneRecord, TUNE_FORMAT)
        else:
            record = read_record(directory / SUITE_JSON, SuiteRecord, SUITE_FORMAT)
    except RunDirectoryError as error:
        return _unreadable(directory, str(error))
    return PastRun(
        name=directory.name,
        started_utc=record.started_utc,
        workload=_compound_told(record),
        loader=None,
        accelerator=None,
        outcome=record.outcome,
        accelerator_utilization=None,
        samples_per_s=None,
        problem=None,
    )


def _compound_told(record: MixedRecord | SuiteRecord | TuneRecord) -> str:
    if isinstance(record, MixedRecord):
        return MIXED
    return f"suite {record.suite}" if isinstance(record, SuiteRecord) else f"tune {record.workload}"


def _unreadable(directory: Path, problem: str) -> PastRun:
    return PastRun(
        name=directory.name,
        started_utc=None,
        workload=None,
        loader=None,
        accelerator=None,
        outcome="unreadable",
        accelerator_utilization=None,
        samples_per_s=None,
        problem=problem,
    )


def past_runs_table(runs: list[PastRun], results: Path) -> Table:
    """Return the runs as a table; an empty one says where they would be."""
    title = f"runs in {results}"
    table = Table(title=title, title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0))
    if not runs:
        table.add_column("none yet; make one: ioprof run small-files", header_style="dim")
        return table
    # Never broken: a name is there to be copied into `ioprof report`.
    table.add_column("run", header_style="dim", no_wrap=True, min_width=max(len(run.name) for run in runs))
    for name in ("utilisation", "samples/s", "outcome"):
        table.add_column(name, header_style="dim", justify="left" if name == "outcome" else "right")
    for run in runs:
        au, rate = run.accelerator_utilization, run.samples_per_s
        table.add_row(
            run.name,
            "-" if au is None else f"{percent(au)} of {run.accelerator}",
            "-" if rate is None else format_count(rate),
            _told_outcome(run, results),
        )
    return table


def _told_outcome(run: PastRun, results: Path) -> str:
    """Return the outcome and, where there are no figures, why; the run's own name is told beside it already."""
    if run.problem is None:
        return run.outcome
    return escape(f"{run.outcome}: {run.problem.removeprefix(str(results / run.name)).lstrip('/: ')}")
