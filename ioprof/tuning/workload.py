"""Runs of a workload as something that can be tuned: each measurement is a run directory like any other."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pyarrow.compute as pc
from pydantic import ValidationError

from ioprof import api
from ioprof.analysis.answer import verdict_alone
from ioprof.analysis.bootstrap import MIN_STEPS
from ioprof.analysis.ceiling import workers_of
from ioprof.analysis.summarise import summarise
from ioprof.analysis.summary import Summary
from ioprof.analysis.verdict import HEALTHY_UTILIZATION, TOO_FEW
from ioprof.dataset.prepare import Prepared
from ioprof.errors import IoprofError, SpecError
from ioprof.runner.beside_run import BesideBudget
from ioprof.runner.interrupt import Interrupted
from ioprof.runner.observer import Observer
from ioprof.runner.plan import RunPlan, plan_run
from ioprof.spec.model import DEFAULT_WARMUP, RunSpec
from ioprof.trace.reader import load_trace
from ioprof.trace.trace import Trace
from ioprof.tuning.bound import store_bound_of
from ioprof.tuning.setting import Setting
from ioprof.tuning.tunable import Judged, Measured
from ioprof.tuning.workers_memory import AsksWorkers

DURATION_NS = 5 * 10**9
"""Of each run, where nobody says."""
FEWEST_STEPS = 10
"""Fewer tell no rate; an interval takes twice as many."""
LONGER = 4
"""So many times as long are runs made again whose steps are too few."""
BESIDE = BesideBudget(baseline_ns=10**9, no_workers="ioprof tune runs it without workers all the same")
"""Beside the first run; what follows tells more than longer baselines would."""
UNPROBED = "ioprof tune probes once, beside the first of its runs"


def with_setting(spec: RunSpec, setting: Setting) -> RunSpec:
    """Return the spec of a run with a setting.

    Raises:
        SpecError: the loader does not take it.
    """
    params, given = spec.loader_params, {"workers": setting.workers}
    if setting.prefetch is not None:
        given["prefetch"] = setting.prefetch
    try:
        return replace(spec, loader_params=type(params).model_validate(params.model_dump() | given))
    except ValidationError as error:
        raise SpecError(f"{setting.told}: the loader {spec.loader} refuses it: {error.errors()[0]['msg']}") from error


def accepts(spec: RunSpec, setting: Setting) -> bool:
    """Tell whether the loader takes a setting."""
    try:
        with_setting(spec, setting)
    except SpecError:
        return False
    return True


def run_spec(spec: RunSpec, setting: Setting, directory: Path, times: int = 1) -> RunSpec:
    """Return the spec of a measurement below ``directory``: a few seconds, or ``times`` as long as asked for.

    Workers begin together, so their first batches come in one burst: a window that opened within it would count the
    rest of the burst as if it had taken no time. The warm-up is at least as long.

    Raises:
        SpecError: as `with_setting`.
    """
    run = spec.run
    facts: dict[str, object] = {"results": str(directory), "label": f"tune-{setting.label}"}
    duration_ns = DURATION_NS if spec.duration_is_default else run.duration
    if duration_ns is not None:
        facts["duration"] = times * duration_ns
    if run.warmup == DEFAULT_WARMUP:
        facts["warmup"] = max(DEFAULT_WARMUP, setting.workers)
    return replace(with_setting(spec, setting), run=run.model_copy(update=facts), duration_is_default=False)


class WorkloadRuns:
    """Runs a prepared workload with one setting after another."""

    def __init__(
        self, plan: RunPlan, prepared: Prepared | None, directory: Path, command: list[str], observer: Observer
    ) -> None:
        """Say what to run; run directories are made below ``directory``."""
        self._plan, self._prepared, self._directory = plan, prepared, directory
        self._command, self._observer = command, observer
        self._probed: Trace | None = None

    def measure(self, setting: Setting) -> Measured:
        """Run it; the first that succeeds is also probed.

        A run with too few steps to judge is made again, longer.

        Raises:
            Interrupted: a signal ended it.
        """
        found = self._measured(setting, 1)
        if not found.fits or found.samples_per_s is not None:
            return found
        longer = self._measured(setting, LONGER)
        return replace(longer, seconds=longer.seconds + found.seconds)

    def _measured(self, setting: Setting, times: int) -> Measured:
        start_s = time.monotonic()
        asks = AsksWorkers(self._observer)
        try:
            run = self._recorded(setting, times, asks)
        except IoprofError as error:
            problem = _line(error)
            return Measured(setting=setting, samples_per_s=None, seconds=_since(start_s), problem=problem, fits=False)
        except api.RecordingStoppedError as stopped:
            if isinstance(stopped.cause, Interrupted):
                raise stopped.cause from None
            return Measured(
                setting=setting,
                samples_per_s=None,
                directory=stopped.run.directory,
                seconds=_since(start_s),
                problem=_line(stopped.cause),
                fits=False,
            )
        return self._found(setting, run, asks.worker_bytes, start_s)

    def _recorded(self, setting: Setting, times: int, observer: Observer) -> api.Run:
        plan = plan_run(run_spec(self._plan.spec, setting, self._directory, times))
        unprobed = None if self._probed is None else UNPROBED
        return api.record_and_load(
            plan, self._prepared, self._command, observer, unprobed=unprobed, beside=BESIDE, answering=verdict_alone
        )

    def _found(self, setting: Setting, run: api.Run, owned_bytes: int | None, start_s: float) -> Measured:
        trace, summary = load_trace(run.directory), run.summary
        largest = pc.max(trace.batches["bytes"]).as_py()
        problem = too_short(summary, "use a longer --duration")
        if self._probed is None and problem is None:
            self._probed = trace
        return Measured(
            setting=setting,
            samples_per_s=summary.samples_per_s if problem is None else None,
            samples_per_s_ci95=summary.samples_per_s_ci95,
            accelerator_utilization=summary.accelerator_utilization,
            steps=summary.steps,
            batch_bytes=int(largest) if largest else None,
            worker_bytes=owned_bytes if setting.workers else None,
            trace=trace,
            directory=run.directory,
            seconds=_since(start_s),
            problem=problem,
        )

    def judge(self, measured: Measured) -> Judged:
        """Judge a run by the probe beside the first; what the loader could move is known for its worker count alone."""
        if measured.trace is None or self._probed is None:
            return Judged(bound=None, sentence="Its trace is not at hand.")
        probe = self._probed.probe
        if probe is not None and workers_of(self._probed.run) != measured.setting.workers:
            probe = probe.model_copy(update={"transport": None})
        summary = summarise(replace(measured.trace, probe=probe), verdict_alone)
        ceiling = summary.ceiling
        proven = ceiling is not None and not ceiling.is_lower_bound
        return Judged(
            bound=summary.verdict.bound,
            sentence=summary.verdict.sentence,
            most_per_s=ceiling.samples_per_s if ceiling is not None and proven else None,
            most_processes=ceiling.at_processes if ceiling is not None else 0,
            store_bound=store_bound_of(summary, self._probed.probe),
        )


def too_short(summary: Summary, remedy: str) -> str | None:
    """Return why a run tells no rate, and the remedy; None: it does.

    Batches made before the window hardly matter to one that feeds.
    """
    made_before = summary.steps >= MIN_STEPS and summary.reasons.get("verdict.bound") == TOO_FEW
    is_fed = (summary.accelerator_utilization or 0.0) >= HEALTHY_UTILIZATION
    if summary.samples_per_s and summary.steps >= FEWEST_STEPS and (is_fed or not made_before):
        return None
    return f"{summary.steps} steps beyond the warm-up are too few to judge; {remedy}"


def _since(start_s: float) -> float:
    return time.monotonic() - start_s


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())
