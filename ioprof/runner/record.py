"""Records a run: drives the loader through the accelerator and leaves a run directory, however it ends."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from ioprof import __version__, plugin_files
from ioprof.clock import now_ns
from ioprof.contract import Batch, LoaderSession, LoadJob, WorkerJob
from ioprof.dataset.prepare import Prepared
from ioprof.errors import CaveatWarning, IoprofError, RunDirectoryError, RunError
from ioprof.host.facts import clock_facts, host_facts, package_versions, store_facts
from ioprof.host.sampler import HostSampler
from ioprof.runner.checkpoints import checkpoints_of
from ioprof.runner.epoch_steps import steps_per_epoch
from ioprof.runner.gate import Gate, held_at
from ioprof.runner.interrupt import Interrupted, shielded
from ioprof.runner.mlperf import mlperf_record
from ioprof.runner.observer import Observer
from ioprof.runner.plan import RunPlan
from ioprof.runner.run_dataset import RunDataset, run_dataset
from ioprof.runner.run_scratch import RunScratch
from ioprof.runner.source import order_of, source_of
from ioprof.runner.steps import StepLoop
from ioprof.runner.worker_death import worker_deaths_told
from ioprof.store.base import Store
from ioprof.store.fsspec_store import without_credentials
from ioprof.store.local_tap import tap_store
from ioprof.store.page_cache import CacheChange, evict, warm
from ioprof.store.throttled import ThrottledStore
from ioprof.trace.finish import finish_tables, read_raw, remove_raw, with_raw_facts
from ioprof.trace.kinds import Phase
from ioprof.trace.liveness import held
from ioprof.trace.overhead import measured_cost
from ioprof.trace.recorder import Recorder
from ioprof.trace.run_record import (
    CacheRecord,
    Outcome,
    OverheadRecord,
    RunRecord,
    Scalar,
    WorkloadRecord,
)
from ioprof.trace.rundir import RAW, create_run_directory, write_run_json

RANK = 0
CONSUMER = -1
"""Worker number of what the consumer's own process does."""
_DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.ESTALE}
"""What the disk of the results may answer to writing the trace."""


