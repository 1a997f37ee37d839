"""Every error a user can meet, and the exit code each branch ends in.

    IoprofError                 1   something failed
    +-- UsageError              2   the question itself was wrong
    |   +-- SpecError           2   a key, a value or a file of the spec
    |   +-- PluginError         2   no such workload, loader or accelerator; or its extra is missing
    +-- StoreError              1   the store refused, lacks space, or is not ours to touch
    |   +-- DatasetError        1   the dataset is missing, foreign, different or damaged
    |   +-- StoreFullError      1   no space or inodes left; what was written stays usable
    +-- RunError                1   the run could not go on
    |   +-- TooManyErrorsError  1   more operation errors than --max-errors allows
    |   +-- WorkerDiedError     1   a loader's worker process was killed or crashed
    |   +-- ResultsFullError    1   the disk of the results refuses the trace; what was measured is kept
    +-- RunDirectoryError       1   a run directory is corrupt, newer than this version, or not writable
    +-- RequirementError        3   a --require was not met

Interruptions are not errors of ioprof: SIGINT ends in 130 and SIGTERM in 143, as shells expect.
Messages are one line: what, the offending value, what to do.
"""

import difflib
from collections.abc import Iterable
from typing import ClassVar


class IoprofError(Exception):
    """Something failed; the message is the whole story for the user."""

    exit_code: ClassVar[int] = 1


class UsageError(IoprofError):
    """The command line, or what it names, makes no sense."""

    exit_code: ClassVar[int] = 2


class SpecError(UsageError):
    """A spec file, key or value is wrong."""


class PluginError(UsageError):
    """A workload, loader or accelerator is unknown or cannot be used here."""


class StoreError(IoprofError):
    """The store refused an operation that the run cannot do without."""


class DatasetError(StoreError):
    """The dataset on the store is missing, foreign, different or damaged."""


class StoreFullError(StoreError):
    """The store has no space or no inodes left."""


class RunError(IoprofError):
    """A run could not start or could not go on."""


class TooManyErrorsError(RunError):
    """More operations failed than the run was allowed to lose."""


class WorkerDiedError(RunError):
    """A loader's worker process was killed or crashed."""


class ResultsFullError(RunError):
    """The disk of the results takes no more of the trace."""


class RunDirectoryError(IoprofError):
    """A run directory cannot be read or written."""


class RequirementError(IoprofError):
    """A requirement the user stated was not met by the run."""

    exit_code: ClassVar[int] = 3


FREE_SPACE = "free some space there, or choose another folder (--results; TMPDIR for temporary files)"
"""What to do where results cannot be written."""


class CaveatWarning(UserWarning):
    """What a reader of the run must know; a loader warns with it, and it becomes a caveat of the run's report."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``; did you mean 'x'?`` for the closest known name, or an empty string."""
    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean '{matches[0]}'?" if matches else ""
