"""The samples of a run, found as a training script finds them when it starts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ioprof.clock import now_ns
from ioprof.contract import Workload
from ioprof.store.base import Store
from ioprof.store.local_tap import tap_store
from ioprof.trace.kinds import Phase
from ioprof.trace.recorder import Recorder


@dataclass(frozen=True, slots=True, kw_only=True)
class Discovered:
    """What was found, and how long it took."""

    samples: int
    seconds: float


def discover(workload: Workload, store: Store, raw_dir: Path, *, rank: int, worker: int) -> Discovered:
    """Let the workload find its samples; what it asks the store is traced.

    Args:
        workload: what looks.
        store: root of its dataset.
        raw_dir: the run's raw files.
        rank: of the accelerator that would wait for it.
        worker: number that the trace knows it by.

    Raises:
        OSError: the store refused.
        RunDirectoryError: the results folder is not writable or full.
    """
    recorder = Recorder(str(raw_dir), rank=rank, worker=worker, span_budget=10_000)
    recorder.begin(Phase.DISCOVERY)
    start_ns = now_ns()
    try:
        found = workload.discover(store, tap_store(store, recorder))
    finally:
        recorder.close()
    return Discovered(samples=found, seconds=(now_ns() - start_ns) / 1e9)
