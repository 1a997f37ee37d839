"""Records a run: drives the loader through the accelerator and leaves a run directory, however it ends."""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from ioprof.clock import now_ns
from ioprof.contract import CLOSING_S, Batch, LoaderSession, LoadJob, WorkerJob
from ioprof.dataset.prepare import Prepared
from ioprof.errors import FREE_SPACE, IoprofError, ResultsFullError, RunDirectoryError, RunError
from ioprof.host.sampler import HostSampler
from ioprof.host.wall_clock import wall_clock_at_end
from ioprof.runner.cache_changes import CacheChanges
from ioprof.runner.caveat_warnings import heard
from ioprof.runner.checkpoints import checkpoints_of
from ioprof.runner.discovery import discover
from ioprof.runner.engine import counters_of
from ioprof.runner.first_record import first_record
from ioprof.runner.gate import Gate, held_at
from ioprof.runner.interrupt import Interrupted, shielded
from ioprof.runner.observer import Observer
from ioprof.runner.plan import RunPlan
from ioprof.runner.run_dataset import run_dataset
from ioprof.runner.run_failure import DISK_ERRORS, last_line, told, told_beside
from ioprof.runner.run_scratch import RunScratch
from ioprof.runner.source import order_of, source_of, stored_of
from ioprof.runner.steps import StepLoop
from ioprof.runner.timed_cpu import timed_cpu
from ioprof.runner.worker_death import worker_deaths_told
from ioprof.store.cache_witness import BUDGET
from ioprof.trace.finish import finished, remove_raw
from ioprof.trace.liveness import held
from ioprof.trace.overhead import measured_cost
from ioprof.trace.run_record import CalibrationRecord, Outcome, OverheadRecord, RunRecord
from ioprof.trace.rundir import RAW, create_run_directory, write_run_json

RANK = 0
CACHE_BUDGETS = {"auto": BUDGET, "every": math.inf, "off": 0.0}
"""Share of a worker's time that asking for cached pages may take, by what the spec says of it."""
CONSUMER = -1
"""Worker number of what the consumer's own process does."""


@dataclass(slots=True)
class _Progressing:
    """What becomes known while the run goes on, for run.json."""

    record: RunRecord
    caveats: list[str] = field(default_factory=list)


