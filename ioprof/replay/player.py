"""Repeats one lane's accesses through the traced store, each when it is due."""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from ioprof.clock import now_ns
from ioprof.contract import Layout, ObjectSizes
from ioprof.host.precise_wait import PreciseWait
from ioprof.replay.accesses import UNKNOWN
from ioprof.replay.script import WHOLE, Script
from ioprof.replay.spread import SLOT_NS
from ioprof.store.direct_file import AlignedBuffer, logical_block_bytes
from ioprof.store.tap_file import TapFile
from ioprof.trace.batch_trace import BatchStamps, BatchTrace
from ioprof.trace.kinds import Kind
from ioprof.trace.replay_record import Pace

_MERGED_THINK_NS = 1_000
"""Whole objects with less between them are asked for together, as they were when they were recorded."""
_MOST_MERGED = 1024
_LEAD_NS = 60_000
"""How long before its first operation a batch begins: what its hooks do is not to delay it."""
_LONG_NS = 250_000_000
"""Of longer waits, so much is slept at a time: then a stop is noticed."""
_LARGEST_BUFFER_BYTES = 64 << 20


class StoppedError(Exception):
    """The run ends before its time."""


class Piece(NamedTuple):
    """Units of one lane that follow each other and belong to one batch."""

    number: int
    """Batch of the replay."""
    first: int
    stop: int
    """Its units."""
    samples: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What a lane repeats its accesses with; picklable."""

    layout: Layout
    sizes: ObjectSizes
    pace: Pace
    directories: Sequence[str]
    """Those that are listed, in turn: which one was listed is not recorded."""
    keeps_direct: bool
    """Whether files that were opened around the page cache are opened so again."""
    keeps_mapped: bool
    """Whether files that were mapped are mapped again; else their ranges are read."""


class Player:
    """One lane."""

    def __init__(self, trace: BatchTrace, means: Means, is_stopped: Callable[[], bool]) -> None:
        self.trace = trace
        self.late_ns = array("q")
        """How long after its time each unit of the last piece was issued; only in an open loop."""
        self._means = means
        self._is_stopped = is_stopped
        self._wait = PreciseWait()
        self._files: dict[int, list[TapFile]] = {}
        self._maps: dict[int, TapFile] = {}
        self._ends: dict[int, int] = {}
        """Where the last read of an object ended; reads whose place is not known go on from there."""
        self._listed = 0
        self._ended_ns = 0
        self._owed_ns = 0
        """By how much pauses were too long so far: woken late, a process makes it good in the pauses to come."""
        self._aligned = AlignedBuffer()
        self._memory = bytearray(1 << 20)
        self._block_bytes = logical_block_bytes(Path(trace.tap.root)) if means.keeps_direct else 0
        self._do: dict[int, Callable[[int, int, int, int], object]] = {
            Kind.LIST: self._list,
            Kind.STAT: self._stat,
            Kind.OPEN: self._open,
            Kind.READ: self._read,
            Kind.CLOSE: self._close,
            Kind.GET: self._get,
            Kind.TOUCH: self._touch,
        }

    def play(self, script: Script, pieces: Sequence[Piece], shift_ns: int) -> Iterator[BatchStamps]:
        """Repeat an epoch, batch after batch.

        Args:
            script: what to do.
            pieces: its batches, in order.
            shift_ns: added to the recorded time, it gives the time at which an operation is due.

        Raises:
            StoppedError: the run ends before its time.
        """
        self._ended_ns = int(script.start_ns[0]) + shift_ns
        for piece in pieces:
            del self.late_ns[:]
            self._piece(script, piece, shift_ns)
            self.trace.fetched()
            yield self.trace.end_unjoined(piece.samples)
        self._leave()

    def _piece(self, script: Script, piece: Piece, shift_ns: int) -> None:
        units = slice(piece.first, piece.stop)
        what, objects = script.what[units].tolist(), script.object[units].tolist()
        starts, thinks = script.start_ns[units].tolist(), script.think_ns[units].tolist()
        was_idle = script.was_idle[units].tolist()
        offsets, sizes = script.offset[units].tolist(), script.size_bytes[units].tolist()
        direct = script.direct[units].tolist()
        is_open, begun = self._means.pace == "open", False
        for first, stop in self._together(what, thinks, starts):
            paths = self._paths(objects[first:stop]) if what[first] == WHOLE else []
            due_ns = self._due_ns(starts[first] + shift_ns, thinks[first], was_idle=was_idle[first])
            if not begun:
                self._until(due_ns - _LEAD_NS)
                self.trace.begin(script.epoch, piece.number)
                begun = True
            self._until(due_ns)
            issued_ns = now_ns()
            self._owed_ns += max(0, issued_ns - due_ns) if due_ns else 0
            if paths:
                self.trace.tap.read_objects(paths, sizes[first:stop], objects[first:stop])
            else:
                self._one(what[first], objects[first], offsets[first], sizes[first], direct[first])
            if is_open:
                self._note_late(issued_ns, [start + shift_ns for start in starts[first:stop]])
            self._ended_ns = self.trace.recorder.last_end_ns() or now_ns()

    def _due_ns(self, recorded_ns: int, think_ns: int, *, was_idle: bool) -> int:
        """Return when a unit is due; ``recorded_ns`` is when it was issued, by this replay's clock."""
        if self._means.pace == "open":
            return recorded_ns
        if self._means.pace == "fastest":
            return 0
        # A batch that nobody had asked for yet: who asks is not repeated, but when he did is known. A lane that is
        # behind has what it waited for already; one that is ahead has to wait.
        if was_idle:
            self._owed_ns = 0
            return max(recorded_ns, self._ended_ns)
        made_good_ns = min(think_ns, self._owed_ns)
        self._owed_ns -= made_good_ns
        return self._ended_ns + think_ns - made_good_ns

    def _note_late(self, issued_ns: int, dues_ns: Sequence[int]) -> None:
        """Note how late each of some units was issued that were asked for together, the first of them at ``issued_ns``.

        Of whole objects the trace knows when each was opened; where one of them failed, only the first is known.
        """
        began_ns = self.trace.recorder.pending_starts_ns()[-len(dues_ns) :] if len(dues_ns) > 1 else []
        if len(began_ns) == len(dues_ns):
            self.late_ns.extend(began - due for began, due in zip(began_ns, dues_ns, strict=True))
        else:
            self.late_ns.append(issued_ns - dues_ns[0])

    def _together(
        self, what: Sequence[int], thinks_ns: Sequence[int], starts_ns: Sequence[int]
    ) -> Iterator[tuple[int, int]]:
        """Yield the first and one past the last of units that are asked for together."""
        apart_ns = SLOT_NS if self._means.pace == "open" else 1 << 62
        most_ns = 1 << 62 if self._means.pace == "fastest" else _MERGED_THINK_NS
        place = 0
        while place < len(what):
            stop = place + 1
            if what[place] == WHOLE:
                while (
                    stop < len(what)
                    and what[stop] == WHOLE
                    and thinks_ns[stop] < most_ns
                    and starts_ns[stop] - starts_ns[place] < apart_ns
                    and stop - place < _MOST_MERGED
                ):
                    stop += 1
            yield place, stop
            place = stop

    def _until(self, moment_ns: int) -> None:
        while moment_ns - now_ns() > _LONG_NS:
            time.sleep(_LONG_NS / 2e9)
            self._look()
        self._wait.until(moment_ns)
        self._look()

    def _look(self) -> None:
        if self._is_stopped():
            raise StoppedError

    def _paths(self, objects: Sequence[int]) -> list[str]:
        root, path = self.trace.tap.root, self._means.layout.path
        return [root + path(obj) for obj in objects]

    def _one(self, what: int, obj: int, offset: int, size_bytes: int, direct: int) -> None:
        """Repeat one operation; what fails is recorded as failed, and the rest goes on."""
        try:
            self._do[what](obj, offset, size_bytes, direct)
        except OSError:
            self.trace.tap.lose(1)

    def _list(self, obj: int, offset: int, size_bytes: int, direct: int) -> None:
        directories = self._means.directories
        self.trace.tap.list(directories[self._listed % len(directories)])
        self._listed += 1

    def _stat(self, obj: int, offset: int, size_bytes: int, direct: int) -> None:
        self.trace.tap.stat(self._means.layout.path(obj) if obj >= 0 else "", obj)

    def _open(self, obj: int, offset: int, size_bytes: int, direct: int) -> None:
        self._opened(obj, direct)

    def _opened(self, obj: int, direct: int) -> TapFile:
        tap, path = self.trace.tap, self._means.layout.path(obj)
        if direct and self._means.keeps_direct:
            file = tap.open_direct(path, obj, buffer=self._aligned, block_bytes=self._block_bytes)
        else:
            file = tap.open_file(path, obj)
        self._files.setdefault(obj, []).append(file)
        self._ends[obj] = 0
        return file

    def _read(self, obj: int, offset: int, size_bytes: int, direct: int) -> None:
        opened = self._files.get(obj)
        # Opened by a batch that is not here, or by another lane: it is opened now, and counted as what it is.
        file = opened[-1] if opened else self._opened(obj, direct)
        self._read_from(file, obj, self._place(obj, offset, size_bytes), size_bytes)

    def _read_from(self, file: TapFile, obj: int, offset: int, size_bytes: int) -> None:
        self._ends[obj] = offset + size_bytes
        if size_bytes == 0 or size_bytes > _LARGEST_BUFFER_BYTES:
            file.read_at(offset, size_bytes)
            return
        if len(self._memory) < size_bytes:
            self._memory = bytearray(size_bytes)
        file.read_into(memoryview(self._memory)[:size_bytes], offset)

    def _place(self, obj: int, offset: int, size_bytes: int) -> int:
        """Return where a read begins: as recorded; where that is not known, behind the one before, front to back."""
        if offset != UNKNOWN:
            return offset
        following = self._ends.get(obj, 0)
        return following if following + size_bytes <= self._means.sizes.of([obj])[0] else 0

    def _close(self, obj: int, offset: int, size_bytes: int, direct: int) -> None:
        opened = self._files.get(obj)
        if opened:
            opened.pop().close()

    def _get(self, obj: int, offset: int, size_bytes: int, direct: int) -> None:
        place = self._place(obj, offset, size_bytes)
        if place == 0 and self._means.sizes.of([obj]) == [size_bytes]:
            self.trace.tap.read_objects(self._paths([obj]), [size_bytes], [obj])
            return
        with self.trace.tap.open_file(self._means.layout.path(obj), obj) as file:
            self._read_from(file, obj, place, size_bytes)

    def _touch(self, obj: int, offset: int, size_bytes: int, direct: int) -> None:
        mapped = self._maps.get(obj)
        if mapped is None:
            mapped = self._maps[obj] = self._mapped(obj)
        self._read_from(mapped, obj, self._place(obj, offset, size_bytes), size_bytes)

    def _mapped(self, obj: int) -> TapFile:
        path, size_bytes = self._means.layout.path(obj), self._means.sizes.of([obj])[0]
        if self._means.keeps_mapped:
            return self.trace.tap.map_file(path, obj, size_bytes, "normal")
        return self.trace.tap.open_file(path, obj)

    def _leave(self) -> None:
        """Give back what an epoch left open: mapped pages cannot be evicted."""
        for file in [*(file for opened in self._files.values() for file in opened), *self._maps.values()]:
            file.close()
        self._files.clear()
        self._maps.clear()

    def close(self) -> None:
        """Close what is open; safe to call twice."""
        self._leave()


def pieces_of(script: Script) -> Iterator[tuple[int, int, int]]:
    """Yield the batch, the first unit and one past the last of units that follow each other in one batch."""
    place = 0
    for batch, units in groupby(script.batch.tolist()):
        stop = place + sum(1 for _ in units)
        yield batch, place, stop
        place = stop
