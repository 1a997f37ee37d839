"""Where the taps are put, and taken away from: every name through which Python code reaches a file call.

Methods of `io.FileIO` are replaced in the type itself, which Python does not offer by name: so a file is of the type it
always was, buffers above it work as they do, and whoever fetched ``open`` before is seen as well.
"""

from __future__ import annotations

import _io
import ctypes
import functools
import gc
import io
import mmap
import os
from collections.abc import MutableSet
from multiprocessing.connection import Connection
from types import FunctionType

from ioprof.capture.directories import tapped_scandir
from ioprof.capture.kernel_files import kernel_devices
from ioprof.capture.mappings import TappedMmap
from ioprof.capture.names import Undo, replace_everywhere, replace_in, restoring
from ioprof.capture.seams import follow_imports
from ioprof.capture.seams.known import SEAMS
from ioprof.capture.taps import FILE_CALLS, OS_CALLS, TAPS, Call

_SETS = ("supports_dir_fd", "supports_fd", "supports_follow_symlinks", "supports_effective_ids")
"""Sets of `os` that say what its functions can do; asked with the function itself."""


def put_in_place() -> list[Undo]:
    """Put all stand-ins in place, and return what takes them away again, in that order."""
    TAPS.set_kernel_devices(kernel_devices())
    stand_ins: dict[int, tuple[object, object]] = {}
    undo: list[Undo] = []
    for name in OS_CALLS:
        original = getattr(os, name, None)
        if original is not None:
            stand_ins[id(original)] = original, TAPS.stand_in(f"os.{name}", original, os, _doc(original, name))
    stand_ins[id(os.scandir)] = os.scandir, tapped_scandir(os.scandir)
    stand_ins[id(io.open)] = io.open, TAPS.stand_in("io.open", io.open, io, _doc(io.open, "open"))
    stand_ins[id(mmap.mmap)] = mmap.mmap, TappedMmap
    for original, made in stand_ins.values():
        undo += _say_the_same_of(original, made)
    undo += replace_everywhere(stand_ins)
    undo += _rebind_connections(stand_ins)
    undo += replace_in(vars(_io), {id(_io.open_code): (_io.open_code, _opener_of_programs(_io.open_code))})
    undo += _replace_methods()
    follow_imports(SEAMS, undo)
    return undo


def _opener_of_programs(original: Call) -> Call:
    """Return what stands in for ``open_code``: Python reads its modules through it, and those are no data."""

    def open_code(path: object) -> object:
        TAPS.enter_own()
        try:
            return original(path)
        finally:
            TAPS.leave_own()

    functools.update_wrapper(open_code, original)
    return open_code


def _say_the_same_of(original: object, made: object) -> list[Undo]:
    """Enter a stand-in into the sets of `os` that its original is in."""
    undo: list[Undo] = []
    for name in _SETS:
        held: MutableSet[object] = getattr(os, name)
        if original in held:
            held.add(made)
            undo.append(_discarding(held, made))
    return undo


def _discarding(held: MutableSet[object], made: object) -> Undo:
    return lambda: held.discard(made)


def _rebind_connections(stand_ins: dict[int, tuple[object, object]]) -> list[Undo]:
    """Let pipes between processes read through the taps, which leave them out: the kernel counts them as reads."""
    undo: list[Undo] = []
    for name in ("_recv", "_close"):
        method = vars(Connection).get(name)
        if isinstance(method, FunctionType) and method.__defaults__:
            before = method.__defaults__
            method.__defaults__ = tuple(stand_ins.get(id(held), (held, held))[1] for held in before)
            undo.append(_defaulting(method, before))
    return undo


def _defaulting(method: FunctionType, before: tuple[object, ...]) -> Undo:
    def restore() -> None:
        method.__defaults__ = before

    return restore


def _replace_methods() -> list[Undo]:
    """Replace methods of `io.FileIO`; where the interpreter keeps them out of reach, nothing is replaced."""
    names = _names_of(io.FileIO)
    if names is None:
        return []
    undo: list[Undo] = []
    for name in FILE_CALLS:
        original = names[name]
        if callable(original):
            made = TAPS.stand_in(f"FileIO.{name}", original, io.FileIO, _doc(original, name))
            names[name] = made
            undo.append(restoring(names, name, (original, made)))
    _forget_methods(io.FileIO)
    undo.append(lambda: _forget_methods(io.FileIO))
    return undo


def _names_of(kind: type) -> dict[str, object] | None:
    """Return the dictionary of a built-in type, which its ``__dict__`` only shows."""
    return next((found for found in gc.get_referents(vars(kind)) if isinstance(found, dict)), None)


def _forget_methods(kind: type) -> None:
    """Tell the interpreter that what it remembers of a type's methods is out of date."""
    modified = ctypes.pythonapi.PyType_Modified
    modified.argtypes, modified.restype = [ctypes.py_object], None
    modified(kind)


def _doc(original: Call, name: str) -> str:
    """Return signature and docstring as the interpreter wants them in one text."""
    signature, doc = getattr(original, "__text_signature__", None), original.__doc__ or ""
    return f"{name}{signature}\n--\n\n{doc}" if signature else doc
