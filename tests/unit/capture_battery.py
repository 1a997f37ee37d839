"""File operations of all sorts, and what comes of them; run as a program, with taps in place or without.

Run: python capture_battery.py FOLDER [TRACE]: the taps are in place where a trace directory is given.
"""

from __future__ import annotations

import copy
import inspect
import io
import json
import mmap
import os
import pathlib
import pickle
import re
import shutil
import sys
import tempfile
import traceback
import warnings
from array import array
from collections.abc import Callable
from typing import Any

LETTERS = b"abcdefghij" * 3000


class OwnPath:
    """A path that is no string."""

    def __fspath__(self) -> str:
        return "letters"


class FailingPath:
    """A path that cannot be told."""

    def __fspath__(self) -> str:
        raise LookupError("no such path today")


class OwnFile(io.FileIO):
    """A file class of somebody's own."""

    def readall(self) -> bytes:
        """Read as it does, in capitals."""
        return super().readall().upper()


def outcome(call: Callable[[], object]) -> list[str]:
    """Return what came of a call: its value, or its exception and the last line of its traceback; and its warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            value = repr(call())
        except BaseException as error:
            facts = getattr(error, "errno", ""), getattr(error, "filename", ""), error.__cause__, error.__context__
            value = f"{type(error).__mro__} {error!r} {traceback.format_exception_only(error)[-1]!r} {facts}"
    told = str([f"{one.category.__name__}: {one.message}" for one in caught])
    return [re.sub(r"0x[0-9a-f]+|name=\d+", "", text) for text in (value, told)]


def reading() -> dict[str, Callable[[], object]]:
    """Reads that succeed."""
    return {
        "binary": lambda: open("letters", "rb").read(17),
        "all": lambda: open("letters", "rb").read() == LETTERS,
        "text": lambda: open("letters").readline(12),
        "encoding": lambda: open("letters", encoding="ascii", errors="strict", newline="").read(7),
        "lines": lambda: list(open("lines")),
        "unbuffered": lambda: open("letters", "rb", buffering=0).read(20),
        "unbuffered all": lambda: open("letters", "rb", 0).readall() == LETTERS,
        "read -1": lambda: open("letters", "rb", 0).read(-1) == LETTERS,
        "read None": lambda: open("letters", "rb", 0).read(None) == LETTERS,
        "readinto": lambda: into(open("letters", "rb", 0), bytearray(10)),
        "readinto array": lambda: into(open("letters", "rb", 0), array("i", [0] * 4)),
        "readinto1": lambda: (lambda space: (open("letters", "rb").readinto1(space), space))(bytearray(9)),
        "peek": lambda: len(open("letters", "rb", 64).peek(1)),
        "seek and tell": seek_and_tell,
        "update": update,
        "append": append,
        "path": lambda: open(pathlib.Path("letters"), "rb").read(3),
        "own path": lambda: open(OwnPath(), "rb").read(3),
        "bytes path": lambda: open(b"letters", "rb").read(3),
        "named": lambda: open(file="letters", mode="rb").read(3),
        "by descriptor": by_descriptor,
        "kept open": lambda: (lambda fd: (open(fd, "rb", closefd=False).read(3), os.close(fd)))(opened()),
        "opener": lambda: open("x", "rb", opener=lambda path, flags: os.open("letters", flags)).read(3),
        "own class": lambda: OwnFile("letters").readall()[:5],
        "own class buffered": lambda: io.BufferedReader(OwnFile("letters")).read()[:5],
        "pread": lambda: with_descriptor(lambda fd: os.pread(fd, 5, 12)),
        "preadv": lambda: (lambda space: (with_descriptor(lambda fd: os.preadv(fd, [space], 3)), space))(bytearray(4)),
        "readv": lambda: (lambda space: (with_descriptor(lambda fd: os.readv(fd, [space])), space))(bytearray(4)),
        "read 0": lambda: with_descriptor(lambda fd: os.read(fd, 0)),
        "iterating": lambda: sum(len(piece) for piece in iter(lambda f=open("letters", "rb"): f.read(777), b"")),
        "write": lambda: pathlib.Path("written").write_bytes(b"12345"),
        "exclusive": exclusive,
        "copy": lambda: (shutil.copyfile("letters", "copied"), pathlib.Path("copied").read_bytes() == LETTERS),
        "temporary": lambda: with_temporary(),
        "truncate": lambda: (lambda f: (f.truncate(3), f.close(), os.stat("written").st_size))(open("written", "r+b")),
        "map": mapped,
        "map whole": lambda: mmap.mmap(-1, 4096)[:2],
        "map class": lambda: (issubclass(OwnMap, mmap.mmap), isinstance(mmap.mmap(-1, 10), OwnMap)),
        "own map": lambda: (lambda one: (isinstance(one, mmap.mmap), isinstance(one, OwnMap)))(OwnMap(-1, 10)),
        "fdopen": lambda: os.fdopen(opened(), "rb").read(3),
    }


def failing() -> dict[str, Callable[[], object]]:
    """Calls that fail, and how."""
    closed = open("letters", "rb", 0)
    closed.close()
    return {
        "missing": lambda: open("nothing", "rb"),
        "missing text": lambda: pathlib.Path("nothing").read_text(),
        "folder": lambda: open(".", "rb"),
        "existing": lambda: open("letters", "x"),
        "mode": lambda: open("letters", "rq"),
        "modes": lambda: open("letters", "rw"),
        "no text": lambda: open("letters", "rb", encoding="ascii"),
        "buffering": lambda: open("letters", "r", 0),
        "type": lambda: open(1.5),
        "nothing given": lambda: open(),
        "too many": lambda: open(*range(9)),
        "unknown name": lambda: open("letters", modus="rb"),
        "failing path": lambda: open(FailingPath()),
        "null": lambda: open("a\0b"),
        "closed": lambda: closed.read(1),
        "closed all": lambda: closed.readall(),
        "closed into": lambda: closed.readinto(bytearray(1)),
        "closed again": lambda: closed.close(),
        "read text": lambda: open("letters", "rb", 0).read("x"),
        "read two": lambda: open("letters", "rb", 0).read(1, 2),
        "read named": lambda: open("letters", "rb", 0).read(size=1),
        "into nothing": lambda: open("letters", "rb", 0).readinto(b"fixed"),
        "into too much": lambda: open("letters", "rb", 0).readinto(1, 2),
        "readall given": lambda: open("letters", "rb", 0).readall(1),
        "write only": lambda: open("written", "wb", 0).read(1),
        "bad descriptor": lambda: os.read(999, 1),
        "negative": lambda: os.read(-1, 1),
        "negative length": lambda: with_descriptor(lambda fd: os.read(fd, -1)),
        "read strings": lambda: os.read("0", 1),
        "read one": lambda: os.read(1),
        "huge": lambda: os.read(2**70, 1),
        "close twice": lambda: (lambda fd: (os.close(fd), os.close(fd)))(opened()),
        "close text": lambda: os.close("x"),
        "pread offset": lambda: with_descriptor(lambda fd: os.pread(fd, 1, -5)),
        "os open": lambda: os.open("nothing", os.O_RDONLY),
        "os open flags": lambda: os.open("letters"),
        "stat": lambda: os.stat("nothing"),
        "stat type": lambda: os.stat(1.5),
        "lstat": lambda: os.lstat("nothing/below"),
        "fstat": lambda: os.fstat(999),
        "listdir": lambda: os.listdir("nothing"),
        "listdir file": lambda: os.listdir("letters"),
        "scandir": lambda: os.scandir("nothing"),
        "scandir type": lambda: os.scandir(1.5),
        "walk": lambda: list(os.walk("nothing")),
        "undecodable": lambda: open("noise", encoding="ascii").read(),
        "decoder": lambda: open("letters", encoding="no-such"),
        "opener fails": lambda: open("x", opener=lambda path, flags: 1 // 0),
        "opener negative": lambda: open("x", opener=lambda path, flags: -1),
        "map nothing": lambda: mmap.mmap(999, 10),
        "map type": lambda: mmap.mmap("x", 10),
        "map length": lambda: mmap.mmap(-1, -5),
        "map empty": lambda: with_descriptor(lambda fd: mmap.mmap(fd, 1 << 40, access=mmap.ACCESS_READ)),
        "pickle file": lambda: pickle.dumps(open("letters", "rb")),
        "pickle raw": lambda: pickle.dumps(open("letters", "rb", 0)),
        "pickle text": lambda: pickle.dumps(open("letters")),
        "pickle map": lambda: pickle.dumps(mmap.mmap(-1, 10)),
        "pickle scan": lambda: pickle.dumps(os.scandir()),
        "copy file": lambda: copy.copy(open("letters", "rb")),
        "left open": lambda: open("letters", "rb").fileno() > 2,
        "left scan": lambda: next(os.scandir(".")).name in os.listdir("."),
        "set": lambda: setattr(io.FileIO, "read", None),
        "interrupted": interrupted,
    }


def asking() -> dict[str, Callable[[], object]]:
    """What files and functions say of themselves."""
    return {
        "types": lambda: [type(open("letters", mode)) for mode in ("r", "rb", "r+b")],
        "raw type": lambda: type(open("letters", "rb").raw),
        "raw": lambda: open("letters", "rb", 0),
        "buffered": lambda: open("letters", "rb"),
        "text file": lambda: open("letters"),
        "is": lambda: open is io.open,
        "builtin": lambda: (open.__name__, open.__qualname__, os.stat.__name__, os.read.__doc__),
        "signatures": lambda: [str(inspect.signature(call)) for call in (open, os.open, os.stat, os.pread, os.listdir)],
        "method": lambda: (inspect.signature(io.FileIO.read), io.FileIO.readinto.__name__, io.FileIO.read.__qualname__),
        "names": lambda: [name for name in dir(io.FileIO) if not name.startswith("__")],
        "pickled": lambda: [pickle.loads(pickle.dumps(call)) is call for call in (open, os.stat, os.read, mmap.mmap)],
        "sets": lambda: [os.stat in held for held in (os.supports_dir_fd, os.supports_fd, os.supports_follow_symlinks)],
        "open set": lambda: (os.open in os.supports_dir_fd, os.scandir in os.supports_fd, os.listdir in os.supports_fd),
        "dir fd": lambda: (lambda fd: (os.stat("letters", dir_fd=fd).st_size, os.close(fd)))(os.open(".", os.O_RDONLY)),
        "follow": lambda: (os.stat("link", follow_symlinks=False).st_size, os.lstat("link").st_size),
        "exists": lambda: [os.path.exists(name) for name in ("letters", "nothing", ".", 0)],
        "size": lambda: (pathlib.Path("letters").stat().st_size, with_descriptor(lambda fd: os.fstat(fd).st_size)),
        "list": lambda: sorted(os.listdir()) == sorted(os.listdir(".")) == sorted(one.name for one in os.scandir()),
        "list bytes": lambda: sorted(os.listdir(b"."))[:2],
        "list descriptor": lambda: (lambda fd: (sorted(os.listdir(fd))[:2], os.close(fd)))(os.open(".", os.O_RDONLY)),
        "scan": lambda: with_scan(),
        "walk all": lambda: [(folder, sorted(names)) for folder, _, names in os.walk("below")],
        "glob": lambda: sorted(pathlib.Path().glob("**/*.txt")),
        "tree": tree,
        "map says": lambda: (repr(mmap.mmap(-1, 10)), mmap.mmap.__name__.split(".")[-1], mmap.mmap.__module__),
    }


class OwnMap(mmap.mmap):
    """A mapping class of somebody's own, made before the taps came."""


