"""What is measured beside a run once its steps are over: the store's ceiling, and the loader's baselines."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ioprof.contract import WritingWorkload
from ioprof.errors import IoprofError
from ioprof.probe.pattern import Pattern
from ioprof.probe.probe import MOST_PROCESSES, probe
from ioprof.runner.baselines import fed_from_memory, fed_to_one_worker, without_workers
from ioprof.runner.interrupt import Interrupted, shielded
from ioprof.runner.observer import Observer
from ioprof.runner.plan import RunPlan
from ioprof.runner.probing import empty_record, probe_job, probe_refusal, started_utc, with_figures
from ioprof.runner.run_dataset import RunDataset
from ioprof.trace.probe_record import BaselineRecord, LevelRecord, ProbeRecord, write_probe
from ioprof.trace.rundir import read_run_json

BUDGET_NS = 5_000_000_000
BASELINE_NS = 2_000_000_000
SHORTEST_RUN_NS = 2_000_000_000
"""Runs whose epochs took less are not probed: it would take many times as long as they did."""
_MOST_TIMES_WORKERS = 16
_MOST_AT_LEAST = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class BesideBudget:
    """How much is measured beside a run."""

    ceiling_ns: int = BUDGET_NS
    """Time for all levels of the probe."""
    baseline_ns: int = BASELINE_NS
    """Time for each baseline."""
    no_workers: str | None = None
    """Why the loader is not tried without workers; None: it is."""


USUAL_BUDGET = BesideBudget()


def measure_beside(
    plan: RunPlan,
    dataset: RunDataset,
    directory: Path,
    command: list[str],
    observer: Observer,
    unprobed: str | None = None,
    budget: BesideBudget = USUAL_BUDGET,
) -> None:
    """Measure ceiling and baselines and leave probe.json in a finished run's directory; also where that was skipped.

    What fails here does not fail the run: its record says why there are no figures. ``unprobed`` is why nothing is to
    be measured whatever the spec says.

    Raises:
        Interrupted: a signal came; what was measured is kept.
        RunDirectoryError: probe.json cannot be written.
    """
    record = empty_record(plan, command, started_utc(), "complete", None)
    beside = _Beside(plan, dataset, record, observer, budget)
    try:
        reason = _skip_reason(plan, directory, unprobed)
        if reason is None:
            beside.measure()
        else:
            beside.end("skipped", reason)
    except Interrupted as signal:
        beside.end("interrupted", f"{signal.signal_name} received")
        raise
    except IoprofError as error:
        beside.end("failed", " ".join(str(error).split()))
    except Exception as error:  # noqa: BLE001 - a loader's own error: the run it belongs to is complete
        beside.end("failed", " ".join(f"{type(error).__name__}: {error}".split()))
    finally:
        with shielded():
            write_probe(directory, beside.record)
            observer.finished()


def _skip_reason(plan: RunPlan, directory: Path, unprobed: str | None) -> str | None:
    """Return why a run is not probed; None if it is."""
    if not plan.spec.run.probe:
        return "it was not asked for (run.probe = false)"
    if unprobed is not None:
        return unprobed
    if not plan.loader.reads_storage:
        return f"the loader {plan.spec.loader} reads no storage"
    if isinstance(plan.workload, WritingWorkload):
        return f"{plan.spec.workload} writes while it runs, and a probe only reads"
    if (refusal := probe_refusal(plan.workload)) is not None:
        return refusal
    took_ns = sum(epoch.end_ns - epoch.start_ns for epoch in read_run_json(directory).epochs)
    if took_ns < SHORTEST_RUN_NS:
        return f"the steps took {took_ns / 1e9:.1f} s, and runs below {SHORTEST_RUN_NS / 1e9:.0f} s are not probed"
    return None


def _most_processes(workers: int) -> int:
    """Return where the climb beside a run of so many workers ends: each process takes memory."""
    return max(workers, min(MOST_PROCESSES, max(_MOST_AT_LEAST, _MOST_TIMES_WORKERS * workers)))


class _Beside:
    """Measures one part after another into one record."""

    def __init__(
        self, plan: RunPlan, dataset: RunDataset, record: ProbeRecord, observer: Observer, budget: BesideBudget
    ) -> None:
        self._plan, self._dataset, self._observer = plan, dataset, observer
        self._budget, self.record = budget, record

    def end(self, outcome: str, reason: str) -> None:
        self.record = self.record.model_copy(update={"outcome": outcome, "reason": reason})

    def measure(self) -> None:
        """Measure the ceiling and both baselines."""
        pattern = Pattern(probe_job(self._plan, self._dataset))
        self._ceiling(pattern)
        self._keep("no_workers", self._without_workers(pattern))
        self._observer.phase("measuring the loader fed from memory")
        self._keep("transport", fed_from_memory(self._plan, self._dataset, self._budget.baseline_ns))
        self._keep("one_worker", fed_to_one_worker(self._plan, self._dataset, self._budget.baseline_ns))

    def _without_workers(self, pattern: Pattern) -> BaselineRecord:
        if self._budget.no_workers is not None:
            return BaselineRecord(samples_per_s=None, seconds=0.0, batches=0, reason=self._budget.no_workers)
        self._observer.phase("measuring the loader without workers")
        reading = pattern.next()
        order = reading.order
        wanted = None if order is None else lambda _: order
        return without_workers(self._plan, self._dataset, wanted, self._budget.baseline_ns)

    def _ceiling(self, pattern: Pattern) -> None:
        levels, budget_ns = list[LevelRecord](), self._budget.ceiling_ns
        workers = max(1, int(getattr(self._plan.spec.loader_params, "workers", 1)))
        self._observer.phase("probing the store's ceiling")
        try:
            found = probe(
                pattern,
                budget_ns=budget_ns,
                first=workers,
                most=_most_processes(workers),
                is_warm=True,
                measured=levels.append,
                tick=lambda spent_ns: self._observer.progress(min(spent_ns, budget_ns), budget_ns),
            )
        except BaseException:
            self.record = self.record.model_copy(update={"levels": levels})
            raise
        self.record = with_figures(self.record, found)

    def _keep(self, name: str, found: BaselineRecord | None) -> None:
        self.record = self.record.model_copy(update={name: found})
