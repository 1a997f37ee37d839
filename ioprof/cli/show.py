"""What a run shows while it goes on: phases and progress here, the live view in a process of its own."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from ioprof.cli.metrics_target import MetricsTarget


class LiveObserver:
    """Shows phases on stderr and starts the live view when steps begin.

    The live view reads the run directory from another process: drawing in this one would hold the interpreter
    that the step loop needs.
    """

    def __init__(self, console: Console, *, metrics: MetricsTarget | None = None, is_shown: bool = True) -> None:
        """Show nothing yet.

        Args:
            console: where phases are shown.
            metrics: where the run's figures go meanwhile; None: nowhere.
            is_shown: False: only the metrics are wanted.
        """
        self._console = console
        self._metrics = metrics
        self._is_shown = is_shown
        self._bar: Progress | None = None
        self._text = ""
        self._started_s = 0.0
        self._view: subprocess.Popen[bytes] | None = None

    def phase(self, text: str) -> None:
        """Name a part of the run; a bar follows if it takes long enough to be worth one."""
        self._end_bar()
        self._text, self._started_s = text, time.monotonic()

    def progress(self, done: int, total: int) -> None:
        """Move the bar."""
        if not self._is_shown:
            return
        if self._bar is None and done < total and time.monotonic() - self._started_s > 0.5:
            self._bar = Progress(
                TextColumn("[dim]{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn(),
                console=self._console, transient=True,
            )  # fmt: skip
            self._bar.add_task(self._text, total=total)
            self._bar.start()
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=done)

    def measuring(self, directory: Path) -> None:
        """Start the live view."""
        self._end_bar()
        metrics, more = self._metrics, list[str]()
        if not self._is_shown:
            more.append("--no-view")
        if metrics is not None:
            more += ["--metrics", metrics.word]
        bound = metrics.bound if metrics is not None else None
        self._view = subprocess.Popen(
            [sys.executable, "-m", "ioprof.cli.live", str(directory), *more],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
            pass_fds=() if bound is None else (bound.fileno(),),
        )
        if metrics is not None:
            # Workers that are forked from here on must not keep the port.
            metrics.close()

    def finished(self) -> None:
        """Tell the live view to end, and wait until it has let go of the terminal."""
        self._end_bar()
        if self._view is None:
            return
        view, self._view = self._view, None
        if view.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                # Closing its input is not enough: workers that were forked meanwhile hold the same end open.
                view.stdin.write(b"\n")
                view.stdin.close()
        try:
            view.wait(timeout=3)
        except subprocess.TimeoutExpired:
            view.kill()
            view.wait()
        if view.returncode < 0 and self._console.is_terminal:
            # It was killed, and had hidden the cursor.
            self._console.show_cursor(show=True)

    def _end_bar(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


class PhasesOnly(LiveObserver):
    """Shows phases and bars, and nothing while steps are measured: of a run of seconds a view would take a part."""

    def measuring(self, directory: Path) -> None:
        """Leave the CPUs to the run."""
        self._end_bar()
