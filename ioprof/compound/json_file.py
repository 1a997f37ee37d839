"""Reading and replacing suite.json and mixed.json."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from ioprof.errors import RunDirectoryError

_Model = TypeVar("_Model", bound=BaseModel)


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


def read_record(path: Path, model: type[_Model], newest: int) -> _Model:
    """Return what a file holds.

    Raises:
        RunDirectoryError: it cannot be read, is corrupt, or was written by a newer ioprof.
    """
    try:
        text = path.read_text(encoding="utf-8")
        version = json.loads(text)["format"]
    except (OSError, UnicodeDecodeError) as error:
        raise RunDirectoryError(f"{path}: cannot be read: {error}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise RunDirectoryError(f"{path}: corrupt: not what ioprof writes ({error})") from error
    if not isinstance(version, int) or version > newest:
        raise RunDirectoryError(
            f"{path}: format {version!r} is newer than {newest}, the newest this ioprof reads; upgrade ioprof"
        )
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise RunDirectoryError(f"{path}: corrupt: {where}: {first['msg']}") from error


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
