"""The live view and the metrics: follow a run directory from a process of their own until its input closes.

Reads only what the run writes anyway, so that watching costs the measured processes nothing but CPU time on another
core. Where stderr is no terminal it prints a plain line every few seconds.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import select
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from rich.console import Console
from rich.live import Live

from ioprof.cli.console import talk
from ioprof.cli.live_view import WorkerLine, plain, view
from ioprof.clock import now_ns

if TYPE_CHECKING:
    from ioprof.trace.follow import Follower, Snapshot

_REFRESH_NS = 1_000_000_000
"""Twice as often costs twice as much: with a screen of rich's about half a percent of a CPU."""
_PLAIN_LINE_NS = 5_000_000_000
_PLAIN_START_NS = 2_000_000_000
"""The first line's rates are those since then."""
_PR_SET_PDEATHSIG = 1


class _Metrics(Protocol):
    failure: str | None

    def waits_on(self) -> list[socket.socket]: ...

    def tick(self) -> None: ...

    def close(self) -> None: ...


class _Pace:
    """Waits for the next thing to do, and answers who asks for metrics meanwhile."""

    def __init__(self, metrics: _Metrics | None) -> None:
        self._metrics = metrics

    def is_over(self, wait_ns: int) -> bool:
        """Wait so long; tell whether standard input closed, or said something, meanwhile."""
        until_ns = now_ns() + wait_ns
        while (left_ns := until_ns - now_ns()) > 0:
            asked = self._metrics.waits_on() if self._metrics is not None else []
            ready = select.select([sys.stdin, *asked], [], [], left_ns / 1e9)[0]
            if sys.stdin in ready:
                return True
            if ready and self._metrics is not None:
                self._metrics.tick()
        if self._metrics is not None and not self._metrics.waits_on():
            self._metrics.tick()
        return False


class _Workers:
    """Looks at the worker processes, and remembers what CPU time each had."""

    def __init__(self) -> None:
        self._seen: dict[int, tuple[int, float]] = {}

    def lines(self, snapshot: Snapshot) -> list[WorkerLine]:
        """Return those that are alive."""
        from ioprof.host.process_state import process_state

        found: dict[int, WorkerLine] = {}
        for one in snapshot.workers:
            state, at_ns = process_state(one.pid), now_ns()
            if state is None:
                continue  # of an earlier epoch
            before = self._seen.get(one.pid)
            cpu = None if before is None else (state.cpu_s - before[1]) / max((at_ns - before[0]) / 1e9, 1e-3)
            self._seen[one.pid] = (at_ns, state.cpu_s)
            found[one.worker] = WorkerLine(
                worker=one.worker, state=state.word, busy_ratio=one.busy_ratio, cpu_ratio=cpu
            )
        return [found[worker] for worker in sorted(found)]


def _print_lines(follower: Follower, console: Console, pace: _Pace) -> None:
    wait_ns = _PLAIN_LINE_NS - _PLAIN_START_NS
    while not pace.is_over(wait_ns):
        if (snapshot := follower.snapshot()) is not None:
            console.print(plain(snapshot), soft_wrap=True)
        wait_ns = _PLAIN_LINE_NS


def _draw(follower: Follower, console: Console, pace: _Pace) -> None:
    workers = _Workers()
    with Live(console=console, auto_refresh=False, transient=True) as live:
        while not pace.is_over(_REFRESH_NS):
            if (snapshot := follower.snapshot()) is not None:
                live.update(view(snapshot, workers.lines(snapshot)), refresh=True)


def _end_with_parent() -> None:
    """End as if told to when the run is killed: the terminal gets its cursor back, and nobody stays behind."""
    parent = os.getppid()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    if (prctl := getattr(ctypes.CDLL(None), "prctl", None)) is not None:
        prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGTERM), 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(0)


def main(arguments: list[str]) -> None:
    """Show and serve until standard input closes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("directory", type=Path)
    parser.add_argument("--no-view", action="store_true")
    parser.add_argument("--metrics")
    given = parser.parse_args(arguments)
    _end_with_parent()
    console = talk()
    shows = not given.no_view
    # A short run is over before its first line: what counts is loaded later than its first steps need the CPUs.
    if shows and not console.is_terminal and given.metrics is None and _Pace(None).is_over(_PLAIN_START_NS):
        return
    from ioprof.trace.follow import Follower

    follower = Follower(given.directory)
    metrics = _metrics(given.metrics, follower) if given.metrics else None
    pace = _Pace(metrics)
    try:
        if not shows:
            while not pace.is_over(_REFRESH_NS):
                pass
        elif console.is_terminal:
            _draw(follower, console, pace)
        else:
            _print_lines(follower, console, pace)
    finally:
        if metrics is not None:
            with contextlib.suppress(OSError):  # a socket that nobody is connected to any more
                metrics.close()
            if metrics.failure is not None:
                console.print(f"metrics could not be written: {metrics.failure}", soft_wrap=True, markup=False)


def _metrics(word: str, follower: Follower) -> _Metrics:
    """Return what serves the place that `MetricsTarget.word` names."""
    from ioprof.cli.metrics_server import MetricsFile, MetricsPort

    kind, _, place = word.partition(":")
    if kind == "file":
        return MetricsFile(Path(place), follower)
    return MetricsPort(socket.socket(fileno=int(place)), follower)


if __name__ == "__main__":
    main(sys.argv[1:])
