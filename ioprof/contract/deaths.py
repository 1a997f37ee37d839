"""Which worker processes were ended, found by whoever noticed that something broke."""

from __future__ import annotations

import multiprocessing.connection
import time
from collections.abc import Sequence
from multiprocessing.process import BaseProcess

from ioprof.contract.loader import DeadWorker

DYING_S = 1.0
"""How long a worker whose connection broke may take until its end is known: on a busy host it waits for a CPU."""
_POLL_S = 0.001
"""How often a process that is about to end is looked at."""


def dead_among(workers: Sequence[BaseProcess], dying_s: float = DYING_S) -> list[DeadWorker]:
    """Return the workers that a signal or an error code ended.

    Args:
        workers: those to look at, by number.
        dying_s: how long to wait where none of them has ended like that yet.
    """
    alive = [worker for worker in workers if worker.exitcode is None]
    if alive and not any(worker.exitcode for worker in workers):
        # A connection breaks a little before the process that held it has ended, and so does the sentinel.
        deadline_s = time.monotonic() + dying_s
        multiprocessing.connection.wait([worker.sentinel for worker in alive], timeout=dying_s)
        while all(worker.exitcode is None for worker in alive) and time.monotonic() < deadline_s:
            time.sleep(_POLL_S)
    return [
        DeadWorker(worker=number, pid=worker.pid, exit_code=worker.exitcode)
        for number, worker in enumerate(workers)
        if worker.pid is not None and worker.exitcode
    ]
