"""The taps in Python, for where the compiled ones were not built: the same counts, at several times the cost."""

from __future__ import annotations

import functools
import io
import os
import stat
import threading
from array import array
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import cast

from ioprof.capture.kernel_files import is_kernels
from ioprof.capture.taps import Call, Total
from ioprof.clock import now_ns
from ioprof.trace.kinds import Kind, error_code
from ioprof.trace.opsfile import SINGLE_WORDS
from ioprof.trace.place_word import DIRECT_OPEN, PLAIN_OPEN, kind_at

_ROWS = 2048
_PAGE_MASK = 4095
_fstat = os.fstat
_COUNTED, _OTHER = 1, 2
_TAPPED, _TOUCHED, _EXCLUDED, _OPERATIONS = (int(word) for word in Total)


class _Own(threading.local):
    depth = 0
    opening = 0


class PythonTaps:
    """See `ioprof.capture.taps.Taps`."""

    def __init__(self) -> None:
        self._totals: memoryview | None = None
        self._on_full: Callable[[], None] | None = None
        self._rows = array("q")
        self._own = _Own()
        self._descriptors: dict[int, int] = {}
        self._kernel_devices: frozenset[int] = frozenset()

    def bind(self, totals: memoryview | None, on_full: Callable[[], None] | None) -> None:
        """Say where to count."""
        if totals is not None and totals.nbytes < len(Total) * 8:
            raise ValueError("no room for the totals")
        self._rows = array("q")
        self._totals = None if totals is None else totals.cast("B").cast("q")
        self._on_full = on_full

    def take(self) -> bytes:
        """Return the operations kept."""
        # In one step for other threads: what they add from here on is in the new one.
        taken, self._rows = self._rows, array("q")
        return taken.tobytes()

    def enter_own(self) -> None:
        """Begin what is ioprof's own."""
        self._own.depth += 1

    def leave_own(self) -> None:
        """End it."""
        self._own.depth -= 1

    def set_kernel_devices(self, devices: Sequence[int]) -> None:
        """Forget all descriptors too."""
        self._kernel_devices = frozenset(devices)
        self._descriptors.clear()

    def note(self, kind: int, start_ns: int, end_ns: int, size_bytes: int, error: int, counts: bool) -> None:
        """Keep an operation that was timed elsewhere."""
        totals = self._totals
        if totals is None:
            return
        if self._own.depth:
            totals[_EXCLUDED] += size_bytes if counts else 0
            return
        if counts:
            self._add(totals, size_bytes)
        self._keep(totals, kind, start_ns, end_ns, size_bytes, error)

    @staticmethod
    def _add(totals: memoryview, size_bytes: int) -> None:
        totals[_TAPPED] += size_bytes
        totals[_TOUCHED] += (size_bytes + _PAGE_MASK) & ~_PAGE_MASK

    def _keep(self, totals: memoryview, kind: int, start_ns: int, end_ns: int, size_bytes: int, error: int) -> None:
        totals[_OPERATIONS] += 1
        if self._on_full is None:
            return
        self._rows.extend((kind, start_ns, end_ns, size_bytes, -1, error))
        if len(self._rows) >= _ROWS * SINGLE_WORDS:
            self._own.depth += 1
            try:
                self._on_full()
            finally:
                self._own.depth -= 1

    def stand_in(self, name: str, original: Call, owner: type | ModuleType, doc: str) -> Call:
        """Return what stands in for a call."""
        owner_name, _, call = name.partition(".")
        made = self._made(owner_name, call, original)
        if made is None:
            raise ValueError(f"{name}: nothing stands in for it")
        functools.update_wrapper(made, original)
        if isinstance(owner, ModuleType):
            made.__module__, made.__qualname__ = owner.__name__, call  # pickled by where it is found
        return made

    def _made(self, owner: str, call: str, original: Call) -> Call | None:
        if owner == "FileIO":
            return _FILE_CALLS[call](self, original) if call in _FILE_CALLS else None
        if (owner, call) == ("io", "open"):
            return self._opener(original, is_os=False)
        if owner != "os":
            return None
        if call == "open":
            return self._opener(original, is_os=True)
        if call == "close":
            return self._closer(original)
        if call in _NAME_KINDS:
            return self._named(original, _NAME_KINDS[call])
        return self._reader(original, *_READS[call]) if call in _READS else None

    def _read(
        self, fd: int, file: io.FileIO | None, kind: int, start_ns: int, end_ns: int, size: int, code: int
    ) -> None:
        totals = self._totals
        if totals is None:
            return
        if self._own.depth or (self._descriptors.get(fd) or self._ask(fd, file)) != _COUNTED:
            totals[_EXCLUDED] += size
            return
        self._add(totals, size)
        self._keep(totals, kind, start_ns, end_ns, size, code)

    def _ask(self, fd: int, file: io.FileIO | None) -> int:
        """Return what a descriptor is, and remember it."""
        found = _OTHER
        try:
            facts = _fstat(fd)
        except OSError:
            return found
        if (stat.S_ISREG(facts.st_mode) or stat.S_ISBLK(facts.st_mode)) and facts.st_dev not in self._kernel_devices:
            name = getattr(file, "name", None)
            is_program = isinstance(name, str) and name.endswith((".py", ".pyc"))
            found = _OTHER if is_program else _COUNTED
        self._descriptors[fd] = found
        return found

    def _reader(self, original: Call, fd_at: int, fd_name: str, offset_at: int) -> Call:
        def read(*arguments: object, **named: object) -> object:
            if self._totals is None:
                return original(*arguments, **named)
            fd = _number(arguments, fd_at, named, fd_name)
            start_ns = now_ns()
            try:
                result = original(*arguments, **named)
            except OSError as error:
                self._read(fd, None, Kind.READ, start_ns, now_ns(), 0, error_code(error))
                raise
            end_ns = now_ns()
            offset = _number(arguments, offset_at, named, "") if offset_at >= 0 else -1
            kind = kind_at(Kind.READ, offset) if offset >= 0 else int(Kind.READ)
            self._read(fd, None, kind, start_ns, end_ns, _size_bytes(result), 0)
            return result

        return read

    def _named(self, original: Call, kind: Kind) -> Call:
        def named_call(*arguments: object, **named: object) -> object:
            totals = self._totals
            if totals is None or self._own.depth:
                return original(*arguments, **named)
            start_ns, code = now_ns(), 0
            try:
                return original(*arguments, **named)
            except OSError as error:
                code = error_code(error)
                raise
            except BaseException:
                code = -1
                raise
            finally:
                end_ns = now_ns()
                if code >= 0 and not is_kernels(arguments[0] if arguments else named.get("path", "")):
                    self._keep(totals, kind, start_ns, end_ns, 0, code)

        return named_call

    def _opener(self, original: Call, *, is_os: bool) -> Call:
        own, name = self._own, "path" if is_os else "file"

        def opener(*arguments: object, **named: object) -> object:
            if self._totals is None or (is_os and own.opening):
                return original(*arguments, **named)
            start_ns, code, result = now_ns(), 0, None
            own.opening += not is_os
            try:
                result = original(*arguments, **named)
            except OSError as error:
                code = error_code(error)
                raise
            except BaseException:
                code = -1
                raise
            finally:
                end_ns = now_ns()
                own.opening -= not is_os
                path = arguments[0] if arguments else named.get(name)
                how = arguments[1] if len(arguments) > 1 else named.get("flags" if is_os else "mode", "r")
                if code >= 0 and (is_os or not isinstance(path, int)):
                    self._opened(path, how, _descriptor(result), start_ns, end_ns, code)
            return result

        return opener

    def _opened(self, path: object, how: object, fd: int, start_ns: int, end_ns: int, code: int) -> None:
        totals = self._totals
        if totals is None:
            return
        if self._own.depth or _only_writes(how):
            self._descriptors[fd] = _OTHER
            return
        if is_kernels(path):
            self._descriptors.pop(fd, None)
            return
        self._descriptors[fd] = _COUNTED
        kind = DIRECT_OPEN if isinstance(how, int) and how & os.O_DIRECT else PLAIN_OPEN
        self._keep(totals, kind, start_ns, end_ns, 0, code)

    def _closer(self, original: Call) -> Call:
        def close(*arguments: object, **named: object) -> object:
            if self._totals is None:
                return original(*arguments, **named)
            was = self.forget(_number(arguments, 0, named, "fd"))
            return self.closed(was, lambda: original(*arguments, **named))

        return close

    def closed(self, was: int, call: Callable[[], object]) -> object:
        """Close by ``call`` what was a descriptor of that sort, and count it."""
        start_ns, code = now_ns(), 0
        try:
            return call()
        except OSError as error:
            code = error_code(error)
            raise
        finally:
            end_ns, totals = now_ns(), self._totals
            if totals is not None and was == _COUNTED and not self._own.depth:
                self._keep(totals, Kind.CLOSE, start_ns, end_ns, 0, code)

    def forget(self, fd: int) -> int:
        """Return what a descriptor was, before it is closed."""
        return self._descriptors.pop(fd, 0)

    def read_of_file(self, file: io.FileIO, call: Callable[[], object]) -> object:
        """Read by ``call`` from a file, and count it."""
        if self._totals is None:
            return call()
        start_ns = now_ns()
        try:
            result = call()
        except OSError as error:
            self._read(_descriptor(file), file, Kind.READ, start_ns, now_ns(), 0, error_code(error))
            raise
        end_ns = now_ns()
        if result is not None:
            self._read(_descriptor(file), file, Kind.READ, start_ns, end_ns, _size_bytes(result), 0)
        return result


