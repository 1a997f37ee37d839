"""Reads the trace of another program, such as torch's profiler, a piece at a time.

torch (libkineto) writes Unix time in microseconds, newer versions less `baseTimeNanoseconds`, which stands in the file.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from ioprof.errors import UsageError

_CHUNK = 1 << 18
_EVENTS = "traceEvents"
_BASE = "baseTimeNanoseconds"
_MOST = 1 << 26
"""No event and no other member is longer than this many characters."""


class ForeignTraceError(UsageError):
    """The other trace cannot be read, or is not what it should be."""


@dataclass(slots=True)
class ForeignTrace:
    """What is known of the other trace once its events were read.

    Attributes:
        header: its members other than the events.
        base_ns: what its stamps are counted from, in ns since 1970.
        first_us: start of its earliest timed event, by its own stamps; None: it has none. Likewise `last_us`, an end.
        highest_process: largest process number in use.
    """

    header: dict[str, object] = field(default_factory=dict)
    first_us: float | None = None
    last_us: float | None = None
    highest_process: int = 0
    events: int = 0

    @property
    def base_ns(self) -> int:
        """Nanoseconds since 1970 at its stamp 0."""
        base = self.header.get(_BASE, 0)
        return int(base) if isinstance(base, int | float | str) else 0

    def see(self, event: dict[str, object]) -> None:
        """Take one of its events into account."""
        self.events += 1
        for name in ("pid", "tid"):
            number = event.get(name)
            if isinstance(number, int):
                self.highest_process = max(self.highest_process, number)
        start_us, duration_us = event.get("ts"), event.get("dur", 0)
        if event.get("ph") == "X" and isinstance(start_us, int | float) and isinstance(duration_us, int | float):
            self.first_us = start_us if self.first_us is None else min(self.first_us, start_us)
            self.last_us = max(self.last_us or start_us, start_us + duration_us)


class _Reader:
    """A window over a JSON text that moves forward."""

    def __init__(self, file: TextIO, path: Path) -> None:
        self._file, self._path = file, path
        self._text, self._at = "", 0
        self._decode = json.JSONDecoder().raw_decode

    def _more(self) -> bool:
        if len(self._text) - self._at > _MOST:
            raise ForeignTraceError(f"{self._path}: one of its members is longer than {_MOST >> 20} MiB: not a trace")
        piece = self._file.read(_CHUNK)
        if piece:
            self._text, self._at = self._text[self._at :] + piece, 0
        return bool(piece)

    def peek(self) -> str:
        """Return the next character that is no space; empty at the end."""
        while True:
            while self._at < len(self._text) and self._text[self._at].isspace():
                self._at += 1
            if self._at < len(self._text) or not self._more():
                return self._text[self._at : self._at + 1]

    def take(self, wanted: str) -> str:
        """Pass over the next character, one of those wanted, and return it."""
        found = self.peek()
        if not found or found not in wanted:
            raise ForeignTraceError(
                f"{self._path}: not a whole trace in JSON: {found or 'its end'!r} stands where one of {wanted!r} should"
            )
        self._at += 1
        return found

    def value(self) -> object:
        """Return the next value and pass over it."""
        self.peek()
        while True:
            try:
                value, end = self._decode(self._text, self._at)
            except ValueError as error:
                if not self._more():
                    raise ForeignTraceError(f"{self._path}: not a whole trace in JSON: {error}") from error
                continue
            # A number may go on in the next piece.
            if end < len(self._text) or not self._more():
                break
        self._at = end
        found: object = value
        return found


def foreign_events(path: Path, trace: ForeignTrace) -> Iterator[dict[str, object]]:
    """Yield the events of a trace as they stand; what else it holds goes to ``trace``, events are not kept.

    Raises:
        ForeignTraceError: it cannot be read, or is no such trace.
    """
    with _opened(path) as file:
        reader = _Reader(file, path)
        if reader.take("{[") == "[":
            yield from _listed(reader, path, trace)
            return
        found = False
        while reader.peek() != "}":
            name = str(reader.value())
            reader.take(":")
            if name == _EVENTS:
                found = True
                reader.take("[")
                yield from _listed(reader, path, trace)
            else:
                trace.header[name] = reader.value()
            if reader.peek() != "}":
                reader.take(",")
        if not found:
            raise ForeignTraceError(f"{path}: has no {_EVENTS}: not a trace that torch's export_chrome_trace writes")


def _listed(reader: _Reader, path: Path, trace: ForeignTrace) -> Iterator[dict[str, object]]:
    while reader.peek() != "]":
        event = reader.value()
        if not isinstance(event, dict):
            raise ForeignTraceError(f"{path}: one of its events is no object: not a trace in JSON")
        trace.see(event)
        yield event
        if reader.peek() != "]":
            reader.take(",")
    reader.take("]")


@contextmanager
def _opened(path: Path) -> Iterator[TextIO]:
    try:
        with path.open("rb") as probe:
            packed = probe.read(2) == b"\x1f\x8b"
        with gzip.open(path, "rt", encoding="utf-8") if packed else path.open(encoding="utf-8") as file:
            yield file
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        told = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ForeignTraceError(
            f"{path}: cannot be read: {told}; give a file of torch's export_chrome_trace"
        ) from error
