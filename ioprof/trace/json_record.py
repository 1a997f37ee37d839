"""The JSON records of run directories, read and replaced: run.json, probe.json, suite.json, mixed.json."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from ioprof.errors import RunDirectoryError

_Model = TypeVar("_Model", bound=BaseModel)


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
    except (ValueError, KeyError, TypeError, RecursionError) as error:
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


def replace_record(path: Path, record: BaseModel) -> None:
    """Write a file anew in one step, so that a reader finds the old or the new one.

    Raises:
        OSError: the disk is full or the directory gone; the old file stays.
    """
    fresh = path.with_name(f"{path.name}.new")
    try:
        fresh.write_text(record.model_dump_json(indent=2) + "\n", encoding="utf-8")
        os.replace(fresh, path)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise


def write_record(path: Path, record: BaseModel, hint: str = "") -> None:
    """Do what `replace_record` does.

    Args:
        path: the file.
        record: its content.
        hint: said after what is wrong.

    Raises:
        RunDirectoryError: the disk is full or the directory gone; the old file stays.
    """
    try:
        replace_record(path, record)
    except OSError as error:
        raise RunDirectoryError(f"{path}: cannot be written: {error.strerror}{hint}") from error
