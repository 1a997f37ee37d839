"""Run directories: their names, run.json, and the raw files a run writes before it is finished."""

from __future__ import annotations

import json
import os
from pathlib import Path

from pydantic import ValidationError

from ioprof.errors import RunDirectoryError
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
        raise _not_writable(results, error) from error
    raise RunDirectoryError(f"{results}: holds a thousand runs named {name}; use --label")


def check_results(results: Path) -> None:
    """Find out now, not after a long preparation, whether run directories can be made.

    Raises:
        RunDirectoryError: they cannot.
    """
    try:
        results.mkdir(parents=True, exist_ok=True)
        probe = results / f".ioprof-probe-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise _not_writable(results, error) from error


def _not_writable(results: Path, error: OSError) -> RunDirectoryError:
    return RunDirectoryError(
        f"{results}: cannot write results there: {error.strerror}; choose another folder with --results"
    )


def write_run_json(directory: Path, record: RunRecord) -> None:
    """Replace run.json in one step, so that a reader finds the old or the new one.

    Raises:
        OSError: the disk is full or the directory gone; the old file stays.
    """
    fresh = directory / f"{RUN_JSON}.new"
    try:
        fresh.write_text(record.model_dump_json(indent=2) + "\n", encoding="utf-8")
        os.replace(fresh, directory / RUN_JSON)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise


def read_run_json(directory: Path) -> RunRecord:
    """Return what run.json says.

    Raises:
        RunDirectoryError: not a run directory, corrupt, or written by a newer ioprof.
    """
    path = directory / RUN_JSON
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise RunDirectoryError(f"{directory}: not a run directory (it has no {RUN_JSON})") from error
    except (OSError, UnicodeDecodeError) as error:
        raise RunDirectoryError(f"{path}: cannot be read: {error}") from error
    _refuse_newer(path, text)
    try:
        return RunRecord.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise RunDirectoryError(f"{path}: corrupt: {where}: {first['msg']}") from error


def _refuse_newer(path: Path, text: str) -> None:
    try:
        content = json.loads(text)
        version = content["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise RunDirectoryError(f"{path}: corrupt: not a run record ({error})") from error
    if not isinstance(version, int) or version > FORMAT:
        raise RunDirectoryError(
            f"{path}: format {version!r} is newer than {FORMAT}, the newest this ioprof reads; upgrade ioprof"
        )
