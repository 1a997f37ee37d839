"""The page of a run: which sections, in which order, and where the file goes."""

from __future__ import annotations

import os
from pathlib import Path

from ioprof.analysis.summary import Summary
from ioprof.errors import RunDirectoryError
from ioprof.report.html.answer import findings, verdict
from ioprof.report.html.facts import facts
from ioprof.report.html.idle import idle
from ioprof.report.html.latency import latency
from ioprof.report.html.over_time import over_time
from ioprof.report.html.page import page
from ioprof.report.html.roofs import roofline
from ioprof.report.html.store import store_curve
from ioprof.report.html.timeline import timeline
from ioprof.trace.reader import load_trace
from ioprof.trace.trace import Trace

REPORT_HTML = "report.html"
SECTIONS = (verdict, idle, roofline, timeline, latency, over_time, store_curve, findings, facts)
"""In the order in which questions come: the answer, its parts, what happened when, what would help, all the rest."""


def run_page(trace: Trace, summary: Summary) -> str:
    """Return the page of a run."""
    label = trace.run.label
    title = f"{summary.workload} · {summary.loader}" + (f" · {label}" if label else "")
    subtitle = f"ioprof {trace.run.ioprof_version}, {trace.run.started_utc}, store {summary.store}"
    return page(title, subtitle, [section(trace, summary) for section in SECTIONS])


def write_run_page(directory: Path, summary: Summary) -> None:
    """Leave the page of a run in its directory.

    Raises:
        RunDirectoryError: the trace cannot be read, or the page not be written.
    """
    write_page(directory / REPORT_HTML, run_page(load_trace(directory), summary))


def write_page(path: Path, content: str) -> None:
    """Replace a page in one step, so that a reader finds the old or the new one.

    Raises:
        RunDirectoryError: the folder is not writable or the disk is full; an old page stays.
    """
    fresh = path.with_name(f"{path.name}.new")
    try:
        fresh.write_text(content, encoding="utf-8")
        os.replace(fresh, path)
    except OSError as error:
        if fresh.is_file():
            fresh.unlink()
        raise RunDirectoryError(
            f"{path}: cannot be written: {error.strerror}; free space there, or name another file (--output)"
        ) from error
