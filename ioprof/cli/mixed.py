"""`ioprof run mixed` and `ioprof run FILE.toml` with pipelines; `ioprof report` of what they leave."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from rich.console import Console

from ioprof.cli.console import TalkConsole, results, talk
from ioprof.cli.prepare import prepare_with_progress
from ioprof.compound.mixed import MixedRun
from ioprof.compound.mixed_record import MIXED_FORMAT, MIXED_JSON, MixedRecord, PhaseRecord
from ioprof.compound.mixed_spec import FLAGS, SUMMARY, MixedSpec, raw_mixed, resolve_mixed
from ioprof.compound.mixed_text import mixed_toml
from ioprof.dataset.place import place
from ioprof.dataset.prepare import Prepared
from ioprof.errors import IoprofError, UsageError
from ioprof.report.compound_tables import figure_cells
from ioprof.report.mixed import render_mixed
from ioprof.runner.interrupt import Interrupted, interruptible
from ioprof.runner.plan import plan_run
from ioprof.trace.json_record import read_record
from ioprof.trace.results_folder import check_results
from ioprof.units import format_duration


def mixed_command(
    target: str,
    flags: list[tuple[str, str]],
    assignments: list[str],
    extra: list[str],
    *,
    require: list[str],
    dry_run: bool,
    as_json: bool,
    quiet: bool,
) -> int:
    """Run pipelines alone and together; the report, or mixed.json, goes to stdout.

    Raises:
        UsageError: a flag that a mixed run does not have.
        IoprofError: a pipeline failed; what was measured is shown and kept.
        Interrupted: a signal ended it; likewise.
    """
    if require:
        raise UsageError(f"--require {require[0]}: of which pipeline and phase? It has no meaning for a mixed run")
    spec = resolve_mixed(raw_mixed(target, flags, assignments, extra))
    if dry_run:
        print(mixed_toml(spec), end="")
        return 0
    with interruptible():
        run_mixed(spec, as_json=as_json, quiet=quiet)
    return 0


def run_mixed(spec: MixedSpec, *, as_json: bool, quiet: bool) -> Path:
    """Prepare, run all phases, print; return the directory.

    Raises:
        IoprofError, Interrupted: as `mixed_command`.
    """
    console = talk()
    check_results(spec.results)
    prepare_pipelines(spec, console, quiet=quiet, verify=False)
    run = MixedRun(spec, ["ioprof", *sys.argv[1:]], MixedTalk(console, quiet=quiet))
    try:
        run.run()
    except (IoprofError, Interrupted):
        if as_json or run.record.phases:
            _print(run.record, results() if as_json else console, as_json=as_json)
        console.print(f"partial mixed run kept: {os.path.relpath(run.directory)}", soft_wrap=True)
        raise
    _print(run.record, results(), as_json=as_json)
    if not quiet:
        console.print(f"[dim]mixed run directory: {os.path.relpath(run.directory)}[/dim]", soft_wrap=True)
    return run.directory


def prepare_pipelines(spec: MixedSpec, console: TalkConsole, *, quiet: bool, verify: bool) -> list[Prepared]:
    """Check all pipelines, then prepare the datasets that they read.

    Raises:
        IoprofError: a pipeline's plan makes no sense (it is named), or its dataset cannot be prepared.
    """
    plans = []
    for name, one in spec.pipelines.items():
        try:
            plans.append(plan_run(one))
        except IoprofError as error:
            raise type(error)(f"pipeline.{name}: {error}") from error
    return [
        prepare_with_progress(
            plan.store,
            plan.spec.workload,
            plan.layout,
            console=console,
            quiet=quiet,
            verify=verify,
            smaller=plan.spec.smaller_dataset,
        )
        for plan in plans
        if plan.loader.reads_storage
    ]


def prepare_mixed_command(
    target: str,
    flags: list[tuple[str, str]],
    assignments: list[str],
    extra: list[str],
    *,
    verify: bool,
    quiet: bool,
) -> int:
    """Prepare the datasets of all pipelines; their paths go to stdout."""
    spec = resolve_mixed(raw_mixed(target, flags, assignments, extra))
    with interruptible():
        for prepared in prepare_pipelines(spec, talk(), quiet=quiet, verify=verify):
            print(place(prepared.store))
    return 0


def print_mixed_help(target: str) -> None:
    """Print what a mixed run is made of and which flags it takes."""
    raw = raw_mixed(target, [], [], [])
    pipelines = ", ".join(
        f"{name} ({one.values['workload'].get('name', 'no workload named')})" for name, one in raw.pipelines.items()
    )
    print(
        f"mixed: {SUMMARY}\n\n  pipelines of {target}: {pipelines}\n"
        f"  flags of a mixed run: {', '.join(f'--{flag}' for flag in FLAGS)}\n"
        f"  of one pipeline: --set pipeline.{next(iter(raw.pipelines))}.SECTION.KEY=VALUE\n"
        "  pipelines of your own: a file with [pipeline.NAME] sections; `ioprof run mixed --dry-run` prints one"
    )


class MixedTalk:
    """Says on stderr which phase runs, and each pipeline's figures when it has ended."""

    def __init__(self, console: TalkConsole, *, quiet: bool) -> None:
        self._console, self._quiet = console, quiet

    def phase_started(self, name: str, number: int, total: int, duration_s: float) -> None:
        """Name it, and say how long it takes."""
        if not self._quiet:
            length = format_duration(duration_s * 1e9)
            self._console.print(f"phase {number} of {total}: {name}, {length}", soft_wrap=True)

    def phase_ended(self, phase: PhaseRecord) -> None:
        """Give the figures."""
        if self._quiet:
            return
        if phase.reason is not None:
            self._console.print(f"  {phase.outcome}: {phase.reason}", markup=False, soft_wrap=True)
        for run in phase.runs:
            rate, au, *_ = figure_cells(run.figures)
            told = "no figures" if rate == "-" else f"{rate} samples/s" + ("" if au == "-" else f", AU {au}")
            self._console.print(f"  [dim]{run.pipeline}: {told}[/dim]", soft_wrap=True)


def report_mixed(directory: Path, *, console: Console, as_json: bool) -> int:
    """Print mixed.json for people, or as it is.

    Raises:
        RunDirectoryError: it is corrupt or of a newer format.
    """
    _print(read_record(directory / MIXED_JSON, MixedRecord, MIXED_FORMAT), console, as_json=as_json)
    return 0


def _print(record: MixedRecord, console: Console, *, as_json: bool) -> None:
    if as_json:
        console.file.write(record.model_dump_json(indent=2) + "\n")
        return
    for line in render_mixed(record, console.width):
        console.print(line, soft_wrap=True)
