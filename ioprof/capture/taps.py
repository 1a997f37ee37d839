"""What times Python's own file calls: compiled, or the same in Python.

There is one set of taps in a process, because there is one ``os.read`` in it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import IntEnum
from types import ModuleType
from typing import Protocol

from ioprof.store.compiled import is_compiled

_INTERFACE = 1
"""Of the compiled module; one of another number was left over by another version."""

Call = Callable[..., object]

OS_CALLS = (
    "open", "read", "pread", "preadv", "readv", "close", "stat", "lstat", "fstat", "listdir",
    "sendfile", "copy_file_range", "splice",
)  # fmt: skip
"""Functions of `os` that have a stand-in; ``scandir`` has one of its own, `ioprof.capture.directories`."""
FILE_CALLS = ("read", "readall", "readinto", "close")
"""Methods of `io.FileIO`, through which all of Python's own file objects read."""


class Total(IntEnum):
    """What is added up, in words of a shared mapping."""

    TAPPED = 0
    """Bytes of files, which the taps saw read."""
    TOUCHED = 1
    """The same with every read rounded up to whole pages: the most that the kernel may have had to fetch."""
    EXCLUDED = 2
    """Bytes read from what holds no data: pipes, /proc, Python's own modules, what ioprof reads for itself."""
    OPERATIONS = 3


class Taps(Protocol):
    """The taps of this process."""

    def stand_in(self, name: str, original: Call, owner: type | ModuleType, doc: str, /) -> Call:
        """Return what stands in for a call: it counts while the taps are bound, and does nothing else of its own.

        Args:
            name: ``os.read``, ``io.open``, ``FileIO.readinto`` and the like.
            original: what it calls.
            owner: the module or type that it is put into.
            doc: its signature and docstring, as the original has them.
        Raises:
            ValueError: there is no stand-in of that name.
        """
        ...

    def bind(self, totals: memoryview | None, on_full: Callable[[], None] | None, /) -> None:
        """Say where bytes are added up, and who takes operations when many have come; what was kept is forgotten.

        Args:
            totals: a word for each `Total`; None: nothing is counted from now on.
            on_full: calls `take` within; None: bytes are counted, and operations are not kept.
        """
        ...

    def take(self) -> bytes:
        """Return the operations kept since the last time, six words each as `Recorder.singles` holds them."""
        ...

    def note(self, kind: int, start_ns: int, end_ns: int, size_bytes: int, error: int, counts: bool, /) -> None:
        """Keep an operation that was timed elsewhere; ``counts``: its bytes are in the kernel's count of reads."""
        ...

    def enter_own(self) -> None:
        """What this thread does from now on is ioprof's own: no operation, and bytes that are left out."""
        ...

    def leave_own(self) -> None:
        """End what `enter_own` began; they nest."""
        ...

    def set_kernel_devices(self, devices: Sequence[int], /) -> None:
        """Say on which devices (``st_dev``) files lie that the kernel makes up, and forget all descriptors."""
        ...


def _make() -> tuple[Taps, bool]:
    if is_compiled():
        try:
            from ioprof.capture import _taps
        except ImportError:
            pass
        else:
            if _taps.INTERFACE == _INTERFACE:
                return _taps, True
    from ioprof.capture.python_taps import PythonTaps

    return PythonTaps(), False


TAPS, IS_COMPILED = _make()
"""The taps of this process, and whether they are the compiled ones."""
