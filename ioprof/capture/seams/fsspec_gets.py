"""fsspec's file systems of object stores: the calls through which all their reading goes.

Each class has its own ``_cat_file`` (or, where it is not asynchronous, ``cat_file``), and its file class its own
``_fetch_range``; they are replaced in the classes that are there, and in each that is defined later. Where one leads to
another, the innermost is counted, once. Classes over local files, and those that pass calls on to another file system,
stay as they are: what they read is seen below them.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import ModuleType

from ioprof.capture.names import Undo, restoring
from ioprof.capture.objects import note_get
from ioprof.clock import now_ns
from ioprof.trace.kinds import UNNAMED_ERROR, error_code

_MIRRORED = "_cat_file"
"""Of asynchronous file systems, each of which has a ``cat_file`` of its own that calls it."""
_OF_FILE_SYSTEMS = (_MIRRORED, "cat_file")
_OF_FILES = ("_fetch_range",)
_FSSPEC = ("fsspec.spec", "fsspec.asyn")
"""Where the base classes are: theirs lead to those of the others."""
_BELOW = tuple(
    f"fsspec.implementations.{name}"
    for name in (
        "arrow", "asyn_wrapper", "cached", "cache_metadata", "chained", "data", "dirfs", "generic", "libarchive",
        "local", "memory", "reference", "tar", "zip",
    )
)  # fmt: skip
"""What reads local files or memory, and what passes calls on."""

Call = Callable[..., object]


class _Get:
    """One call on its way."""

    def __init__(self) -> None:
        self.start_ns = now_ns()
        self.size_bytes = 0
        self.is_within = False
        """It led to another one, which was counted."""


_open_get: ContextVar[_Get | None] = ContextVar("ioprof_open_get", default=None)


def seam(module: ModuleType) -> list[Undo]:
    """Tap all classes, those that come later too."""
    replaced: list[Undo] = []
    for base, names in ((module.AbstractFileSystem, _OF_FILE_SYSTEMS), (module.AbstractBufferedFile, _OF_FILES)):
        for kind in _all_below(base):
            _tap(kind, names, replaced)
        replaced.append(_follow(base, names, replaced))

    def restore() -> None:
        # Those that were replaced since included.
        for step in reversed(replaced):
            step()

    return [restore]


def _all_below(base: type) -> Iterator[type]:
    below: list[type] = type.__subclasses__(base)
    for kind in below:
        yield kind
        yield from _all_below(kind)


def _follow(base: type, names: tuple[str, ...], undo: list[Undo]) -> Undo:
    """Tap each class that is derived from now on; return what ends it."""
    before = vars(base).get("__init_subclass__")

    def init_subclass(kind: type, /, **named: object) -> None:
        # As if nothing stood here: what this class had, or else the next above it.
        above = kind.__mro__[kind.__mro__.index(base) + 1 :]
        held = [before, *(vars(one).get("__init_subclass__") for one in above)]
        next(one for one in held if one is not None).__get__(None, kind)(**named)
        _tap(kind, names, undo)

    made: classmethod[type, ..., None] = classmethod(init_subclass)
    type.__setattr__(base, "__init_subclass__", made)

    def restore() -> None:
        if vars(base).get("__init_subclass__") is made:
            if before is None:
                type.__delattr__(base, "__init_subclass__")
            else:
                type.__setattr__(base, "__init_subclass__", before)

    return restore


def _tap(kind: type, names: tuple[str, ...], undo: list[Undo]) -> None:
    if kind.__module__ in _FSSPEC or any(one.__module__ in _BELOW for one in kind.__mro__):
        return
    for name in names:
        original = vars(kind).get(name)
        if inspect.isfunction(original):
            made = _tapped_coroutine(original) if inspect.iscoroutinefunction(original) else _tapped(original)
            type.__setattr__(kind, name, made)
            undo.append(_restoring(kind, name, original, made))
            if name == _MIRRORED:
                for one in (kind, *_all_below(kind)):
                    _mirror_again(one, undo)


def _mirror_again(kind: type, undo: list[Undo]) -> None:
    """Lead the ``cat_file`` of file systems that were made before to what is in the class now: fsspec made it then."""
    wrapper: Call | None = getattr(sys.modules.get("fsspec.asyn"), "sync_wrapper", None)
    if wrapper is None:
        return
    held: dict[str, object] = getattr(kind, "_cache", {})
    for made in list(held.values()):
        names = vars(made)
        if _MIRRORED[1:] in names:
            before = names[_MIRRORED[1:]]
            names[_MIRRORED[1:]] = again = wrapper(getattr(made, _MIRRORED), obj=made)
            undo.append(restoring(names, _MIRRORED[1:], (before, again)))


def _restoring(kind: type, name: str, original: Call, made: Call) -> Undo:
    def restore() -> None:
        if vars(kind).get(name) is made:
            type.__setattr__(kind, name, original)

    return restore


@contextmanager
def _timed() -> Iterator[_Get]:
    """Time what is done within, and count it unless something inside it was."""
    outer, get, code = _open_get.get(), _Get(), UNNAMED_ERROR
    _open_get.set(get)
    try:
        yield get
        code = 0
    except OSError as error:
        code = error_code(error)
        raise
    finally:
        # Not by a token: a coroutine that is given up may be closed in another context than its own.
        _open_get.set(outer)
        if outer is not None:
            outer.is_within = True
        if not get.is_within:
            note_get(get.start_ns, now_ns(), get.size_bytes, code)


def _size_bytes(result: object) -> int:
    return len(result) if isinstance(result, (bytes, bytearray, memoryview)) else 0


def _tapped(original: Call) -> Call:
    @functools.wraps(original)
    def call(*arguments: object, **named: object) -> object:
        with _timed() as get:
            result = original(*arguments, **named)
            get.size_bytes = _size_bytes(result)
        return result

    return call


def _tapped_coroutine(original: Callable[..., Awaitable[object]]) -> Call:
    @functools.wraps(original)
    async def call(*arguments: object, **named: object) -> object:
        with _timed() as get:
            result = await original(*arguments, **named)
            get.size_bytes = _size_bytes(result)
        return result

    return call
