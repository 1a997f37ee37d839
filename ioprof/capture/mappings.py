"""``mmap.mmap``: mapping a file is an operation; what is read through it later, nobody but the kernel sees."""

from __future__ import annotations

import mmap
from pathlib import Path

from ioprof.capture.taps import TAPS
from ioprof.clock import now_ns
from ioprof.host.mapped_files import is_of_a_program
from ioprof.trace.kinds import Kind, error_code

_original = mmap.mmap


class MappedFiles:
    """How many files of data this process mapped through Python, and how long the mappings are together."""

    count = 0
    size_bytes = 0


def note_mapping(fd: int, size_bytes: int) -> None:
    """Count a mapping of a descriptor, where it is one of data."""
    try:
        path = str(Path(f"/proc/self/fd/{fd}").readlink())
    except OSError:
        path = ""
    note_path_mapping(path, size_bytes)


def note_path_mapping(path: str, size_bytes: int) -> None:
    """Count a mapping of a file, where it is one of data."""
    if not is_of_a_program(path):
        MappedFiles.count += 1
        MappedFiles.size_bytes += size_bytes


class _Like(type):
    """Objects of the type that was there before are instances as well: they may have been made before, or since."""

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, _original) if cls is TappedMmap else type.__instancecheck__(cls, instance)

    def __subclasscheck__(cls, subclass: type) -> bool:
        return issubclass(subclass, _original) if cls is TappedMmap else type.__subclasscheck__(cls, subclass)


class TappedMmap(mmap.mmap, metaclass=_Like):
    """What stands in for `mmap.mmap`: a type of its own, because the call of a built-in type is out of reach."""

    __slots__ = ()

    def __new__(cls, fileno: int, length: int, *arguments: int, **named: int) -> TappedMmap:
        """Map a file, or memory."""
        start_ns = now_ns()
        try:
            made = _original.__new__(cls, fileno, length, *arguments, **named)
        except OSError as error:
            TAPS.note(Kind.MAP, start_ns, now_ns(), 0, error_code(error), False)
            raise
        if fileno >= 0:
            end_ns = now_ns()
            note_mapping(fileno, len(made))
            TAPS.note(Kind.MAP, start_ns, end_ns, 0, 0, False)
        return made


# As it is printed, and as it is pickled.
TappedMmap.__name__, TappedMmap.__qualname__, TappedMmap.__module__ = "mmap.mmap", "mmap", "mmap"
