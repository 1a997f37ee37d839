"""What a program left behind: its run directories, completed where a process ended too suddenly to do so itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from ioprof.api import load
from ioprof.errors import RunDirectoryError
from ioprof.report.html.run_page import write_run_page
from ioprof.report.jsonfile import write_summary
from ioprof.trace.finish import finished, remove_raw
from ioprof.trace.liveness import as_it_stands
from ioprof.trace.run_record import Outcome, RunRecord
from ioprof.trace.rundir import RAW, RUN_JSON, read_run_json, write_run_json
from ioprof.watcher.session import LOADERS


def with_loaders(directory: Path) -> Iterator[Path]:
    """Yield the run directory of a process and those of its other loaders, which lie below it."""
    yield directory
    yield from sorted(found.parent for found in (directory / LOADERS).glob(f"*/{RUN_JSON}"))


def complete(directories: Iterable[Path], exit_code: int) -> list[str]:
    """Analyse run directories, closing first what a process left open; return a line for each that cannot be.

    Args:
        directories: of the program's processes.
        exit_code: what the program ended with, as shells tell it.
    """
    problems = []
    for directory in directories:
        for one in with_loaders(directory):
            try:
                _complete(one, exit_code)
            except RunDirectoryError as error:
                problems.append(str(error))
            except OSError as error:
                problems.append(f"{one}: cannot be completed: {error.strerror}; ioprof report reads what is there")
    return problems


def _complete(directory: Path, exit_code: int) -> None:
    record = as_it_stands(directory, read_run_json(directory))
    if record.outcome == "running":
        raise RunDirectoryError(f"{directory}: still being recorded; later: ioprof report {directory}")
    if (directory / RAW).exists():
        _close(directory, record, exit_code)
    summary = load(directory).summary
    write_summary(directory, summary)
    write_run_page(directory, summary)


def _close(directory: Path, record: RunRecord, exit_code: int) -> None:
    outcome, reason = _ended(exit_code)
    ended = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    record = record.model_copy(update={"outcome": outcome, "reason": reason, "ended_utc": ended})
    write_run_json(directory, finished(directory, record))
    remove_raw(directory)


def _ended(exit_code: int) -> tuple[Outcome, str | None]:
    if exit_code == 0:
        return "complete", None
    if exit_code > 128:
        return "interrupted", f"the program was ended by signal {exit_code - 128}"
    return "failed", f"the program ended with exit code {exit_code}, past Python's own way to exit"
