"""The closed sets of the trace: operation kinds, phases, and what can go wrong with an operation."""

import errno
from enum import IntEnum


class Kind(IntEnum):
    """What a span timed. The numbers are stored in traces and never change their meaning."""

    LIST = 1
    STAT = 2
    OPEN = 3
    READ = 4
    CLOSE = 5
    WRITE = 6
    FSYNC = 7
    RENAME = 8
    UNLINK = 9
    MKDIR = 10
    RMDIR = 11
    GET = 12
    PUT = 13
    CREATE = 14
    """Opening a new file for writing; `OPEN` is for files that exist."""
    GETXATTR = 15
    SETXATTR = 16
    MAP = 17
    """Mapping a file into memory; what its pages cost later shows in faults, not here."""
    TOUCH = 18
    """Copying bytes out of a mapping: its page faults are what reads the store."""
    DECODE = 20

    @property
    def label(self) -> str:
        """The lower-case word used in files and reports."""
        return self.name.lower()


STORAGE_KINDS = tuple(kind for kind in Kind if kind < Kind.DECODE)
READ_KINDS = (Kind.READ, Kind.GET, Kind.TOUCH)
"""Kinds whose bytes came from the store."""
WRITE_KINDS = (Kind.WRITE, Kind.PUT)
"""Kinds whose bytes went to the store."""


class Phase(IntEnum):
    """Which part of a run an operation belongs to; statistics are kept apart for each."""

    DISCOVERY = 0
    WARMUP = 1
    STEADY = 2
    EPOCH_START = 3
    """What each worker does by itself before its first batch of an epoch, such as a walk of the tree."""
    CHECKPOINT = 4
    """Saving and restoring checkpoints; apart from the reading of samples in every figure."""
    CLOSING = 5
    """What workers hand over when they end and no batch was known to be their last; outside of the measured window."""

    @property
    def label(self) -> str:
        """The lower-case word used in files and reports."""
        return self.name.lower()


CHECKPOINT_BATCH = -2
"""Batch number of operations that belong to a checkpoint."""

SHORT_READ = 1001
"""Error code of a read that returned fewer bytes than the manifest says; all other codes are errno."""
UNNAMED_ERROR = 1002
"""Error code of a failure that carries no errno (an object store's own exception)."""
BAD_CHECKSUM = 1003
"""Error code of bytes that do not match the checksum stored with them."""
BAD_FORMAT = 1004
"""Error code of bytes that are not what the format asks for."""
MISSING_COLUMN = 1005
"""Error code of a table that lacks a column that was asked for."""
UNSAFE_PATH = 1006
"""Error code of an archive member whose name leads out of the archive."""
EMPTY_SAMPLE = 1007
"""Error code of a sample without bytes."""
_OWN_NAMES = {
    SHORT_READ: "short-read",
    BAD_CHECKSUM: "bad-checksum",
    BAD_FORMAT: "bad-format",
    MISSING_COLUMN: "missing-column",
    UNSAFE_PATH: "unsafe-path",
    EMPTY_SAMPLE: "empty-sample",
}


def error_code(error: OSError) -> int:
    """Return the errno of an error, or `UNNAMED_ERROR` where it has none."""
    return error.errno or UNNAMED_ERROR


def error_name(code: int) -> str:
    """Return ``ENOENT``, ``short-read`` and the like; an empty string for success (code 0)."""
    if code == 0:
        return ""
    return _OWN_NAMES.get(code) or errno.errorcode.get(code, "error")