_NAME_KINDS = {"stat": Kind.STAT, "lstat": Kind.STAT, "fstat": Kind.STAT, "listdir": Kind.LIST}
_READS = {
    "read": (0, "fd", -1),
    "pread": (0, "fd", 2),
    "preadv": (0, "fd", 2),
    "readv": (0, "fd", -1),
    "sendfile": (1, "in_fd", -1),
    "copy_file_range": (0, "src", -1),
    "splice": (0, "src", -1),
}
"""Place and name of the descriptor that is read from, and the place of the offset."""


def _file_reader(taps: PythonTaps, original: Call) -> Call:
    def read(self: io.FileIO, /, *arguments: object, **named: object) -> object:
        return taps.read_of_file(self, lambda: original(self, *arguments, **named))

    return read


def _file_close(taps: PythonTaps, original: Call) -> Call:
    def close(self: io.FileIO, /, *arguments: object, **named: object) -> object:
        fd = _descriptor(self)
        was = taps.forget(fd) if fd >= 0 and self.closefd else 0
        return taps.closed(was, lambda: original(self, *arguments, **named))

    return close


_FILE_CALLS = {"read": _file_reader, "readall": _file_reader, "readinto": _file_reader, "close": _file_close}


def _number(arguments: tuple[object, ...], place: int, named: Mapping[str, object], name: str) -> int:
    """Return an argument that should be an integer; -1 where it is none."""
    given = arguments[place] if len(arguments) > place else named.get(name)
    return given if isinstance(given, int) else -1


def _size_bytes(result: object) -> int:
    """Return how much a read brought: it returns the bytes, or their number."""
    if isinstance(result, int):
        return result
    return len(result) if isinstance(result, bytes) else 0


def _descriptor(opened: object) -> int:
    """Return the descriptor of a file, or the descriptor itself; -1 where there is none."""
    if isinstance(opened, int):
        return opened
    try:
        return int(cast("io.FileIO", opened).fileno())
    except (AttributeError, ValueError, OSError):
        return -1


def _only_writes(how: object) -> bool:
    if isinstance(how, int):
        return how & os.O_ACCMODE == os.O_WRONLY
    return isinstance(how, str) and "+" not in how and any(letter in how for letter in "wax")
