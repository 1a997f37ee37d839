"""`ioprof report` and the past runs of `ioprof list`, on directories written by hand."""

from __future__ import annotations

import dataclasses
import io
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from rich.console import Console
from trace_builder import MS, Pipeline, run_record

from ioprof.analysis.summarise import summarise
from ioprof.cli.report import past_runs, past_runs_table, report_run
from ioprof.errors import RunDirectoryError
from ioprof.report.jsonfile import write_summary
from ioprof.trace.liveness import held
from ioprof.trace.reader import load_trace
from ioprof.trace.rundir import RAW, write_run_json
from ioprof.trace.schema import HOST
from ioprof.trace.trace import Trace


def write_run(directory: Path, trace: Trace) -> Path:
    """Write a finished run directory without its summary."""
    directory.mkdir(parents=True)
    write_run_json(directory, trace.run)
    tables = {"steps": trace.steps, "batches": trace.batches, "operations": trace.operations}
    for name, content in (tables | {"host": HOST.empty_table()}).items():
        pq.write_table(content, directory / f"{name}.parquet")
    return directory


@pytest.fixture
def trace() -> Trace:
    """Return a short run of a starved pipeline."""
    return Pipeline(fetch=[30 * MS] * 30, prep=[MS] * 30, compute=[10 * MS] * 30).trace(warmup_steps=2)


@pytest.fixture
def console() -> Console:
    """Return a console that keeps what is printed."""
    return Console(file=io.StringIO(), width=100)


def printed(console: Console) -> str:
    """Return what was printed."""
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_run_directory_is_analysed_anew_and_left_alone(tmp_path: Path, trace: Trace, console: Console) -> None:
    """The report needs only the trace, and writes nothing into the directory."""
    directory = write_run(tmp_path / "run", trace)
    before = sorted(directory.iterdir())
    assert report_run(directory, console=console, as_json=False) == 0
    assert "accelerator idle" in printed(console)
    assert sorted(directory.iterdir()) == before


def test_json_on_stdout_is_the_summary_and_nothing_else(tmp_path: Path, trace: Trace, console: Console) -> None:
    """Machines get exactly summary.json, however narrow the console."""
    directory = write_run(tmp_path / "run", trace)
    report_run(directory, console=console, as_json=True)
    assert json.loads(printed(console)) == json.loads(summarise(trace).to_json())


def test_a_directory_that_is_no_run_is_refused_in_one_line(tmp_path: Path, console: Console) -> None:
    """The error names the directory."""
    with pytest.raises(RunDirectoryError, match=str(tmp_path)):
        report_run(tmp_path, console=console, as_json=False)


def test_past_runs_are_listed_newest_first_and_broken_ones_with_them(tmp_path: Path, trace: Trace) -> None:
    """One good run, one killed before its summary, one corrupt, one of the future: all listed, none a crash.

    What the steps of the killed one say is what its report says.
    """
    good = write_run(tmp_path / "a-good", trace)
    write_summary(good, summarise(trace))
    later = run_record(started_utc="2026-12-01T00:00:00Z", outcome="running")
    write_run(tmp_path / "b-killed", dataclasses.replace(trace, run=later))
    for name, content in (("c-corrupt", "{"), ("d-newer", '{"format": 99}')):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").write_text(content)
    (tmp_path / "not-a-run").mkdir()
    (tmp_path / "a-file").write_text("")
    runs = past_runs(tmp_path)
    assert [run.name for run in runs] == ["b-killed", "a-good", "d-newer", "c-corrupt"]
    assert [run.outcome for run in runs] == ["interrupted", "complete", "unreadable", "unreadable"]
    assert runs[1].accelerator_utilization == summarise(trace).accelerator_utilization
    summary = summarise(load_trace(tmp_path / "b-killed"))
    assert runs[0].accelerator_utilization == summary.accelerator_utilization is not None
    assert runs[0].samples_per_s == summary.samples_per_s is not None
    assert (runs[0].problem, runs[1].problem) == (None, None)
    assert all(run.problem for run in runs[2:])
    assert json.dumps([run.as_json() for run in runs])


def test_the_list_and_the_report_agree_on_a_run_that_has_not_ended(tmp_path: Path, trace: Trace) -> None:
    """Running while its process holds the directory, interrupted once that is gone."""
    directory = write_run(tmp_path / "run", dataclasses.replace(trace, run=run_record(outcome="running")))
    (directory / RAW).mkdir()
    with held(directory):
        assert past_runs(tmp_path)[0].outcome == load_trace(directory).run.outcome == "running"
    assert past_runs(tmp_path)[0].outcome == load_trace(directory).run.outcome == "interrupted"


def test_the_table_of_past_runs_shows_name_utilisation_rate_and_outcome(
    tmp_path: Path, trace: Trace, console: Console
) -> None:
    """What one needs to find a run again."""
    write_summary(write_run(tmp_path / "good", trace), summarise(trace))
    console.print(past_runs_table(past_runs(tmp_path), tmp_path))
    assert all(word in printed(console) for word in ("good", " %", "complete", "H100"))


def test_a_summary_of_another_version_costs_no_figures(tmp_path: Path, trace: Trace) -> None:
    """Its keys are not today's; the steps beside it say the same."""
    directory = write_run(tmp_path / "old", trace)
    (directory / "summary.json").write_text('{"format": 1}')
    (found,) = past_runs(tmp_path)
    assert found.samples_per_s == summarise(trace).samples_per_s is not None
    assert found.problem is None


def test_the_table_says_why_there_are_no_figures(tmp_path: Path, console: Console) -> None:
    """A run that was killed before its first measured step, and one that cannot be read."""
    early = Pipeline(fetch=[30 * MS] * 3, prep=[MS] * 3, compute=[10 * MS] * 3).trace(warmup_steps=5)
    write_run(tmp_path / "early", dataclasses.replace(early, run=run_record(outcome="running", warmup_steps=5)))
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "run.json").write_text("{")
    console.print(past_runs_table(past_runs(tmp_path), tmp_path))
    told = " ".join(printed(console).split())
    assert "interrupted: all 3 steps were warm-up" in told
    assert "unreadable: run.json: corrupt" in told


def test_no_results_yet_is_no_error(tmp_path: Path, console: Console) -> None:
    """A missing results folder lists nothing and says how to make a run."""
    assert past_runs(tmp_path / "missing") == []
    console.print(past_runs_table([], tmp_path))
    assert "ioprof run small-files" in printed(console)
