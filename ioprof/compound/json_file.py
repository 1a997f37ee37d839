"""The folders that hold suite.json and mixed.json."""

from __future__ import annotations

import contextlib
from pathlib import Path

from ioprof.errors import FREE_SPACE, RunDirectoryError

KEPT = f"; {FREE_SPACE}; the run directories beside it are kept"
"""Said where one of them cannot be written."""


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