@dataclass(slots=True)
class _Progressing:
    """What becomes known while the run goes on, for run.json."""

    record: RunRecord
    evictions: int = 0
    evicted_objects: int = 0
    failed_objects: int = 0
    checked_pages: int | None = None
    resident_pages: int | None = None
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
        self.directory = create_run_directory(
            Path(spec.run.results),
            started_utc=started,
            workload=spec.workload,
            loader=spec.loader,
            label=spec.run.label,
        )
        self._raw = self.directory / RAW
        self._now = _Progressing(_first_record(plan, self._dataset, command, started))
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
            reason = _last_line(error)
            if reason == str(error):
                raise
            # From a worker: torch put its traceback in front of the message.
            raise RunError(reason) from error
        except OSError as error:
            reason = error.strerror or _told(error)
            if error.errno not in _DISK_ERRORS:
                raise RunError(f"the run stopped: {reason}; what was measured is kept in {self.directory}") from error
            raise RunError(
                f"{self.directory}: results cannot be written: {reason}; free some space or use --results; "
                "what was measured is kept"
            ) from error
        except Exception as error:
            reason = _told(error)
            raise RunError(f"the loader failed: {reason}; what was measured is kept in {self.directory}") from error
        finally:
            with shielded(), _told_beside(sys.exception()):
                self._close(outcome, reason)

    def _drive(self) -> None:
        job = self._load_job()
        self._note(overhead=_overhead(job.worker))
        self._plan.accelerator.accelerator.calibrate()
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
        stack.enter_context(_heard(self._now.caveats.append))
        self._plan.loader.load()
        wanted = checkpoints_of(spec.checkpoint, self._plan.store, self._raw, rank=RANK, seed=spec.run.seed)
        hooks = stack.enter_context(wanted)
        sampler = HostSampler()
        stack.callback(self._stop_sampler, sampler)
        sampler.start(self._raw, os.getpid())
        self._cache_before_first_epoch()
        self._note(run_start_ns=now_ns())
        self._discover()
        loop = StepLoop(
            self._raw, self._plan.accelerator.accelerator, rank=RANK, max_errors=spec.run.max_errors, hooks=hooks
        )
        stack.callback(loop.close)
        stack.callback(self._finish_scratch)
        self._note(loader_open_ns=now_ns())
        session = self._plan.loader.open(job)
        stack.callback(session.close)
        self._save()
        self._observer.measuring(self.directory)
        with worker_deaths_told(session):
            self._epochs(loop, session)
            loop.finish()

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
            self._cache_between_epochs()

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

    def _load_job(self) -> LoadJob:
        spec = self._plan.spec
        worker = WorkerJob(
            source=source_of(self._plan.workload, self._dataset.sizes),
            store=self._dataset.store,
            trace_dir=str(self._raw),
            rank=RANK,
            warmup_batches=spec.run.warmup,
            span_budget=spec.run.span_budget,
            scratch=self._scratch.scratch.path if self._scratch is not None else "",
        )
        return LoadJob(
            worker=worker,
            order=order_of(self._plan.workload),
            samples=self._plan.workload.samples(),
            batch_size=spec.loader_section.batch_size,
            drop_last=spec.loader_section.drop_last,
            stop_requested=self._stop_requested,
        )

    def _discover(self) -> None:
        """Find the samples as a training script does when it starts; it is part of the time to the first batch."""
        if not self._plan.loader.reads_storage:
            return
        self._observer.phase("discovering samples")
        recorder = Recorder(str(self._raw), rank=RANK, worker=CONSUMER - 1, span_budget=10_000)
        recorder.begin(Phase.DISCOVERY)
        start_ns = now_ns()
        try:
            found = self._plan.workload.discover(self._dataset.store, tap_store(self._dataset.store, recorder))
        finally:
            recorder.close()
        seconds = (now_ns() - start_ns) / 1e9
        facts = {"discovered": found, "discovery_s": seconds}
        self._note(workload=self._now.record.workload.model_copy(update=facts))
        if found != self._plan.workload.samples():
            self._now.caveats.append(
                f"discovery found {found:,} samples where the dataset has {self._plan.workload.samples():,}; "
                "run ioprof prepare with --verify"
            )

    def _cache_before_first_epoch(self) -> None:
        wanted = self._plan.spec.run.cache
        if wanted == "cold":
            self._change_cache("evicting the dataset from the page cache", evict)
        elif wanted == "warm":
            self._change_cache("reading the dataset into the page cache", warm)

    def _cache_between_epochs(self) -> None:
        if self._plan.spec.run.cache == "cold":
            start_ns = now_ns()
            self._change_cache("evicting the dataset from the page cache", evict)
            if self._deadline_ns is not None:
                self._deadline_ns += now_ns() - start_ns

    def _change_cache(
        self, text: str, change: Callable[[str, Callable[[int], str], int, Callable[[int], None]], CacheChange]
    ) -> None:
        root, layout = self._dataset.store.local_root, self._plan.layout
        if root is None or not self._plan.loader.reads_storage:
            return
        self._observer.phase(text)
        done = change(root, layout.path, layout.count, lambda n: self._observer.progress(n, layout.count))
        self._now.evictions += self._plan.spec.run.cache == "cold"
        self._now.evicted_objects += done.objects - done.failed
        self._now.failed_objects += done.failed
        if done.checked_pages is not None and done.resident_pages is not None:
            self._now.checked_pages = (self._now.checked_pages or 0) + done.checked_pages
            self._now.resident_pages = (self._now.resident_pages or 0) + done.resident_pages

    def _note(self, **facts: object) -> None:
        self._now.record = self._now.record.model_copy(update=facts)

    def _save(self) -> None:
        try:
            write_run_json(self.directory, self._now.record)
        except OSError as error:
            raise RunDirectoryError(
                f"{self.directory}: run.json cannot be written: {error.strerror}; free some space or use --results"
            ) from error

    def _close(self, outcome: Outcome, reason: str | None) -> None:
        """Write the tables and the final run.json. On a full disk the raw files stay and still read."""
        now = self._now
        cache = CacheRecord(
            requested=self._plan.spec.run.cache,
            evictions=now.evictions,
            evicted_objects=now.evicted_objects,
            failed_objects=now.failed_objects,
            checked_pages=now.checked_pages,
            resident_pages=now.resident_pages,
            note=None if self._dataset.store.local_root else "not a local path: this host's page cache is not used",
        )
        ended = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        self._note(outcome=outcome, reason=reason, ended_utc=ended, cache=cache, caveats=now.caveats)
        try:
            found = read_raw(self.directory)
            finished = with_raw_facts(now.record, found)
            finish_tables(self.directory, found)
            now.record = finished
        except OSError as error:
            self._save()
            raise RunDirectoryError(
                f"{self.directory}: the tables cannot be written: {error.strerror}; the raw trace is kept and "
                "ioprof report reads it"
            ) from error
        self._save()
        remove_raw(self.directory)


