"""What a loader warns of while it runs becomes a caveat of the run."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator
from typing import TextIO

from ioprof.errors import CaveatWarning


@contextlib.contextmanager
def heard(caveat: Callable[[str], None]) -> Iterator[None]:
    """Pass on what a loader warns of by `CaveatWarning`; other warnings are shown as ever.

    Filters that the loader sets end with the block.
    """
    with warnings.catch_warnings():
        shown = warnings.showwarning

        def show(
            message: Warning | str, category: type[Warning], filename: str, lineno: int,
            file: TextIO | None = None, line: str | None = None,
        ) -> None:  # fmt: skip
            if issubclass(category, CaveatWarning):
                caveat(str(message))
            else:
                shown(message, category, filename, lineno, file, line)

        warnings.showwarning = show
        warnings.simplefilter("always", CaveatWarning)
        yield
