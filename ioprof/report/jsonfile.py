"""summary.json in a run directory."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from ioprof.analysis.summary import Summary
from ioprof.errors import RunDirectoryError

SUMMARY_JSON = "summary.json"
_SUMMARY = TypeAdapter(Summary)


def write_summary(directory: Path, summary: Summary) -> Path:
    """Replace summary.json in one step, so that a reader finds the old or the new one; return its path.

    Raises:
        RunDirectoryError: the directory is not writable or the disk is full; the old file stays.
    """
    path, fresh = directory / SUMMARY_JSON, directory / f"{SUMMARY_JSON}.new"
    try:
        fresh.write_text(summary.to_json(), encoding="utf-8")
        os.replace(fresh, path)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise RunDirectoryError(
            f"{path}: cannot be written: {error.strerror}; ioprof report needs only the trace beside it"
        ) from error
    return path


def read_summary(directory: Path) -> Summary:
    """Return the summary that a run directory holds.

    Raises:
        RunDirectoryError: it has none, or it is corrupt or of another format.
    """
    path = directory / SUMMARY_JSON
    try:
        return _SUMMARY.validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise RunDirectoryError(f"{directory}: has no {SUMMARY_JSON} (not analysed yet)") from error
    except OSError as error:
        raise RunDirectoryError(f"{path}: cannot be read: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise RunDirectoryError(f"{path}: corrupt: {where}: {first['msg']}") from error