def opened() -> int:
    """Return a fresh descriptor."""
    return os.open("letters", os.O_RDONLY)


def with_descriptor(call: Callable[[int], object]) -> object:
    """Do something with a descriptor."""
    fd = opened()
    try:
        return call(fd)
    finally:
        os.close(fd)


def into(file: Any, space: Any) -> object:
    """Read into memory, and return both."""
    return file.readinto(space), bytes(space), file.close(), file.closed


def seek_and_tell() -> object:
    """Move about in a buffered file."""
    with open("letters", "rb") as file:
        first = file.read(10), file.tell()
        return first, file.seek(-5, os.SEEK_END), file.read(), file.read(), file.seekable(), file.name, file.mode


def update() -> object:
    """Read and write the same file."""
    shutil.copyfile("letters", "updated")
    with open("updated", "r+b") as file:
        return file.read(4), file.write(b"WXYZ"), file.seek(0), file.read(10)


def append() -> object:
    """Write at the end, read from the beginning."""
    pathlib.Path("appended").write_text("one\n")
    with open("appended", "a+") as file:
        return file.write("two\n"), file.seek(0), file.readlines()


def exclusive() -> object:
    """Create, and find it there."""
    pathlib.Path("fresh").unlink(missing_ok=True)
    with open("fresh", "x") as file:
        return file.write("z"), file.name


