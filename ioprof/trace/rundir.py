"""Run directories: their names, run.json, and the raw files a run writes before it is finished."""

from __future__ import annotations

import os
from pathlib import Path

from ioprof.errors import RunDirectoryError
from ioprof.trace.json_record import read_record, replace_record
from ioprof.trace.results_folder import not_writable
from ioprof.trace.run_record import RunRecord
from ioprof.trace.schema import FORMAT

RUN_JSON = "run.json"
RAW = "trace"
"""Folder of the raw files; gone once the tables are written."""


def create_run_directory(results: Path, *, started_utc: str, workload: str, loader: str, label: str | None) -> Path:
    """Create and return a new run directory with its raw folder.

    Raises:
        RunDirectoryError: the results folder is not writable.
    """
    parts = [started_utc.replace(":", "").replace("-", ""), workload, loader, *([label] if label else [])]
    name = "-".join(part.replace("/", "_").replace(":", "_") for part in parts)
    try:
        results.mkdir(parents=True, exist_ok=True)
        for suffix in ["", *(f"-{n}" for n in range(2, 1000))]:
            directory = results / f"{name}{suffix}"
            if not directory.exists():
                (directory / RAW).mkdir(parents=True)
                return directory
    except OSError as error:
        raise not_writable(results, error) from error
    raise RunDirectoryError(f"{results}: holds a thousand runs named {name}; use --label")


def write_run_json(directory: Path, record: RunRecord) -> None:
    """Replace run.json in one step, so that a reader finds the old or the new one.

    Raises:
        OSError: the disk is full or the directory gone; the old file stays.
    """
    replace_record(directory / RUN_JSON, record)


def read_run_json(directory: Path) -> RunRecord:
    """Return what run.json says.

    Raises:
        RunDirectoryError: not a run directory, corrupt, or written by a newer ioprof.
    """
    path = directory / RUN_JSON
    # Asked of the name itself: what lies in its place, or behind it, is told by the reader.
    if not os.path.lexists(path):
        raise RunDirectoryError(f"{directory}: not a run directory (it has no {RUN_JSON})")
    return read_record(path, RunRecord, FORMAT)
