"""What becomes of the worker processes of built-in loaders: awaited when told to end, found when they die."""

from __future__ import annotations

import multiprocessing.connection
import os
import time
import warnings
from collections.abc import Sequence
from multiprocessing.process import BaseProcess

from ioprof.contract import EpochEnder, WorkerJob
from ioprof.errors import CaveatWarning

CLOSING_S = 5.0
"""How long a worker that was told to end is awaited; one stuck in the kernel (a dead file server) never ends."""
HANDING_OVER_S = 20.0
"""How long one is awaited that may have to put to the store what it still holds."""
_POLL_S = 0.001
"""How often a process that is about to end is looked at."""


def still_alive(workers: Sequence[BaseProcess], limit_s: float = CLOSING_S) -> list[BaseProcess]:
    """Wait for workers to end, ``limit_s`` for all together; return those that did not."""
    deadline_s = time.monotonic() + limit_s
    for worker in workers:
        multiprocessing.connection.wait([worker.sentinel], timeout=max(0.0, deadline_s - time.monotonic()))
        # Not join: it has no time limit once the sentinel tells, and the kernel may still be closing the files.
        while worker.exitcode is None and time.monotonic() < deadline_s:
            time.sleep(_POLL_S)
    return [worker for worker in workers if worker.exitcode is None]


def end_workers(workers: Sequence[BaseProcess], job: WorkerJob) -> None:
    """Wait for workers that were told to end, and kill those that do not; what they held then is told to be lost."""
    hands_over = isinstance(job.source, EpochEnder)
    for stuck in still_alive(workers, HANDING_OVER_S if hands_over else CLOSING_S):
        stuck.kill()
    still_alive(workers)
    for ended in workers:
        if ended.exitcode is not None:
            ended.join()  # at once; only then does multiprocessing let go of it, and of its descriptors
    lost = sum(worker.exitcode != 0 for worker in workers)
    if hands_over and lost:
        verb = "worker was ended before it" if lost == 1 else "workers were ended before they"
        warnings.warn(
            f"{lost} {verb} had handed over all that was to be written: the end of it is not on the store.",
            CaveatWarning,
            stacklevel=3,
        )


def warn_of_crowded_workers(workers: int, advice: str) -> None:
    """Make more workers than CPUs a caveat of the run.

    Args:
        workers: how many will be started.
        advice: what to think of it, without a full stop.
    """
    cpus = len(os.sched_getaffinity(0))
    if workers > cpus:
        are = "1 CPU that this process may use" if cpus == 1 else f"{cpus} CPUs that this process may use"
        warnings.warn(f"{workers} workers on {are}: {advice}.", CaveatWarning, stacklevel=3)
