"""What can be tuned: anything that runs with a setting and says how fast it was. A workload does."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ioprof.trace.trace import Trace
from ioprof.tuning.setting import Setting

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One real run of a setting."""

    setting: Setting
    samples_per_s: float | None
    """None: it failed, and ``problem`` says how."""
    samples_per_s_ci95: Interval | None = None
    """From step to step; None where the steps are too few."""
    accelerator_utilization: float | None = None
    """None without an accelerator."""
    steps: int = 0
    """Measured steps."""
    batch_bytes: int | None = None
    """Bytes of the largest batch."""
    worker_bytes: int | None = None
    """Memory that one worker has for itself."""
    trace: Trace | None = None
    """What predictions start from; None: there are none of it."""
    directory: Path | None = None
    """Its run directory."""
    seconds: float
    """From its start to its analysis."""
    problem: str | None = None
    """Why there is no rate, in one line."""
    fits: bool = True
    """False: the setting itself failed, and larger ones would as well; a run that was only too short tells nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What a run says of its own limits."""

    bound: str | None
    """As `verdict.bound` of summary.json."""
    sentence: str
    """The verdict."""
    most_per_s: float | None = None
    """Samples/s that the store proved unable to exceed, with no loader in the way; None: not known."""
    most_processes: int = 0
    """How many plain processes got that."""
    store_bound: str | None = None
    """Which property of the store that would be: storage-latency, storage-bandwidth or metadata."""


class Tunable(Protocol):
    """Something with workers and prefetch that can be run."""

    def measure(self, setting: Setting) -> Measured:
        """Run it with a setting for a few seconds; a setting that fails is a result too.

        Raises:
            Interrupted: a signal ended it.
        """
        ...

    def judge(self, measured: Measured) -> Judged:
        """Return what a run says of its own limits."""
        ...