def by_descriptor() -> object:
    """A file over a descriptor closes it."""
    fd = opened()
    with open(fd, "rb") as file:
        found = file.read(2), file.name == fd
    return found, outcome(lambda: os.fstat(fd))[0][:40]


def with_temporary() -> object:
    """Temporary files go through their own openers."""
    with tempfile.TemporaryFile() as one, tempfile.NamedTemporaryFile("w+") as two:
        one.write(b"abc")
        two.write("def")
        return one.seek(0), one.read(), two.seek(0), two.read()


def mapped() -> object:
    """A file through a mapping."""
    with open("letters", "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as one:
        return isinstance(one, mmap.mmap), one[:4], one.find(b"j"), len(one), repr(one), one.size()


def with_scan() -> object:
    """A directory entry by entry."""
    with os.scandir("below") as entries:
        found = sorted((one.name, one.is_file(), one.stat().st_size) for one in entries)
    return found, outcome(lambda: next(entries))[0], iter(entries) is entries


def tree() -> object:
    """Copy and remove a tree, the safe way."""
    shutil.copytree("below", "copy")
    shutil.rmtree("copy")
    return shutil.rmtree.avoids_symlink_attacks, os.path.exists("copy")


def interrupted() -> object:
    """An exception that is no error of the operating system comes through."""

    def opener(path: str, flags: int) -> int:
        raise KeyboardInterrupt("stop")

    return open("letters", opener=opener)


def main(folder: str, trace: str | None) -> None:
    """Do it all, and print what came of it as JSON."""
    os.chdir(folder)
    pathlib.Path("letters").write_bytes(LETTERS)
    pathlib.Path("lines").write_text("one\ntwo\r\nthree")
    pathlib.Path("noise").write_bytes(bytes(range(256)))
    pathlib.Path("below").mkdir()
    pathlib.Path("below", "a.txt").write_text("a")
    pathlib.Path("link").symlink_to("letters")
    if trace is not None:
        from ioprof.capture import start
        from ioprof.trace.recorder import Recorder

        recorder = Recorder(trace, rank=0, worker=0, span_budget=1000)
        capture = start(recorder)
    calls = reading() | failing() | asking()
    found = {name: outcome(call) for name, call in calls.items()}
    if trace is not None:
        capture.close()
        recorder.close()
        assert capture.operations > 200
        after = {name: outcome(call) for name, call in calls.items()}
        found["differs after"] = [str([name for name in after if after[name] != found[name]])]
    else:
        found["differs after"] = ["[]"]
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None)
