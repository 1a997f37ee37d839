"""Whether the compiled modules are there, and are to be used.

They are built when ioprof is installed, if a C compiler and Python's headers are there. ``IOPROF_READS=python`` in the
environment does without them, for comparison: each of their functions stands for one in Python that does the same.
"""

from __future__ import annotations

import os

from ioprof.errors import UsageError

VARIABLE = "IOPROF_READS"
_INTERFACES = (6, 1, 1)
"""Of `_reads`, `_counts` and `ioprof.trace._tally`; a module of another number was left over by another version."""


def _built() -> bool:
    try:
        from ioprof.store import _counts, _reads
        from ioprof.trace import _tally
    except ImportError:
        return False
    return (_reads.INTERFACE, _counts.INTERFACE, _tally.INTERFACE) == _INTERFACES


_IS_BUILT = _built()


def is_built() -> bool:
    """Tell whether they are there."""
    return _IS_BUILT


def is_compiled() -> bool:
    """Tell whether they are there and to be used.

    Raises:
        UsageError: the environment asks for what there is not.
    """
    wanted = os.environ.get(VARIABLE, "")
    if wanted not in ("", "compiled", "python"):
        raise UsageError(f"{VARIABLE}={wanted}: must be compiled or python, or not be set")
    if wanted == "compiled" and not is_built():
        raise UsageError(
            f"{VARIABLE}=compiled: the compiled reader was not built; install a C compiler and Python's headers "
            "(Debian: gcc python3-dev), then ioprof again; or do not set the variable"
        )
    return wanted != "python" and is_built()