@contextlib.contextmanager
def _heard(caveat: Callable[[str], None]) -> Iterator[None]:
    """Pass on what a loader warns of by `CaveatWarning`; other warnings are shown as ever.

    Filters that the loader sets end with the block.
    """
    with warnings.catch_warnings():
        shown = warnings.showwarning

        def show(
            message: Warning | str, category: type[Warning], filename: str, lineno: int,
            file: TextIO | None = None, line: str | None = None,
        ) -> None:  # fmt: skip
            if issubclass(category, CaveatWarning):
                caveat(str(message))
            else:
                shown(message, category, filename, lineno, file, line)

        warnings.showwarning = show
        warnings.simplefilter("always", CaveatWarning)
        yield


@contextlib.contextmanager
def _told_beside(first: BaseException | None) -> Iterator[None]:
    """Let what ended the run keep its exit code; what its directory refuses on top becomes a note of it."""
    try:
        yield
    except RunDirectoryError as second:
        if first is None:
            raise
        first.add_note(str(second))


def _overhead(job: WorkerJob) -> OverheadRecord:
    cost = measured_cost(job)
    return OverheadRecord(span_ns=cost.span_ns, batch_ns=cost.batch_ns)


def _first_record(plan: RunPlan, dataset: RunDataset, command: list[str], started_utc: str) -> RunRecord:
    spec = plan.spec
    return RunRecord(
        ioprof_version=__version__,
        outcome="running",
        started_utc=started_utc,
        command=[without_credentials(word) for word in command],
        label=spec.run.label,
        seed=spec.run.seed,
        spec=_without_secrets(spec.sections(as_text=False)),
        workload=WorkloadRecord(
            name=spec.workload,
            samples_per_epoch=plan.workload.samples(),
            steps_per_epoch=steps_per_epoch(spec, plan.workload),
            objects=plan.layout.count,
            total_bytes=dataset.total_bytes,
            reads_storage=plan.loader.reads_storage,
        ),
        loader=spec.loader,
        batch_size=spec.loader_section.batch_size,
        accelerator=plan.accelerator.record,
        mlperf=mlperf_record(plan),
        cache=CacheRecord(requested=spec.run.cache),
        preparation=dataset.preparation,
        store=_store_record(dataset.store),
        host=host_facts(),
        versions=package_versions() | plugin_files.versions(),
        clock=clock_facts(),
        warmup_steps=spec.run.warmup,
    )


def _store_record(store: Store) -> dict[str, Scalar]:
    url: dict[str, Scalar] = {"url": without_credentials(store.url)}
    if isinstance(store, ThrottledStore):
        url["throttle"] = store.throttle.parameters
    return url | (store_facts(store.local_root) if store.local_root is not None else {})


def _without_secrets(sections: dict[str, dict[str, Scalar]]) -> dict[str, dict[str, Scalar]]:
    url = sections["store"]["url"]
    return sections | {"store": sections["store"] | {"url": without_credentials(str(url))}}


def _told(error: Exception) -> str:
    """Return the error's class and message: a worker's own, where torch put its traceback in front of them."""
    own = _last_line(error)
    return own if "\n" in str(error).strip() else f"{type(error).__name__}: {own}"


def _last_line(error: Exception) -> str:
    """Return the last line of an error, without its class: torch puts a worker's own message there."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return re.sub(r"^ioprof\.errors\.\w+: ", "", lines[-1]) if lines else ""
