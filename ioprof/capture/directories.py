"""``os.scandir``: the listing is done entry by entry, so the time is what all of them took together."""

from __future__ import annotations

import os
from collections.abc import Callable
from types import TracebackType
from typing import Protocol

from ioprof.capture.kernel_files import is_kernels
from ioprof.capture.taps import TAPS
from ioprof.clock import now_ns
from ioprof.trace.kinds import Kind, error_code

Entry = os.DirEntry[str]


class Scan(Protocol):
    """What ``os.scandir`` returns."""

    def __next__(self) -> Entry:
        """Return the next entry."""
        ...

    def close(self) -> None:
        """Close the directory."""
        ...


class TappedScan:
    """The same, timed: one operation, when it has come to its end or is closed."""

    __slots__ = ("_is_noted", "_scan", "_start_ns", "_took_ns")

    def __init__(self, scan: Scan, start_ns: int) -> None:
        self._scan = scan
        self._start_ns = start_ns
        self._took_ns = now_ns() - start_ns
        self._is_noted = False

    def __iter__(self) -> TappedScan:
        return self

    def __next__(self) -> Entry:
        start_ns = now_ns()
        try:
            entry = next(self._scan)
        except StopIteration:
            self._took_ns += now_ns() - start_ns
            self._note(0)
            raise
        except OSError as error:
            self._took_ns += now_ns() - start_ns
            self._note(error_code(error))
            raise
        self._took_ns += now_ns() - start_ns
        return entry

    def __enter__(self) -> TappedScan:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the directory."""
        self._note(0)
        self._scan.close()

    def _note(self, code: int) -> None:
        if not self._is_noted:
            self._is_noted = True
            TAPS.note(Kind.LIST, self._start_ns, self._start_ns + self._took_ns, 0, code, False)


def tapped_scandir(original: Callable[..., Scan]) -> Callable[..., Scan | TappedScan]:
    """Return what stands in for ``os.scandir``."""

    def scandir(path: object = None) -> Scan | TappedScan:
        start_ns = now_ns()
        try:
            scan = original(path)
        except OSError as error:
            TAPS.note(Kind.LIST, start_ns, now_ns(), 0, error_code(error), False)
            raise
        return scan if is_kernels(path) else TappedScan(scan, start_ns)

    scandir.__module__, scandir.__qualname__, scandir.__doc__ = "os", "scandir", original.__doc__
    return scandir
