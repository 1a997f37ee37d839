"""One level of the climb: so many processes read at once, and windows of equal length tell at which rate."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path

from ioprof.clock import now_ns
from ioprof.contract import Indices, SampleReader, SampleStream
from ioprof.errors import RunError
from ioprof.host.proc_values import cpu_values
from ioprof.probe.board import Board, Order, State, Word, Words
from ioprof.probe.figures import level_record
from ioprof.probe.progress import FEWEST_SAMPLES, Progress, progress
from ioprof.probe.rates import half_width_ratio
from ioprof.probe.worker import WorkerPlan, failure_file, work
from ioprof.store.base import Store
from ioprof.trace.probe_record import LevelEnd, LevelRecord
from ioprof.trace.raw import raw_operations, raw_processes

WINDOW_NS = 250_000_000
FEWEST_WINDOWS = 4
PRECISION_RATIO = 0.05
"""A level may end once half its interval is at most this share of its rate."""
_SETTLE_NS = 100_000_000
"""What every level reads before its first window opens, at least: caches and queues of the store fill."""
_READY_S = 60.0
"""How long processes may take to start; a store's client may have to connect."""
_CLOSING_S = 5.0
_POLL_S = 0.001
_STAT = Path("/proc/stat")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a level reads."""

    source: SampleReader | SampleStream
    store: Store
    """Rooted at the dataset."""
    order: Indices | None
    """Samples in the order in which they are wanted; None for streams."""
    epoch: int
    repeats: bool
    """Whether it may be read again and again; False: each sample once, and the level ends when there are no more."""
    is_cached_locally: bool
    """Whether this host's page cache stands between the processes and the store."""


@dataclass(slots=True)
class _Windows:
    """Readings of the board at the borders of windows."""

    at_ns: list[int] = field(default_factory=list)
    snapshots: list[Words] = field(default_factory=list)
    host_busy_s: list[float] = field(default_factory=list)
    """CPU time of everything that ran on the host, since it was started."""

    def add(self, board: Board) -> None:
        self.at_ns.append(now_ns())
        self.snapshots.append(board.snapshot())
        self.host_busy_s.append(cpu_values(_STAT.read_bytes())["cpu_busy_s_total", ""])

    def host_cpu_ratio(self) -> float:
        """Return the share of all the host's CPU time that was in use, other programs included."""
        present_s = (self.at_ns[-1] - self.at_ns[0]) / 1e9 * (os.cpu_count() or 1)
        return min(1.0, (self.host_busy_s[-1] - self.host_busy_s[0]) / present_s)

    def progress(self) -> Progress | None:
        """Return what the processes did from the first border to the last; None: too little to tell."""
        return progress(self.snapshots, self.at_ns[-1], WINDOW_NS) if len(self.snapshots) > 1 else None


def _ignored(reason: str) -> None:
    """Tell nobody."""


def measure_level(
    reading: Reading,
    processes: int,
    *,
    longest_ns: int,
    cores: float,
    tick: Callable[[], None],
    precision_ratio: float = PRECISION_RATIO,
    slowest_ns: int = 0,
    missing: Callable[[str], None] = _ignored,
) -> tuple[LevelRecord | None, int]:
    """Read with so many processes; return what they got, and how many places of the order were taken.

    Args:
        reading: what is read.
        processes: how many at once.
        longest_ns: when the level ends at the latest, counted from its first window.
        cores: CPUs that the processes may use.
        tick: called several times a second.
        precision_ratio: half its interval over its rate, at which a level may end before its time.
        slowest_ns: how long a level may take instead where samples are so slow that less tells nothing.
        missing: told why there is no record.

    Returns:
        None in place of a record where there was nothing to read for some of the processes, or where one of them read
        fewer than `FEWEST_SAMPLES`.

    Raises:
        RunError: a process failed or was killed.
    """
    board = Board(processes)
    with tempfile.TemporaryDirectory(prefix="ioprof-probe-") as trace_dir:
        with _running(reading, processes, board, trace_dir) as running:
            windows, ended = _measured(
                board, running, trace_dir, longest_ns, max(longest_ns, slowest_ns), precision_ratio, tick
            )
        found = windows.progress()
        if found is None or not board.rows[:, Word.SAMPLES].all():
            missing(_why_missing(board, processes, ended))
            return None, board.claimed
        operations = raw_operations(raw_processes(Path(trace_dir))[0])
        record = level_record(
            board=board,
            progress=found,
            ended=ended,
            operations=operations,
            cores=cores,
            host_cpu_ratio=windows.host_cpu_ratio(),
            is_cached_locally=reading.is_cached_locally,
        )
    return record, board.claimed


