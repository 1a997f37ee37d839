"""`ioprof tune`, and `ioprof report` of what it leaves."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from ioprof import api
from ioprof.analysis.answer import verdict_alone
from ioprof.cli.console import TalkConsole, results, talk
from ioprof.cli.prepare import prepare_with_progress
from ioprof.cli.show import PhasesOnly
from ioprof.compound.json_file import make_directory
from ioprof.errors import IoprofError, UsageError
from ioprof.report.tune import begins_told, ended_told, render_tune
from ioprof.requirement import Requirement, check_all, parse_requirement, refuse_unknowable
from ioprof.runner.interrupt import Interrupted, interruptible
from ioprof.runner.observer import Silent
from ioprof.runner.plan import RunPlan
from ioprof.spec.flags import raw_spec
from ioprof.spec.render import plugin_lines, to_toml
from ioprof.spec.resolve import resolve
from ioprof.spec.sources import RawSpec
from ioprof.trace.json_record import read_record
from ioprof.trace.results_folder import check_results
from ioprof.tuning.choose import Next
from ioprof.tuning.limits import Limits
from ioprof.tuning.predictor import Corrected, Predicted
from ioprof.tuning.record import TUNE_FORMAT, TUNE_JSON, MeasuredRecord, TuneRecord
from ioprof.tuning.replay import Replay
from ioprof.tuning.room import room
from ioprof.tuning.search import Task
from ioprof.tuning.setting import Setting
from ioprof.tuning.task import Wish, first_record, limits_of, plan_of_smallest, wanted_settings
from ioprof.tuning.tuning import Tuning
from ioprof.tuning.workload import WorkloadRuns
from ioprof.units import format_bytes, parse_count, parse_duration_ns

DEFAULT_BUDGET_NS = 120 * 10**9
_LEFT_OUT = {
    **dict.fromkeys(("--json", "--quiet", "-q", "--dry-run"), False),
    **dict.fromkeys(
        ("--max-workers", "--budget", "--require", "--workers", "--prefetch", "--duration", "--label", "--results"),
        True,
    ),
}
"""Flags that the command for the winner leaves out, and whether a value follows."""


def tune_command(
    target: str,
    flags: list[tuple[str, str]],
    assignments: list[str],
    extra: list[str],
    *,
    most_workers: int | None,
    budget: str | None,
    require: list[str],
    dry_run: bool,
    as_json: bool,
    quiet: bool,
) -> int:
    """Find the smallest setting that feeds; the answer, or tune.json, goes to stdout.

    Raises:
        UsageError: there is nothing to tune.
        RunError: no setting could be measured.
        RequirementError: the winner's run does not meet what is required.
    """
    raw, requirements = raw_spec(target, flags, assignments, extra), [parse_requirement(text) for text in require]
    spec, host, budget_ns = resolve(raw), room(), _budget_ns(budget)
    refuse_unknowable(requirements, spec.accelerator.name)
    wish = _wish(raw, most_workers)
    usual = limits_of(plan_of_smallest(spec, wanted_settings(spec, wish, 1)), host, wish)
    wanted = wanted_settings(spec, wish, usual.most_workers)
    plan = plan_of_smallest(spec, wanted)
    if dry_run:
        _print_dry(plan, wanted, usual, as_json=as_json)
        return 0
    check_results(Path(spec.run.results))
    console = talk()
    with interruptible():
        tuning = _tuned(plan, wanted, usual, budget_ns, console, as_json=as_json, quiet=quiet)
    try:
        print_tune(tuning.record, results(), as_json=as_json)
        if not quiet:
            console.print(f"[dim]tune directory: {os.path.relpath(tuning.directory)}[/dim]", soft_wrap=True)
    finally:
        # Also when nobody reads the answer on: an unmet requirement must end in its exit code.
        _check(requirements, tuning)
    return 0


def _wish(raw: RawSpec, most_workers: int | None) -> Wish:
    """Return what was typed: a spec file's own workers and prefetch are what is to be tuned."""
    typed = {
        key: parse_count(raw.values["loader"][key])
        for key in ("workers", "prefetch")
        if raw.origins.get(("loader", key), "").startswith("--")
    }
    return Wish(workers=typed.get("workers"), prefetch=typed.get("prefetch"), most_workers=most_workers)


def _budget_ns(text: str | None) -> int:
    try:
        budget_ns = DEFAULT_BUDGET_NS if text is None else parse_duration_ns(text)
    except ValueError as error:
        raise UsageError(f"--budget: {error}") from error
    if budget_ns <= 0:
        raise UsageError(
            f"--budget {text}: must be above 0; two runs of a few seconds are the least that tunes anything"
        )
    return budget_ns


def _check(requirements: list[Requirement], tuning: Tuning) -> None:
    """Judge the run of the winner.

    Raises:
        RequirementError: it does not meet all of them.
    """
    winner = tuning.winners_run()
    if requirements and winner is not None:
        check_all(requirements, json.loads(api.load(winner, verdict_alone).summary.to_json()))


