"""What is said of a worker that died."""

from __future__ import annotations

import signal

from ioprof.contract import DeadWorker
from ioprof.runner.worker_death import death_text


def test_a_bus_error_names_both_of_its_usual_causes() -> None:
    """A full /dev/shm, and a file that was cut short while it was mapped."""
    told = death_text([DeadWorker(worker=1, pid=77, exit_code=-signal.SIGBUS)])
    assert told.startswith("worker 1 (pid 77) was ended by SIGBUS; usually /dev/shm is full")
    assert "or a file was truncated while it was mapped; what was measured is kept" in told
