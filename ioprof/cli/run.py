"""`ioprof run` and the commands that share its spec."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from pathlib import Path

from ioprof import api
from ioprof.cli.clean import clean_store
from ioprof.cli.console import TalkConsole, results, talk
from ioprof.cli.doctor import context_of, doctor_report
from ioprof.cli.html import page_beside, write_html, write_index
from ioprof.cli.listing import print_run_parameters
from ioprof.cli.metrics_target import metrics_target
from ioprof.cli.mixed import mixed_command, prepare_mixed_command, print_mixed_help, report_mixed
from ioprof.cli.prepare import prepare_with_progress
from ioprof.cli.probe import report_probe
from ioprof.cli.report import print_report, report_run
from ioprof.cli.show import LiveObserver
from ioprof.cli.suite import report_suite
from ioprof.cli.tune import report_tune
from ioprof.compound.mixed_record import MIXED_JSON
from ioprof.compound.mixed_spec import is_mixed
from ioprof.compound.suite_record import SUITE_JSON
from ioprof.dataset.place import place
from ioprof.dataset.prepare import Prepared
from ioprof.errors import RunError, UsageError
from ioprof.plugins import find_workload
from ioprof.requirement import check_all, parse_requirement, refuse_unknowable
from ioprof.runner.interrupt import interruptible, shielded
from ioprof.runner.observer import Observer, Silent
from ioprof.runner.plan import RunPlan, plan_run
from ioprof.spec.flags import raw_spec, refuse_flags_of_other_sections
from ioprof.spec.model import RunSpec, StoreSection
from ioprof.spec.render import plugin_lines, to_toml
from ioprof.spec.resolve import resolve
from ioprof.store.open_store import open_store
from ioprof.trace.probe_record import PROBE_JSON
from ioprof.trace.results_folder import check_results
from ioprof.trace.rundir import RUN_JSON
from ioprof.tuning.record import TUNE_JSON


def _resolved(target: str, flags: list[tuple[str, str]], assignments: list[str], extra: list[str]) -> RunSpec:
    return resolve(raw_spec(target, flags, assignments, extra))


def _tell_caveats(spec: RunSpec, *, quiet: bool) -> None:
    """Say what of another program's configuration becomes nothing here, before anything is done."""
    if not quiet:
        for caveat in spec.caveats:
            talk().print(caveat, soft_wrap=True, markup=False)


def run_command(
    target: str,
    flags: list[tuple[str, str]],
    assignments: list[str],
    extra: list[str],
    *,
    require: list[str],
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    metrics: str | None = None,
) -> int:
    """Run a workload; the report, or with ``as_json`` the summary, goes to stdout."""
    if is_mixed(target):
        if metrics is not None:
            raise UsageError("--metrics: a mixed run has several pipelines; run one of them by itself")
        return mixed_command(
            target, flags, assignments, extra, require=require, dry_run=dry_run, as_json=as_json, quiet=quiet
        )
    requirements = [parse_requirement(text) for text in require]
    spec = _resolved(target, flags, assignments, extra)
    refuse_unknowable(requirements, spec.accelerator.name)
    plan = plan_run(spec)
    _tell_caveats(spec, quiet=quiet)
    if dry_run:
        print(json.dumps(spec.sections(as_text=False), indent=2) if as_json else plugin_lines() + to_toml(spec))
        return 0
    check_results(Path(spec.run.results))
    observer = _observer(metrics, quiet=quiet)
    with interruptible():
        finished = _prepared_and_run(plan, observer, as_json=as_json, quiet=quiet)
    try:
        _print_result(finished, as_json=as_json)
        _tell_page(page_beside(finished))
        if not quiet:
            talk().print(f"[dim]run directory: {os.path.relpath(finished.directory)}[/dim]", soft_wrap=True)
    finally:
        # Also when nobody reads the report on: an unmet requirement must end in its exit code.
        check_all(requirements, json.loads(finished.summary.to_json()))
    if not finished.summary.steps:
        raise RunError(
            f"nothing was measured: the run ended within the {spec.run.warmup_steps} steps of its warm-up; "
            "use a longer --duration, more epochs or a smaller --warmup"
        )
    return 0


def _tell_page(problem: str | None) -> None:
    if problem is not None:
        talk().print(f"no page: {problem}", soft_wrap=True, markup=False)


def _print_result(finished: api.Run, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(json.loads(finished.summary.to_json()), indent=2), flush=True)
    else:
        print_report(finished.summary, finished.record, console=results())


def _observer(metrics: str | None, *, quiet: bool) -> Observer:
    """Return who is told how the run goes on; what the metrics need is tried out before anything is done."""
    if metrics is None:
        return Silent() if quiet else LiveObserver(talk())
    served = metrics_target(metrics)
    if not quiet:
        talk().print(f"metrics while steps are made: {served.told}", soft_wrap=True, markup=False)
    return LiveObserver(talk(), metrics=served, is_shown=not quiet)


