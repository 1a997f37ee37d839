"""The live view ends when it is told to."""

from __future__ import annotations

import io
import os
import signal
import subprocess
from pathlib import Path

import pytest
from rich.console import Console

from ioprof.cli.show import LiveObserver


def test_the_view_ends_by_itself_though_a_forked_process_holds_its_input_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As workers do that are forked while it runs: it was waited for in vain, and killed."""
    killed, kill = list[int](), subprocess.Popen.kill

    def told(view: subprocess.Popen[bytes]) -> None:
        killed.append(view.pid)
        kill(view)

    monkeypatch.setattr(subprocess.Popen, "kill", told)
    observer = LiveObserver(Console(file=io.StringIO()))
    observer.measuring(tmp_path)
    worker = os.fork()
    if not worker:
        signal.pause()
        os._exit(0)
    try:
        observer.finished()
    finally:
        os.kill(worker, signal.SIGKILL)
        os.waitpid(worker, 0)
    assert killed == []
