"""Starts the real command in a session of its own and looks at what it leaves behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from ioprof.trace.recordlog import read_log
from ioprof.trace.schema import STEPS
from tests.e2e.command import Command

IOPROF = [sys.executable, "-m", "ioprof.cli.main"]


def environment(folder: Path) -> dict[str, str]:
    """Temporary files go into the test's own folder: a killed process cannot remove them."""
    return os.environ | {"TMPDIR": str(folder)}


def ioprof(*words: str, cwd: Path, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    process = Command(words, cwd=cwd, environment=environment(cwd))
    try:
        out, err = process.communicate(timeout_s)
    except BaseException:
        process.kill()
        raise
    return subprocess.CompletedProcess([*IOPROF, *words], process.wait(), out, err)


def start(*words: str, cwd: Path) -> Command:
    """Start a command in a session of its own, so that everything it starts can be found again."""
    return Command(words, cwd=cwd, environment=dict(os.environ))


def wait_for(what: Callable[[], bool], timeout_s: float = 60) -> None:
    """Poll until something holds; fail loudly if it never does."""
    deadline = time.monotonic() + timeout_s
    while not what():
        if time.monotonic() > deadline:
            raise AssertionError("the awaited moment never came")
        time.sleep(0.02)


def run_directories(results: Path) -> list[Path]:
    """Return the run directories made so far."""
    return sorted(results.glob("*-small-files-*")) if results.exists() else []


def steps_recorded(results: Path) -> int:
    """Return how many steps the newest run has recorded."""
    directories = run_directories(results)
    log = directories[-1] / "trace" / "steps-0.log" if directories else None
    return read_log(log, STEPS).num_rows if log is not None and log.exists() else 0


def leftovers(mark: Path) -> list[str]:
    """Return the processes that still work for a test: their command line, directory or parents name its folder."""
    found = []
    for process in psutil.process_iter(["pid", "cmdline", "cwd"]):
        if process.pid != os.getpid() and (process.info["cwd"] or "").startswith(str(mark)):
            found.append(f"{process.pid} {process.info['cmdline']}")
    return found


def signalled(process: Command, signum: signal.Signals, *, group: bool) -> tuple[int, str, str]:
    """Send a signal to the process or, as a terminal does, to its whole group; return how it ended."""
    if group:
        os.killpg(process.pid, signum)
    else:
        process.send_signal(signum)
    try:
        out, err = process.communicate(timeout=120)
    except subprocess.TimeoutExpired as late:
        raise AssertionError(f"its streams are held by:\n{late.stderr!s}") from late
    return process.wait(), out, err
