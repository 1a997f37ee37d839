"""The folder that run directories are made in, looked at before anything is measured. Loads nothing that takes long."""

from __future__ import annotations

import os
from pathlib import Path

from ioprof.errors import RunDirectoryError


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
        raise not_writable(results, error) from error


def not_writable(results: Path, error: OSError) -> RunDirectoryError:
    """Return the error that tells of it, and what to do."""
    return RunDirectoryError(
        f"{results}: cannot write results there: {error.strerror}; choose another folder with --results"
    )
