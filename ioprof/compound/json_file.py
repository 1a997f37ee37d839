"""Replacing suite.json and mixed.json, and the folders that hold them."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from pydantic import BaseModel

from ioprof.errors import RunDirectoryError


def write_record(path: Path, record: BaseModel) -> None:
    """Replace a file in one step, so that a reader finds the old or the new one.

    Raises:
        RunDirectoryError: the disk is full or the directory gone; the old file stays.
    """
    fresh = path.with_name(f"{path.name}.new")
    try:
        fresh.write_text(record.model_dump_json(indent=2) + "\n", encoding="utf-8")
        os.replace(fresh, path)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise RunDirectoryError(
            f"{path}: cannot be written: {error.strerror}; the run directories beside it are kept"
        ) from error


def make_directory(results: Path, name: str) -> Path:
    """Create and return a new folder below the results, with a number added where the name is taken.

    Raises:
        RunDirectoryError: the results folder is not writable.
    """
    try:
        results.mkdir(parents=True, exist_ok=True)
        for suffix in ["", *(f"-{number}" for number in range(2, 1000))]:
            directory = results / f"{name}{suffix}"
            # Asking first would leave a moment for another ioprof to take the name.
            with contextlib.suppress(FileExistsError):
                directory.mkdir()
                return directory
    except OSError as error:
        raise RunDirectoryError(
            f"{results}: cannot write results there: {error.strerror}; choose another folder with --results"
        ) from error
    raise RunDirectoryError(f"{results}: holds a thousand of {name}; use --label")
