"""`ioprof report RUN --html`, and the page at the end of a run."""

from __future__ import annotations

from pathlib import Path

from ioprof import api
from ioprof.compound.mixed_record import MIXED_JSON
from ioprof.compound.suite_record import SUITE_JSON
from ioprof.errors import RunDirectoryError
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


def page_beside(run: api.Run) -> str | None:
    """Leave report.html in a run's directory; return why it could not be, None: it is there."""
    try:
        write_run_page(run.directory, run.summary)
    except RunDirectoryError as error:
        return str(error)
    return None