def _why_missing(board: Board, processes: int, ended: LevelEnd) -> str:
    told = f"with {processes} process{'' if processes == 1 else 'es'} nothing could be measured"
    if not board.rows[:, Word.SAMPLES].any() and board.rows[:, Word.FAILED_SAMPLES].any():
        return f"{told}: not one sample could be read"
    if ended == "read-through":
        return f"{told}: there was too little to read for all of them; use a larger dataset"
    return f"{told}: samples are so slow that not each of them read {FEWEST_SAMPLES} in the time that a level may take"


@contextlib.contextmanager
def _running(reading: Reading, processes: int, board: Board, trace_dir: str) -> Iterator[list[BaseProcess]]:
    """Start the processes and let them read; stop and await them at the end of the block."""
    context = multiprocessing.get_context("fork")
    started: list[BaseProcess] = []
    try:
        for worker in range(processes):
            plan = WorkerPlan(
                source=reading.source,
                store=reading.store,
                trace_dir=trace_dir,
                worker=worker,
                processes=processes,
                board=board,
                order=reading.order,
                epoch=reading.epoch,
                repeats=reading.repeats,
            )
            process = context.Process(target=work, args=(plan,), name=f"ioprof-probe-{worker}", daemon=True)
            process.start()
            started.append(process)
        _await_ready(board, started, trace_dir)
        board.tell(Order.READ)
        yield started
    finally:
        board.tell(Order.STOP)
        _await_end(started)


def _await_ready(board: Board, running: list[BaseProcess], trace_dir: str) -> None:
    deadline_s = time.monotonic() + _READY_S
    while (board.rows[:, Word.STATE] < State.READY).any():
        _check_alive(board, running, trace_dir)
        if time.monotonic() > deadline_s:
            raise RunError(f"the probe's processes were not ready after {_READY_S:.0f} s: the store does not answer")
        time.sleep(_POLL_S)
    _check_alive(board, running, trace_dir)


def _check_alive(board: Board, running: list[BaseProcess], trace_dir: str) -> None:
    """See that no process has failed.

    Raises:
        RunError: one has, or was killed.
    """
    for worker, process in enumerate(running):
        state = board.rows[worker, Word.STATE]
        if state == State.FAILED:
            told = failure_file(trace_dir, worker).read_text(encoding="utf-8")
            raise RunError(f"a process of the probe failed: {told}")
        if state < State.STOPPED and process.exitcode is not None:
            raise RunError(f"a process of the probe was killed (exit code {process.exitcode})")


def _await_end(running: list[BaseProcess]) -> None:
    """Await all processes; those that the store keeps are killed, and not awaited for long: some cannot be."""
    for _ in range(2):
        deadline_s = time.monotonic() + _CLOSING_S
        for process in running:
            process.join(max(0.0, deadline_s - time.monotonic()))
        for process in running:
            if process.exitcode is None:
                process.kill()


def _measured(
    board: Board,
    running: list[BaseProcess],
    trace_dir: str,
    longest_ns: int,
    slowest_ns: int,
    precision_ratio: float,
    tick: Callable[[], None],
) -> tuple[_Windows, LevelEnd]:
    """Wait until all processes read, then take windows until the rate is known well enough."""
    windows = _Windows()
    begun_ns = now_ns()
    while (now_ns() - begun_ns < _SETTLE_NS) or (not _all_began(board) and now_ns() - begun_ns < slowest_ns):
        if _wait(board, running, trace_dir, now_ns() + _SETTLE_NS, tick):
            return windows, "read-through"
    if not _all_began(board):
        return windows, "time"
    windows.add(board)
    while True:
        if _wait(board, running, trace_dir, windows.at_ns[-1] + WINDOW_NS, tick):
            # The window in which the first process ran out of samples was not all theirs.
            return windows, "read-through"
        windows.add(board)
        found, took_ns = windows.progress(), windows.at_ns[-1] - windows.at_ns[0] + WINDOW_NS // 2
        rates = [] if found is None else found.window_rates
        if len(rates) >= FEWEST_WINDOWS and half_width_ratio(rates) <= precision_ratio:
            return windows, "precise"
        if took_ns >= (longest_ns if len(rates) >= min(FEWEST_WINDOWS, longest_ns // WINDOW_NS) else slowest_ns):
            return windows, "time"


def _all_began(board: Board) -> bool:
    return bool(((board.rows[:, Word.SAMPLES] > 0) | (board.rows[:, Word.STATE] >= State.STOPPED)).all())


def _wait(board: Board, running: list[BaseProcess], trace_dir: str, until_ns: int, tick: Callable[[], None]) -> bool:
    """Sleep until then, or until a process has run out of samples; return whether one has."""
    while True:
        _check_alive(board, running, trace_dir)
        if (board.rows[:, Word.STATE] == State.READ_THROUGH).any():
            return True
        tick()
        left_ns = until_ns - now_ns()
        if left_ns <= 0:
            return False
        time.sleep(min(left_ns, WINDOW_NS // 2) / 1e9)