def _tuned(
    plan: RunPlan,
    wanted: tuple[Setting, ...],
    limits: Limits,
    budget_ns: int,
    console: TalkConsole,
    *,
    as_json: bool,
    quiet: bool,
) -> Tuning:
    spec, command = plan.spec, ["ioprof", *sys.argv[1:]]
    prepared = None
    if plan.loader.reads_storage:
        prepared = prepare_with_progress(
            plan.store, spec.workload, plan.layout, console=console, quiet=quiet, verify=False,
            smaller=spec.smaller_dataset,
        )  # fmt: skip
    record = first_record(plan, limits, command, budget_ns / 1e9)
    words = [record.started_utc.replace(":", "").replace("-", ""), "tune", spec.workload, spec.loader, spec.run.label]
    directory = make_directory(Path(spec.run.results), "-".join(filter(None, words)).replace("/", "_"))
    observer = Silent() if quiet else PhasesOnly(console)
    task = Task(
        tunable=WorkloadRuns(plan, prepared, directory, command, observer),
        predictor=Corrected(Replay()),
        settings=wanted,
        limits=limits,
        budget_s=budget_ns / 1e9,
    )
    tuning = Tuning(
        directory, record, task, command=lambda one: run_words(command, one), shows=_Shows(console, quiet=quiet)
    )
    try:
        tuning.run()
    except (Interrupted, IoprofError):
        if tuning.record.runs:
            print_tune(tuning.record, results() if as_json else console, as_json=as_json)
        console.print(f"partial tuning kept: {os.path.relpath(directory)}", soft_wrap=True)
        raise
    return tuning


def run_words(command: Sequence[str], setting: Setting) -> str:
    """Return the command that runs a setting, from the one that tuned it."""
    kept, skips = list[str](), False
    for word in command[1:]:
        name, equals, _ = word.partition("=")
        if skips:
            skips = False
        elif name in _LEFT_OUT:
            skips = _LEFT_OUT[name] and not equals
        else:
            kept.append("run" if word == "tune" and "run" not in kept else word)
    knobs = ["--workers", str(setting.workers)]
    if setting.prefetch is not None:
        knobs += ["--prefetch", str(setting.prefetch)]
    return shlex.join(["ioprof", *kept, *knobs])


class _Shows:
    """What a tuning says on stderr while it goes on."""

    def __init__(self, console: TalkConsole, *, quiet: bool) -> None:
        self._console, self._quiet = console, quiet

    def begins(self, record: TuneRecord, step: Next, predicted: Predicted | None) -> None:
        """Name the setting."""
        if self._quiet:
            return
        self._console.print(f"[bold]{begins_told(record, step, predicted)}[/bold]", soft_wrap=True)

    def predicts(self, settings: int) -> None:
        """Say so: it may take seconds."""
        if not self._quiet:
            self._console.print(f"[dim]predicting {settings} settings[/dim]", soft_wrap=True)

    def ended(self, run: MeasuredRecord) -> None:
        """Say what it gave."""
        if not self._quiet:
            self._console.print(f"  {ended_told(run)}", markup=False, soft_wrap=True)


def _print_dry(plan: RunPlan, wanted: Sequence[Setting], limits: Limits, *, as_json: bool) -> None:
    """Print what would be done: the spec, and the settings that fit."""
    fitting = [one for one in wanted if limits.refusal(one) is None]
    if as_json:
        tuned = {
            "settings": [{"workers": one.workers, "prefetch": one.prefetch} for one in fitting],
            "batch_bytes": limits.needs.batch_bytes,
            "cores": limits.room.cores,
        }
        print(json.dumps(plan.spec.sections(as_text=False) | {"tune": tuned}, indent=2))
        return
    counts = ", ".join(str(one) for one in dict.fromkeys(one.workers for one in fitting))
    aheads = ", ".join(str(one) for one in dict.fromkeys(one.prefetch for one in fitting) if one is not None)
    print(plugin_lines() + to_toml(plan.spec))
    print(f"# tune: workers {counts or 'none that fit'}" + (f"; prefetch {aheads}" if aheads else ""))
    print(f"# {limits.room.cores_told}; a batch takes about {format_bytes(limits.needs.batch_bytes or 0)}")


def print_tune(record: TuneRecord, console: Console, *, as_json: bool) -> None:
    """Print a tuning for people, or as tune.json has it."""
    if as_json:
        console.file.write(record.model_dump_json(indent=2) + "\n")
        return
    for line in render_tune(record, console.width):
        console.print(line, soft_wrap=True)


def report_tune(directory: Path, *, console: Console, as_json: bool) -> int:
    """Print what a tuning left.

    Raises:
        RunDirectoryError: it is corrupt, or of a newer format.
    """
    print_tune(read_record(directory / TUNE_JSON, TuneRecord, TUNE_FORMAT), console, as_json=as_json)
    return 0
