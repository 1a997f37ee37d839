"""The capture of one process: the taps in place, a recorder for what they gather, the kernel's count beside it."""

from __future__ import annotations

import os
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ioprof.capture.mappings import MappedFiles
from ioprof.capture.names import Undo
from ioprof.capture.objects import Fetched
from ioprof.capture.places import put_in_place
from ioprof.capture.taps import IS_COMPILED, TAPS, Total
from ioprof.capture.totals import Totals
from ioprof.clock import now_ns
from ioprof.host.family_io import FamilyIo
from ioprof.host.mapped_files import own_mapped_files
from ioprof.host.thread_accounting import ProcessIo
from ioprof.trace.opsfile import SINGLE_WORDS, SINGLES
from ioprof.trace.recorder import Recorder

FIRST_LOOK_NS, MOST_LOOK_NS = 500_000_000, 32_000_000_000
"""How long after the first look for mapped files the next one is due; each interval is twice the last, up to this."""


class Capture:
    """What the taps see of this process from `start` to `close`, into one recorder.

    Any thread of the process may do the reading. `hand_over`, `note_io` and `close` are for the thread that owns the
    recorder; where others do so much that the taps' memory fills up, theirs goes to the recorder in between.
    """

    def __init__(self, recorder: Recorder, *, with_children: bool) -> None:
        self.recorder = recorder
        self.totals = Totals()
        self.with_children = with_children
        self._kernel = FamilyIo() if with_children else ProcessIo()
        self._lock = threading.RLock()
        self._own_folder = str(Path(recorder.trace_dir).resolve())
        self._next_look_ns, self._look_every_ns = 0, FIRST_LOOK_NS
        self._fetched_before = Fetched.size_bytes
        self._mapped_before = MappedFiles.count, MappedFiles.size_bytes

    @property
    def tapped_bytes(self) -> int:
        """Bytes of files that the taps saw read so far."""
        return self.totals.sum(Total.TAPPED)

    @property
    def excluded_bytes(self) -> int:
        """Bytes that the kernel counts as read and that are no data: see `Total.EXCLUDED`."""
        return self.totals.sum(Total.EXCLUDED)

    @property
    def operations(self) -> int:
        """Operations seen so far, those of children included."""
        return self.totals.sum(Total.OPERATIONS)

    @property
    def mapped_files(self) -> tuple[int, int]:
        """How many files this process mapped through Python, and their bytes; what was read of them is not known."""
        return MappedFiles.count - self._mapped_before[0], MappedFiles.size_bytes - self._mapped_before[1]

    def hand_over(self) -> None:
        """Give what the taps have gathered to the recorder, as operations of what it has begun."""
        with self._lock, own_calls():
            self.recorder.singles.frombytes(TAPS.take())
            if len(self.recorder.singles) >= SINGLES // 2 * SINGLE_WORDS:
                self.recorder.end()

    def note_io(self) -> None:
        """Keep a reading of the kernel's count beside the taps'; between the first and the last lies the coverage."""
        # Before the kernel is asked: what the asking reads is not yet in its answer.
        tapped, touched, excluded = map(self.totals.sum, (Total.TAPPED, Total.TOUCHED, Total.EXCLUDED))
        with own_calls():
            counters = self._kernel.read()
        if counters is not None:
            rchar_bytes = counters.rchar - excluded
            self.recorder.note_io(tapped, tapped, rchar_bytes, counters.read_bytes, touched_page_bytes=touched)

    def note_uncounted(self, *, is_last: bool = False) -> None:
        """Keep how much came from object stores, which data files are mapped, and the page faults so far.

        Looking for mappings takes about a millisecond, and what a loader maps it mostly keeps: it is done ever less
        often, and not unless so long has passed.
        """
        self.recorder.note_objects(Fetched.size_bytes - self._fetched_before)
        at_ns = now_ns()
        if not is_last and at_ns < self._next_look_ns:
            return
        self._next_look_ns = at_ns + self._look_every_ns
        self._look_every_ns = min(2 * self._look_every_ns, MOST_LOOK_NS)
        with own_calls():
            latent = own_mapped_files(but_below=self._own_folder)
        if latent is not None:
            # Together with those that Python mapped, some of which may be gone: the most that can have been read.
            files, size_bytes = self.mapped_files
            found = max((latent.files, latent.mapped_bytes), (files, size_bytes), key=lambda one: one[1])
            self.recorder.note_latent(*found, resource.getrusage(resource.RUSAGE_SELF).ru_majflt)

    def bind(self) -> None:
        """Let the taps count for this capture."""
        TAPS.bind(self.totals.slot(0), self.hand_over)

    def close(self) -> None:
        """Take the last reading, hand over what is left, and take the taps away; safe to call twice."""
        with _process.lock:
            if self not in _process.captures:
                return
            if self is _process.captures[-1]:
                self.hand_over()
            self.note_io()
            self.note_uncounted(is_last=True)
            _process.captures.remove(self)
            if _process.captures:
                _process.captures[-1].bind()
            else:
                TAPS.bind(None, None)
                _process.family = None
                _take_away()
        self._kernel.close()


class _Process:
    """What is in place in this process."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.captures: list[Capture] = []
        """Those not closed; the last is the one that counts."""
        self.family: Totals | None = None
        """Where children count; in a child, its parent's."""
        self.undo: list[Undo] = []


_process = _Process()


def start(recorder: Recorder, *, with_children: bool = False) -> Capture:
    """Put the taps in place in this process, count for a recorder, and take the first reading of the kernel's count.

    Where a capture runs already, it rests until this one is closed. A forked child has none until it starts its own;
    what it reads is counted for its parent where that asked for it.

    Args:
        recorder: of this process; the caller begins and ends batches, and closes it after the capture.
        with_children: what processes read that this one starts belongs to it.
    """
    capture = Capture(recorder, with_children=with_children)
    with _process.lock:
        if _process.captures:
            _process.captures[-1].hand_over()
        elif not _process.undo:
            _process.undo = put_in_place()
        _process.captures.append(capture)
        capture.bind()
    capture.note_io()
    capture.note_uncounted()
    return capture


@contextmanager
def own_calls() -> Iterator[None]:
    """What this thread does within is ioprof's own work: no operation of the loader's."""
    TAPS.enter_own()
    try:
        yield
    finally:
        TAPS.leave_own()


def is_compiled() -> bool:
    """Tell whether the taps are the compiled ones."""
    return IS_COMPILED


def _take_away() -> None:
    undo, _process.undo = _process.undo, []
    for step in reversed(undo):
        step()


def _before_fork() -> None:
    # No other thread may hold it while the process is copied: nobody would give it back in the child.
    _process.lock.acquire()
    if _process.captures:
        newest = _process.captures[-1]
        _process.family = newest.totals if newest.with_children else None
    if _process.family is not None:
        _process.family.next_slot()


def _after_fork_in_parent() -> None:
    _process.lock.release()


def _after_fork_in_child() -> None:
    _process.captures, _process.lock = [], threading.RLock()
    family = _process.family
    TAPS.bind(None if family is None else family.slot(family.newest), None)


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