def _prepared_and_run(plan: RunPlan, observer: Observer, *, as_json: bool, quiet: bool) -> api.Run:
    console = talk()
    prepared = _prepared(plan, console, quiet=quiet)
    try:
        return api.record_and_load(plan, prepared, ["ioprof", *sys.argv[1:]], observer)
    except api.RecordingStoppedError as stopped:
        if as_json:
            with contextlib.suppress(BrokenPipeError):
                _print_result(stopped.run, as_json=True)
        elif stopped.run.summary.steps and not quiet:
            print_report(stopped.run.summary, stopped.run.record, console=console)
        with shielded():
            _tell_page(page_beside(stopped.run))
        console.print(f"partial run kept: {os.path.relpath(stopped.run.directory)}", soft_wrap=True)
        raise stopped.cause from None


def _prepared(plan: RunPlan, console: TalkConsole, *, quiet: bool) -> Prepared | None:
    """Prepare the dataset; None where the loader would not read it."""
    if not plan.loader.reads_storage:
        if not quiet:
            console.print(f"the loader {plan.spec.loader} reads no storage: no dataset is prepared", soft_wrap=True)
        return None
    return prepare_with_progress(
        plan.store,
        plan.spec.workload,
        plan.layout,
        console=console,
        quiet=quiet,
        verify=False,
        smaller=plan.spec.smaller_dataset,
    )


def help_command(target: str, flags: list[tuple[str, str]]) -> int:
    """Print the flags that the run of a workload or a spec file takes."""
    if is_mixed(target):
        print_mixed_help(target)
        return 0
    print_run_parameters(raw_spec(target, flags, [], []))
    return 0


def prepare_command(
    target: str,
    flags: list[tuple[str, str]],
    assignments: list[str],
    extra: list[str],
    *,
    verify: bool,
    quiet: bool,
) -> int:
    """Prepare a workload's dataset; its path goes to stdout."""
    if is_mixed(target):
        return prepare_mixed_command(target, flags, assignments, extra, verify=verify, quiet=quiet)
    raw = raw_spec(target, flags, assignments, extra)
    refuse_flags_of_other_sections(raw)
    spec = resolve(raw)
    _tell_caveats(spec, quiet=quiet)
    layout = find_workload(spec.workload)(spec.workload_params, spec.run.seed).layout()
    store = open_store(spec.store.url)
    with interruptible():
        prepared = prepare_with_progress(
            store, spec.workload, layout, console=talk(), quiet=quiet, verify=verify, smaller=spec.smaller_dataset
        )
    print(place(prepared.store))
    return 0


def clean_command(url: str, *, assume_yes: bool) -> int:
    """Remove what ioprof made on a store."""
    store = open_store(url)
    with interruptible():
        return clean_store(
            store,
            url if store.local_root is not None else place(store),
            console=TalkConsole(highlight=False),
            assume_yes=assume_yes,
        )


def index_command(directory: Path, output: Path | None) -> int:
    """Write the index of a results folder; where it is goes to stdout."""
    print(write_index(directory, output))
    return 0


def html_command(directory: Path, output: Path | None) -> int:
    """Write the page of a run, a tuning or a probe; where it is goes to stdout."""
    print(write_html(directory, output))
    return 0


def report_command(directory: Path, *, as_json: bool) -> int:
    """Report a run directory, or that of a mixed run, a suite or a tuning."""
    if (directory / TUNE_JSON).is_file():
        return report_tune(directory, console=results(), as_json=as_json)
    if (directory / SUITE_JSON).is_file():
        return report_suite(directory, console=results(), as_json=as_json)
    if (directory / PROBE_JSON).is_file() and not (directory / RUN_JSON).is_file():
        return report_probe(directory, console=results(), as_json=as_json)
    if (directory / MIXED_JSON).is_file():
        return report_mixed(directory, console=results(), as_json=as_json)
    return report_run(directory, console=results(), as_json=as_json)


def doctor_command(
    target: str | None, flags: list[tuple[str, str]], assignments: list[str], extra: list[str], *, as_json: bool
) -> int:
    """Check the machine and the store, for the run of a workload or for any.

    Raises:
        UsageError: flags of a workload or a loader, but no workload.
    """
    if target is not None:
        spec = _resolved(target, flags, assignments, extra)
        return doctor_report(spec.store.url, console=results(), as_json=as_json, context=context_of(spec))
    given = [f"--{name}" for name, _ in flags if name != "store"] + [f"--set {text}" for text in assignments] + extra
    if given:
        raise UsageError(f"{given[0]}: of which run? name a workload too, such as ioprof doctor small-files {given[0]}")
    store_url = dict(flags).get("store", str(StoreSection.model_fields["url"].default))
    return doctor_report(store_url, console=results(), as_json=as_json)
