"""`ioprof suite`, and `ioprof report` of what it leaves."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from rich.console import Console

from ioprof.cli.console import TalkConsole, results, talk
from ioprof.cli.mixed import MixedTalk, prepare_pipelines
from ioprof.cli.prepare import prepare_with_progress
from ioprof.cli.show import LiveObserver
from ioprof.compound.mixed_spec import MixedSpec
from ioprof.compound.suite import SuiteRun
from ioprof.compound.suite_record import SUITE_FORMAT, SUITE_JSON, SuiteEntryRecord, SuiteRecord
from ioprof.compound.suite_spec import suite_spec
from ioprof.errors import IoprofError
from ioprof.report.suite import render_suite
from ioprof.runner.interrupt import Interrupted, interruptible
from ioprof.runner.observer import Silent
from ioprof.runner.plan import plan_run
from ioprof.spec.model import RunSpec
from ioprof.trace.json_record import read_record
from ioprof.trace.results_folder import check_results


def suite_command(
    target: str, flags: list[tuple[str, str]], assignments: list[str], *, as_json: bool, quiet: bool
) -> int:
    """Run a suite; its table, or suite.json, goes to stdout.

    Raises:
        SuiteStoppedError: entries failed; the table shows all others.
        Interrupted: a signal ended it; what was measured is shown and kept.
    """
    spec = suite_spec(target, flags, assignments)
    check_results(spec.results)
    console = talk()
    shows = _Shows(console, len(spec.entries), quiet=quiet)
    with interruptible():
        run = SuiteRun(
            spec,
            ["ioprof", *sys.argv[1:]],
            prepare=shows.prepare,
            observer=Silent() if quiet else LiveObserver(console),
            mixed_observer=MixedTalk(console, quiet=quiet),
            started=shows.started,
            ended=shows.ended,
        )
        try:
            run.run()
        except Interrupted:
            print_suite(run.record, results() if as_json else console, as_json=as_json)
            console.print(f"partial suite kept: {os.path.relpath(run.directory)}", soft_wrap=True)
            raise
        except IoprofError:
            print_suite(run.record, results(), as_json=as_json)
            raise
    print_suite(run.record, results(), as_json=as_json)
    if not quiet:
        console.print(f"[dim]suite directory: {os.path.relpath(run.directory)}[/dim]", soft_wrap=True)
    return 0


class _Shows:
    """What a suite says on stderr while it runs."""

    def __init__(self, console: TalkConsole, total: int, *, quiet: bool) -> None:
        self._console, self._total, self._quiet = console, total, quiet

    def started(self, number: int, entry: SuiteEntryRecord) -> None:
        """Name the entry."""
        if not self._quiet:
            self._console.print(f"[bold]{number} of {self._total}: {entry.name}[/bold]", soft_wrap=True)

    def ended(self, entry: SuiteEntryRecord) -> None:
        """Say what became of it."""
        if not self._quiet:
            told = entry.verdict if entry.outcome == "complete" else f"{entry.outcome}: {entry.reason}"
            self._console.print(f"  {told}", markup=False, soft_wrap=True)

    def prepare(self, spec: RunSpec | MixedSpec) -> None:
        """Prepare an entry's datasets."""
        if isinstance(spec, MixedSpec):
            prepare_pipelines(spec, self._console, quiet=self._quiet, verify=False)
            return
        plan = plan_run(spec)
        if plan.loader.reads_storage:
            prepare_with_progress(
                plan.store,
                spec.workload,
                plan.layout,
                console=self._console,
                quiet=self._quiet,
                verify=False,
                smaller=plan.spec.smaller_dataset,
            )


def report_suite(directory: Path, *, console: Console, as_json: bool) -> int:
    """Print suite.json for people, or as it is.

    Raises:
        RunDirectoryError: it is corrupt or of a newer format.
    """
    print_suite(read_record(directory / SUITE_JSON, SuiteRecord, SUITE_FORMAT), console, as_json=as_json)
    return 0


def print_suite(record: SuiteRecord, console: Console, *, as_json: bool) -> None:
    """Print a suite."""
    if as_json:
        console.file.write(record.model_dump_json(indent=2) + "\n")
        return
    for line in render_suite(record, console.width):
        console.print(line, soft_wrap=True)
