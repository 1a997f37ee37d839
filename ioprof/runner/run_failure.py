"""What ended a run, in words: for run.json, and for whoever started it."""

from __future__ import annotations

import contextlib
import errno
import re
from collections.abc import Iterator

from ioprof.errors import ResultsFullError, RunDirectoryError

DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.ESTALE}
"""What the disk of the results may answer to writing the trace."""


@contextlib.contextmanager
def told_beside(first: BaseException | None) -> Iterator[None]:
    """Let what ended the run keep its exit code; what its directory refuses on top becomes a note of it."""
    try:
        yield
    except RunDirectoryError as second:
        if first is None:
            raise
        if isinstance(first, ResultsFullError):
            return  # the same disk
        first.add_note(str(second))


def told(error: Exception) -> str:
    """Return the error's class and message: a worker's own, where torch put its traceback in front of them."""
    own = last_line(error)
    return own if "\n" in str(error).strip() else f"{type(error).__name__}: {own}"


def last_line(error: Exception) -> str:
    """Return the last line of an error, without its class: torch puts a worker's own message there."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return re.sub(r"^ioprof\.errors\.\w+: ", "", lines[-1]) if lines else ""
