"""Real runs of settings: long enough to be known well, and repeated where somebody else was at work on the host."""

from __future__ import annotations

import gc
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ioprof.analysis.pipeline.cpus import cpu_work_ns
from ioprof.api import Run, run
from ioprof.errors import IoprofError
from ioprof.host.proc_values import cpu_values
from ioprof.trace.reader import load_trace
from tests.validation.setting import Setting

WIDE = 0.015
"""A rate whose interval reaches further than this share to either side is measured once more, twice as long."""
DISTURBED_CORES = 0.15
"""CPU used by others, or stolen, from which on a run is done again: known without a look at any prediction."""
LONGEST, START_UP_S = 2.5, 30.0
"""A run's steps take at most so many times as long as they should, once its workers are there."""
FEWEST_STEPS = 60
_LOOK_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class PerBatch:
    """Where a mean batch's time went, in milliseconds; None: not accounted."""

    storage_ms: float | None
    prep_ms: float | None
    on_cpu_ms: float | None
    run_queue_ms: float | None
    wait_ms: float | None
    """The consumer waited for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What one real run gave."""

    directory: str
    samples_per_s: float
    ci95: tuple[float, float]
    accelerator_utilization: float | None
    steps: int
    seconds: float
    """Of the measured steps."""
    others_cores: float
    """CPU that everybody else used meanwhile, in cores, stolen time included."""
    cpu_speed_ns: float
    """How long a fixed piece of arithmetic took, at both ends of the run."""
    per_batch: PerBatch
    attempts: int
    """Runs that were made to get it."""
    cpu_work_ns: float | None = None
    """What a fixed piece of work took of the CPUs while the steps went on; None: not timed."""

    @property
    def interval_ratio(self) -> float:
        """Half the width of the rate's interval, relative to it."""
        return (self.ci95[1] - self.ci95[0]) / 2 / self.samples_per_s


class NotMeasuredError(Exception):
    """No attempt at a setting gave a rate."""


class Bench:
    """Runs settings on the datasets of one folder."""

    def __init__(self, folder: Path, seconds: float, *, attempts: int, patience_s: float) -> None:
        """Say where datasets and runs go, and how long a run is to take.

        Args:
            folder: for both.
            seconds: of one run.
            attempts: runs of one setting, at most, until one is undisturbed and known well.
            patience_s: how long to wait before each for others to leave the CPUs alone.
        """
        self._store, self._results = str(folder / "store"), str(folder / "results")
        self._seconds, self._attempts, self._patience_s = seconds, attempts, patience_s

    def measured(self, setting: Setting, samples_per_s: float, *, probe: bool = False) -> Measured:
        """Run a setting, again where a run was disturbed or too short; the best one counts.

        Args:
            setting: what to run.
            samples_per_s: about how fast it will be; only the run's length depends on it.
            probe: measure ceiling and baselines as well.

        Raises:
            NotMeasuredError: no run gave a rate; the message says why the last one did not.
        """
        seconds, best, attempt, why = self._seconds, None, 0, ""
        for attempt in range(1, self._attempts + 1):
            _await_quiet(self._patience_s)
            try:
                found = self._once(setting, samples_per_s, seconds, probe, attempt)
            except (IoprofError, NotMeasuredError) as error:
                why = str(error)
                continue
            best = found if best is None else min(best, found, key=_badness)
            if not any(_badness(best)):
                break
            samples_per_s = found.samples_per_s
            seconds = min(2 * self._seconds, seconds * (2 if found.interval_ratio > WIDE else 1))
        if best is None:
            raise NotMeasuredError(why)
        return replace(best, attempts=attempt)

    def _once(self, setting: Setting, samples_per_s: float, seconds: float, probe: bool, attempts: int) -> Measured:
        steps = max(FEWEST_STEPS, round(samples_per_s * seconds / setting.batch_size)) + setting.warmup
        spec = setting.spec(self._store, self._results, steps, START_UP_S + seconds * LONGEST, probe)
        gc.collect()
        others = _others()
        done = run(spec)
        return _measured(done, others(), attempts)


def _badness(run: Measured) -> tuple[float, float]:
    """Return what speaks against a run, the weightier first; nothing does where both are 0."""
    others = run.others_cores if run.others_cores > DISTURBED_CORES else 0.0
    return others, run.interval_ratio if run.interval_ratio > WIDE else 0.0


def _await_quiet(patience_s: float) -> None:
    """Return when others leave the CPUs alone, or patience is at its end."""
    deadline_s = time.perf_counter() + patience_s
    while time.perf_counter() < deadline_s:
        others = _others()
        time.sleep(_LOOK_S)
        if others() < DISTURBED_CORES:
            return


def _measured(done: Run, others_cores: float, attempts: int) -> Measured:
    summary, timed = done.summary, done.record.calibration
    if summary.samples_per_s is None or summary.samples_per_s_ci95 is None or summary.wall_s is None:
        raise NotMeasuredError(f"{done.directory}: no rate: {summary.reasons.get('samples_per_s')}")
    speeds = [timed.before_ns, timed.after_ns or timed.before_ns] if timed is not None else [0]
    return Measured(
        directory=str(done.directory),
        samples_per_s=summary.samples_per_s,
        ci95=summary.samples_per_s_ci95,
        accelerator_utilization=summary.accelerator_utilization,
        steps=summary.steps,
        seconds=summary.wall_s,
        others_cores=others_cores,
        cpu_speed_ns=sum(speeds) / len(speeds),
        per_batch=_per_batch(done.directory),
        attempts=attempts,
        cpu_work_ns=cpu_work_ns(load_trace(done.directory)),
    )


def _per_batch(directory: Path) -> PerBatch:
    batches = pq.read_table(directory / "batches.parquet")
    steps = pq.read_table(directory / "steps.parquet")

    def mean_ms(values: pa.ChunkedArray) -> float | None:
        mean = pc.mean(values).as_py()
        return None if mean is None else mean / 1e6

    columns = ("storage_ns", "prep_ns", "on_cpu_ns", "run_queue_ns")
    storage_ms, prep_ms, on_cpu_ms, run_queue_ms = (mean_ms(batches[name]) for name in columns)
    return PerBatch(
        storage_ms=storage_ms, prep_ms=prep_ms, on_cpu_ms=on_cpu_ms, run_queue_ms=run_queue_ms,
        wait_ms=mean_ms(pc.subtract(steps["wait_end_ns"], steps["wait_start_ns"])),
    )  # fmt: skip


def _others() -> Callable[[], float]:
    """Begin to count; what is returned tells the CPU that others have used since, in cores."""
    start_s, busy_s, own_s = time.perf_counter(), _busy_s(), _own_s()
    return lambda: max(0.0, (_busy_s() - busy_s - (_own_s() - own_s)) / (time.perf_counter() - start_s))


def _busy_s() -> float:
    values = cpu_values(Path("/proc/stat").read_bytes())
    return values["cpu_busy_s_total", ""] + values["cpu_steal_s_total", ""]


def _own_s() -> float:
    """Return CPU seconds of this process and of the children that have ended: workers have, when a run is over."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)
