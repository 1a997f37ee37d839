"""`ioprof probe`, and `ioprof report` of what it leaves."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from rich.console import Console

from ioprof.cli.console import TalkConsole, results, talk
from ioprof.cli.prepare import prepare_with_progress
from ioprof.cli.show import LiveObserver
from ioprof.compound.json_file import make_directory
from ioprof.errors import IoprofError, RunDirectoryError, RunError, UsageError
from ioprof.probe.pattern import Pattern
from ioprof.probe.probe import MOST_PROCESSES, probe
from ioprof.report.probe import render_probe
from ioprof.runner.interrupt import Interrupted, interruptible, shielded
from ioprof.runner.observer import Observer, Silent
from ioprof.runner.plan import RunPlan, plan_run
from ioprof.runner.probing import empty_record, probe_job, probe_refusal, started_utc, with_figures, with_levels
from ioprof.runner.run_dataset import run_dataset
from ioprof.spec.flags import raw_spec, refuse_flags_without_part_in_probe
from ioprof.spec.resolve import resolve
from ioprof.store.object_reads import reads_in_use
from ioprof.trace.probe_record import LevelRecord, ProbeRecord, read_probe, write_probe
from ioprof.trace.results_folder import check_results

DEFAULT_DURATION_NS = 20 * 10**9


def probe_command(
    target: str,
    flags: list[tuple[str, str]],
    assignments: list[str],
    extra: list[str],
    *,
    processes: int | None,
    as_json: bool,
    quiet: bool,
) -> int:
    """Measure the ceiling of a workload's store; the table, or probe.json, goes to stdout.

    Raises:
        UsageError: the workload cannot be probed, a flag has no part in it, or the environment asks for
            no known reader.
        RunError: nothing could be measured.
    """
    raw = raw_spec(target, flags, assignments, extra)
    # Asked before anything is made: the processes of the probe could only fail by it.
    reads_in_use()
    refuse_flags_without_part_in_probe(raw)
    spec = resolve(raw)
    plan = plan_run(spec)
    if (refusal := probe_refusal(plan.workload)) is not None:
        raise UsageError(refusal)
    check_results(Path(spec.run.results))
    budget_ns = DEFAULT_DURATION_NS if spec.duration_is_default or spec.run.duration is None else spec.run.duration
    console = talk()
    with interruptible():
        directory, record = _probed(
            plan, console, budget_ns=budget_ns, most=processes or MOST_PROCESSES, quiet=quiet, as_json=as_json
        )
    print_probe(record, results(), as_json=as_json)
    if not quiet:
        console.print(f"[dim]probe directory: {os.path.relpath(directory)}[/dim]", soft_wrap=True)
    if record.ceiling is None:
        told = "; ".join(record.caveats) or "no level read anything"
        raise RunError(f"nothing was measured: {told}")
    return 0


def _probed(
    plan: RunPlan, console: TalkConsole, *, budget_ns: int, most: int, quiet: bool, as_json: bool
) -> tuple[Path, ProbeRecord]:
    prepared = prepare_with_progress(
        plan.store, plan.spec.workload, plan.layout, console=console, quiet=quiet, verify=False
    )
    started, run = started_utc(), plan.spec.run
    words = [
        started.replace(":", "").replace("-", ""),
        plan.spec.workload,
        "probe",
        *([run.label] if run.label else []),
    ]
    directory = make_directory(Path(run.results), "-".join(words).replace("/", "_"))
    record = empty_record(plan, ["ioprof", *sys.argv[1:]], started, "running", None)
    _begin(directory, record)
    levels: list[LevelRecord] = []
    observer: Observer = Silent() if quiet else LiveObserver(console)
    observer.phase("probing the store")

    def measured(level: LevelRecord) -> None:
        levels.append(level)
        write_probe(directory, with_levels(record, levels))

    try:
        found = probe(
            Pattern(probe_job(plan, run_dataset(plan, prepared))),
            budget_ns=budget_ns,
            first=1,
            most=most,
            is_warm=False,
            measured=measured,
            tick=lambda spent_ns: observer.progress(spent_ns, budget_ns),
        )
        record = with_figures(record.model_copy(update={"outcome": "complete"}), found)
    except Interrupted as signal:
        record = _ended(record, levels, "interrupted", f"{signal.signal_name} received")
        raise
    except IoprofError as error:
        record = _ended(record, levels, "failed", str(error))
        raise
    except OSError as error:
        failed = RunError(f"the probe could not go on: {error}")
        record = _ended(record, levels, "failed", str(failed))
        raise failed from error
    except BaseException as error:
        record = _ended(record, levels, "failed", " ".join(f"{type(error).__name__}: {error}".split()))
        raise
    finally:
        with shielded():
            observer.finished()
            if levels and record.outcome != "complete" and not quiet:
                console.print(f"[dim]what was measured is kept: {os.path.relpath(directory)}[/dim]", soft_wrap=True)
            write_probe(directory, record)
    return directory, record


def _begin(directory: Path, record: ProbeRecord) -> None:
    """Write a record without levels, so that no moment leaves a folder without one.

    Raises:
        RunDirectoryError: it cannot be written; the folder is gone.
    """
    try:
        write_probe(directory, record)
    except RunDirectoryError:
        directory.rmdir()
        raise


def _ended(record: ProbeRecord, levels: list[LevelRecord], outcome: str, reason: str) -> ProbeRecord:
    return with_levels(record, levels).model_copy(update={"outcome": outcome, "reason": reason})


def print_probe(record: ProbeRecord, console: Console, *, as_json: bool) -> None:
    """Print a probe for people, or as probe.json has it."""
    if as_json:
        console.file.write(record.model_dump_json(indent=2) + "\n")
        return
    for line in render_probe(record, console.width):
        console.print(line, soft_wrap=True)


def report_probe(directory: Path, *, console: Console, as_json: bool) -> int:
    """Print what a probe left.

    Raises:
        RunDirectoryError: it is corrupt, or of a newer format.
    """
    record = read_probe(directory)
    if record is None:
        raise RunDirectoryError(f"{directory}: not a probe's directory")
    print_probe(record, console, as_json=as_json)
    return 0
