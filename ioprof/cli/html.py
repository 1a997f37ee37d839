"""`ioprof report RUN --html`, and the page at the end of a run."""

from __future__ import annotations

import os
from pathlib import Path

from ioprof import api
from ioprof.cli.report import PastRun, past_runs
from ioprof.compound.mixed_record import MIXED_JSON
from ioprof.compound.suite_record import SUITE_JSON
from ioprof.errors import RunDirectoryError
from ioprof.report.html.index import INDEX_HTML, IndexRow, index_page
from ioprof.report.html.probe import probe_page
from ioprof.report.html.run_page import REPORT_HTML, run_page, write_page, write_run_page
from ioprof.report.html.tune import tune_page
from ioprof.trace.json_record import read_record
from ioprof.trace.probe_record import PROBE_JSON, read_probe
from ioprof.trace.reader import load_trace
from ioprof.trace.rundir import RUN_JSON
from ioprof.tuning.record import TUNE_FORMAT, TUNE_JSON, TuneRecord


def write_html(directory: Path, output: Path | None) -> Path:
    """Write the page of a run, a tuning or a probe, anew from what the folder holds; return where it is.

    Args:
        directory: of the run.
        output: file to write; None: report.html in the folder.
    Raises:
        RunDirectoryError: it cannot be read, has no page, or the page cannot be written.
    """
    content, path = _page_of(directory), output or directory / REPORT_HTML
    write_page(path, content)
    return path


def _page_of(directory: Path) -> str:
    if (directory / TUNE_JSON).is_file():
        return tune_page(read_record(directory / TUNE_JSON, TuneRecord, TUNE_FORMAT))
    for name in (SUITE_JSON, MIXED_JSON):
        if (directory / name).is_file():
            raise RunDirectoryError(f"{directory}: holds several runs, each with a page of its own: name one of them")
    if (directory / PROBE_JSON).is_file() and not (directory / RUN_JSON).is_file():
        found = read_probe(directory)
        if found is None:
            raise RunDirectoryError(f"{directory}: not a probe's directory")
        return probe_page(found)
    trace = load_trace(directory)
    return run_page(trace, api.load(directory).summary)


def write_index(results: Path, output: Path | None) -> Path:
    """Write the index of a results folder; return where it is.

    Raises:
        RunDirectoryError: there is no such folder, or the page cannot be written.
    """
    if not results.is_dir():
        raise RunDirectoryError(
            f"{results}: not a folder; run directories lie in ./results unless --results says otherwise"
        )
    path = output or results / INDEX_HTML
    rows = [_index_row(one, results, path.parent) for one in past_runs(results)]
    write_page(path, index_page(str(results), rows))
    return path


def _index_row(one: PastRun, results: Path, beside: Path) -> IndexRow:
    found = results / one.name / REPORT_HTML
    return IndexRow(**one.as_json(), page=os.path.relpath(found, beside) if found.exists() else None)  # type: ignore[arg-type]


def page_beside(run: api.Run) -> str | None:
    """Leave report.html in a run's directory; return why it could not be, None: it is there."""
    try:
        write_run_page(run.directory, run.summary)
    except RunDirectoryError as error:
        return str(error)
    return None
