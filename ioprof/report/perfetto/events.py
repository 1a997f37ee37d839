"""Writes a trace in Chrome's JSON format event by event: memory does not grow with it.

Format: "Trace Event Format" (Chromium), as Perfetto and chrome://tracing read it. A track is a thread of a process.
Within a track events are written in the order of their time, what encloses others first.
"""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ioprof.errors import RunDirectoryError

_GZIP_LEVEL = 3
"""Twice as fast as the usual 6, and a tenth larger."""
_FLUSH_EVENTS = 4096


@dataclass(frozen=True, slots=True)
class Track:
    """Where events are drawn."""

    process: int
    thread: int

    @property
    def place(self) -> str:
        """The track as every event names it."""
        return f'"pid":{self.process},"tid":{self.thread}'


class EventWriter:
    """Appends events to an open trace.

    Attributes:
        events: how many were written.
    """

    def __init__(
        self, write: Callable[[str], object], as_stamp_ns: Callable[[int], int], *, follows: bool = False
    ) -> None:
        """Say where to.

        Args:
            write: takes text.
            as_stamp_ns: a stamp of the run on the trace's clock, in ns.
            follows: other events stand there already.
        """
        self._write = write
        self._as_stamp_ns = as_stamp_ns
        self._pending: list[str] = []
        self._follows = follows
        self.events = 0

    def raw(self, event: str) -> None:
        """Write an event that is JSON already."""
        self._pending.append(event)
        self.events += 1
        if len(self._pending) >= _FLUSH_EVENTS:
            self.flush()

    def flush(self) -> None:
        """Hand over what waits to be written."""
        if self._pending:
            self._write((",\n" if self._follows else "") + ",\n".join(self._pending))
            self._follows = True
            self._pending.clear()

    def slice(self, place: str, name: str, start_ns: int, end_ns: int, arguments: str = "") -> None:
        """Write a slice of a track.

        Args:
            place: of a track.
            name: what it is, without anything that JSON would escape.
            start_ns: on the run's clock, as the end.
            end_ns: not before the start.
            arguments: members of a JSON object.
        """
        start, end = self._as_stamp_ns(start_ns), self._as_stamp_ns(end_ns)
        told = f',"args":{{{arguments}}}' if arguments else ""
        self.raw(f'{{"ph":"X",{place},"ts":{_us(start)},"dur":{_us(end - start)},"name":"{name}"{told}}}')

    def flow_out(self, place: str, at_ns: int, flow: int) -> None:
        """Let an arrow begin at the slice that began last on a track."""
        self.raw(f'{{"ph":"s",{place},"ts":{_us(self._as_stamp_ns(at_ns))},"id":{flow},"name":"batch","cat":"batch"}}')

    def flow_in(self, place: str, at_ns: int, flow: int) -> None:
        """Let the arrow of that number end at the slice that began last on a track."""
        self.raw(
            f'{{"ph":"f","bp":"e",{place},"ts":{_us(self._as_stamp_ns(at_ns))},"id":{flow},'
            '"name":"batch","cat":"batch"}'
        )

    def counter(self, process: int, name: str, series: str, at_ns: int, value: float) -> None:
        """Write what a counter is from a moment on."""
        stamp = _us(self._as_stamp_ns(at_ns))
        self.raw(f'{{"ph":"C","pid":{process},"tid":0,"ts":{stamp},"name":"{name}","args":{{"{series}":{value:g}}}}}')

    def name_process(self, process: int, name: str, place: int) -> None:
        """Name a process, and say where it stands among the others."""
        self.raw(_metadata(process, process, "process_name", {"name": name}))
        self.raw(_metadata(process, process, "process_sort_index", {"sort_index": place}))

    def name_track(self, track: Track, name: str) -> None:
        """Name a track; those of a process stand in the order of their numbers."""
        self.raw(_metadata(track.process, track.thread, "thread_name", {"name": name}))
        self.raw(_metadata(track.process, track.thread, "thread_sort_index", {"sort_index": track.thread}))


def _us(stamp_ns: int) -> str:
    """Return nanoseconds as microseconds with all their digits, as the format wants them."""
    return f"{stamp_ns // 1000}.{stamp_ns % 1000:03d}"


def _metadata(process: int, thread: int, what: str, arguments: dict[str, object]) -> str:
    told = json.dumps(arguments)
    return f'{{"ph":"M","pid":{process},"tid":{thread},"ts":0,"name":"{what}","args":{told}}}'


@contextmanager
def trace_file(path: Path) -> Iterator[Callable[[str], object]]:
    """Open a trace for writing, compressed if its name ends in .gz; it appears under its name once it is whole.

    Raises:
        RunDirectoryError: it cannot be written.
    """
    fresh = path.with_name(f"{path.name}.new")
    try:
        with fresh.open("wb") as plain:
            if path.suffix == ".gz":
                # Neither the name nor the time goes into the file: the same run gives the same bytes.
                with gzip.GzipFile("", "wb", _GZIP_LEVEL, plain, 0) as packed:
                    yield _encoded(packed)
            else:
                yield _encoded(plain)
        os.replace(fresh, path)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise RunDirectoryError(
            f"{path}: cannot be written: {error.strerror or error}; name a file in a folder of yours"
        ) from error
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise


def _encoded(file: BinaryIO | gzip.GzipFile) -> Callable[[str], object]:
    return lambda text: file.write(text.encode())
