"""Whether a run that says it is running still is: its recording process holds a lock that ends with it."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ioprof.trace.run_record import RunRecord
from ioprof.trace.rundir import RAW

KILLED = "the process ended without closing the run (killed?); what it had recorded is complete up to then"
_LOCK = "running.lock"


@contextmanager
def held(directory: Path) -> Iterator[None]:
    """Mark a run directory as being recorded by this process; the kernel takes the mark back however that ends.

    Where it cannot be made (the disk is full, the file system has no locks), readers take the run for a killed one
    until it has ended.
    """
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            descriptor = os.open(directory / RAW / _LOCK, os.O_CREAT | os.O_RDWR, 0o644)
            stack.callback(os.close, descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


def as_it_stands(directory: Path, record: RunRecord) -> RunRecord:
    """Return the record with the outcome that is true now: a run whose process is gone was interrupted."""
    if record.outcome != "running" or _is_held(directory):
        return record
    return record.model_copy(update={"outcome": "interrupted", "reason": KILLED})


def _is_held(directory: Path) -> bool:
    try:
        descriptor = os.open(directory / RAW / _LOCK, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False