class Recording:
    """One run being recorded."""

    def __init__(
        self,
        plan: RunPlan,
        prepared: Prepared | None,
        command: list[str],
        observer: Observer,
        scratch: RunScratch | None = None,
        gate: Gate | None = None,
    ) -> None:
        """Create the run directory and write run.json, so that even an early end leaves a readable run.

        Args:
            plan: the parts of the run.
            prepared: its dataset; None where the loader reads no storage.
            command: the words that started it.
            observer: told how it goes on.
            scratch: where its workers may write; None where they do not.
            gate: holds the first batch back until other runs are as far; None: there is nobody to wait for.

        Raises:
            RunDirectoryError: the results folder is not writable or full.
        """
        self._plan = plan
        self._dataset = run_dataset(plan, prepared)
        self._scratch = scratch
        self._observer = observer
        self._gate = gate
        started = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        spec = plan.spec
        record = first_record(plan, self._dataset, command, started)
        self.directory = create_run_directory(
            Path(spec.run.results),
            started_utc=started,
            workload=spec.workload,
            loader=spec.loader,
            label=spec.run.label,
        )
        self._raw = self.directory / RAW
        self._cache = CacheChanges(plan, self._dataset.store, observer)
        self._now = _Progressing(record)
        self._now.caveats.extend([*spec.caveats, *(scratch.caveats if scratch is not None else ())])
        self._deadline_ns: int | None = None
        self._save()

    def run(self) -> None:
        """Drive the run to its end and close the run directory.

        Where the directory cannot be closed either, that is added as a note to what ended the run.

        Raises:
            Interrupted: a signal ended it; the directory is complete and says so.
            IoprofError: it failed; the directory holds what was measured and says so.
        """
        with held(self.directory):
            self._run_and_close()

    def _run_and_close(self) -> None:
        outcome: Outcome = "failed"
        reason: str | None = None
        try:
            self._drive()
            outcome = "complete"
        except Interrupted as signal:
            outcome, reason = "interrupted", f"{signal.signal_name} received"
            raise
        except IoprofError as error:
            reason = last_line(error)
            if reason == str(error):
                raise
            # From a worker: torch put its traceback in front of the message.
            raise RunError(reason) from error
        except OSError as error:
            reason = error.strerror or told(error)
            if error.errno not in DISK_ERRORS:
                raise RunError(f"the run stopped: {reason}; what was measured is kept in {self.directory}") from error
            raise ResultsFullError(
                f"{self.directory}: results cannot be written: {reason}; {FREE_SPACE}; what was measured is kept"
            ) from error
        except Exception as error:
            reason = told(error)
            raise RunError(f"the loader failed: {reason}; what was measured is kept in {self.directory}") from error
        finally:
            with shielded(), told_beside(sys.exception()):
                self._close(outcome, reason)

    def _drive(self) -> None:
        job = self._load_job()
        overhead = _overhead(job.worker)
        self._note(overhead=overhead)
        job = replace(job, worker=replace(job.worker, span_ns=overhead.span_ns))
        self._plan.accelerator.accelerator.calibrate()
        # Beside other pipelines the CPU's speed at either end is theirs as well: it would tell nothing of the machine.
        with contextlib.nullcontext() if self._gate is not None else timed_cpu(self._note_cpu):
            self._drive_steps(job)

    def _note_cpu(self, timed: CalibrationRecord) -> None:
        self._note(calibration=timed)

    def _drive_steps(self, job: LoadJob) -> None:
        with contextlib.ExitStack() as stack:
            try:
                self._steps(job, stack)
            finally:
                # Before anything is torn down: that may take long, and whoever told the run to end waits for an answer.
                self._tell_finished()

    def _tell_finished(self) -> None:
        try:
            self._observer.finished()
        except RuntimeError:
            # The signal handler of a loader struck: a worker died. It does so once, and is not what ended the run.
            self._observer.finished()

    def _steps(self, job: LoadJob, stack: contextlib.ExitStack) -> None:
        """Do all steps; what must be closed afterwards is left to the stack."""
        spec = self._plan.spec
        stack.enter_context(heard(self._now.caveats.append))
        self._plan.loader.load()
        wanted = checkpoints_of(spec.checkpoint, self._plan.store, self._raw, rank=RANK, seed=spec.run.seed)
        hooks = stack.enter_context(wanted)
        sampler = HostSampler()
        stack.callback(self._stop_sampler, sampler)
        sampler.start(self._raw, os.getpid())
        self._cache.before_first_epoch()
        self._note(run_start_ns=now_ns())
        self._discover()
        loop = StepLoop(
            self._raw, self._plan.accelerator.accelerator, rank=RANK, max_errors=spec.run.max_errors, hooks=hooks
        )
        stack.callback(loop.close)
        stack.callback(self._finish_scratch)
        self._note(loader_open_ns=now_ns())
        session = self._plan.loader.open(job)
        stack.callback(self._close_loader, session)
        self._save()
        self._observer.measuring(self.directory)
        with worker_deaths_told(session):
            self._epochs(loop, session)
            self._note(engine_counters=counters_of(session))
            loop.finish()

    def _close_loader(self, session: LoaderSession) -> None:
        """Close the session; how long that takes is kept, and is no part of any other figure."""
        start_ns = now_ns()
        try:
            session.close()
        finally:
            took_s = (now_ns() - start_ns) / 1e9
            self._note(loader_close_s=took_s)
            if took_s > CLOSING_S:
                self._now.caveats.append(
                    f"the loader took {took_s:.1f} s to close, more than the {CLOSING_S:.0f} s that it may."
                )

    def _finish_scratch(self) -> None:
        kept = self._scratch.finish() if self._scratch is not None else None
        if kept is not None:
            self._now.caveats.append(kept)

    def _stop_sampler(self, sampler: HostSampler) -> None:
        sampler.stop()
        if sampler.failure is not None:
            self._now.caveats.append(f"the host's counters are not complete: {sampler.failure}")

    def _epochs(self, loop: StepLoop, session: LoaderSession) -> None:
        """Run epochs until their number or the duration is reached; pauses between them do not count."""
        spec = self._plan.spec.run
        if self._gate is None:
            self._start_counting()
        epoch = 0
        while True:
            batches = self._through_the_gate(session.batches(epoch))
            if spec.steps is not None:
                batches = itertools.islice(batches, spec.steps - loop.step)
            steps = loop.run_epoch(epoch, batches)
            epoch += 1
            is_last = epoch == spec.epochs or loop.step == spec.steps
            if not steps or is_last or self._stop_requested():
                return
            self._pause_between_epochs()

    def _through_the_gate(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """Return an epoch's batches; the run's very first one is held until the gate opens."""
        if self._gate is None:
            return batches
        gate, self._gate = self._gate, None
        return held_at(gate, batches, self._start_counting, self._now.caveats.append)

    def _start_counting(self) -> None:
        """Let the duration begin."""
        if self._plan.spec.run.duration is not None:
            self._deadline_ns = now_ns() + self._plan.spec.run.duration

    def _stop_requested(self) -> bool:
        return self._deadline_ns is not None and now_ns() >= self._deadline_ns

    def _pause_between_epochs(self) -> None:
        """Do what epochs need before they begin; the duration stands still meanwhile."""
        start_ns = now_ns()
        self._cache.between_epochs()
        if self._deadline_ns is not None:
            self._deadline_ns += now_ns() - start_ns

    def _load_job(self) -> LoadJob:
        spec = self._plan.spec
        worker = WorkerJob(
            source=source_of(self._plan.workload, self._dataset.sizes),
            store=self._dataset.store,
            trace_dir=str(self._raw),
            rank=RANK,
            warmup_batches=spec.run.warmup_steps,
            span_budget=spec.run.span_budget,
            overhead_budget=spec.run.overhead_budget,
            scratch=self._scratch.scratch.path if self._scratch is not None else "",
            cache_budget=0.0 if self._now.record.store.get("is_memory") else CACHE_BUDGETS[spec.run.cache_evidence],
        )
        return LoadJob(
            worker=worker,
            order=order_of(self._plan.workload),
            samples=self._plan.workload.samples(),
            batch_size=spec.loader_section.batch_size,
            drop_last=spec.loader_section.drop_last,
            stop_requested=self._stop_requested,
            stored=stored_of(self._plan.workload, self._dataset.sizes),
        )

    def _discover(self) -> None:
        """Find the samples as a training script does when it starts; it is part of the time to the first batch."""
        if not self._plan.loader.reads_storage:
            return
        self._observer.phase("discovering samples")
        found = discover(self._plan.workload, self._dataset.store, self._raw, rank=RANK, worker=CONSUMER - 1)
        facts = {"discovered": found.samples, "discovery_s": found.seconds}
        self._note(workload=self._now.record.workload.model_copy(update=facts))
        if found.samples != self._plan.workload.samples():
            self._now.caveats.append(
                f"discovery found {found.samples:,} samples where the dataset has {self._plan.workload.samples():,}; "
                "run ioprof prepare with --verify"
            )

    def _note(self, **facts: object) -> None:
        self._now.record = self._now.record.model_copy(update=facts)

    def _save(self) -> None:
        try:
            write_run_json(self.directory, self._now.record)
        except OSError as error:
            raise RunDirectoryError(
                f"{self.directory}: run.json cannot be written: {error.strerror}; {FREE_SPACE}"
            ) from error

    def _close(self, outcome: Outcome, reason: str | None) -> None:
        """Write the tables and the final run.json. On a full disk the raw files stay and still read."""
        now = self._now
        ended = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        self._note(outcome=outcome, reason=reason, ended_utc=ended, cache=self._cache.record(), caveats=now.caveats)
        self._note(clock={**now.record.clock, **wall_clock_at_end()})
        try:
            now.record = finished(self.directory, now.record)
        except OSError as error:
            self._save()
            raise RunDirectoryError(
                f"{self.directory}: the tables cannot be written: {error.strerror}; the raw trace is kept and "
                f"ioprof report reads it; {FREE_SPACE}"
            ) from error
        self._save()
        remove_raw(self.directory)


def _overhead(job: WorkerJob) -> OverheadRecord:
    cost = measured_cost(job)
    return OverheadRecord(span_ns=cost.span_ns, batch_ns=cost.batch_ns)
