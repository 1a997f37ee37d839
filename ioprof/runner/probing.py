"""From a plan to a probe of its store, and the record of what it found."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from ioprof import __version__
from ioprof.contract import ObjectSizes, ProbedWorkload, SampleReader, SampleStream, Workload, WritingWorkload
from ioprof.plugins import find_loader
from ioprof.probe.climb import Climbed, ceiling_of
from ioprof.probe.pattern import FIRST_EPOCH, ProbeJob
from ioprof.probe.probe import Probed, usable_cores
from ioprof.probe.scalability import scalability
from ioprof.runner.plan import RunPlan
from ioprof.runner.run_dataset import RunDataset
from ioprof.runner.source import order_of, source_of
from ioprof.store.fsspec_store import without_credentials
from ioprof.store.object_reads import reads_in_use
from ioprof.trace.probe_record import LevelRecord, ProbeOutcome, ProbeRecord

Now = Callable[[], datetime]


def probe_refusal(workload: Workload) -> str | None:
    """Return why a workload cannot be probed; None if it can."""
    wished = workload.defaults.get("loader.name")
    if wished is not None and not find_loader(str(wished)).reads_storage:
        return f"{workload.name} reads no samples: there is nothing to probe"
    if isinstance(workload, WritingWorkload) and not isinstance(workload, ProbedWorkload):
        return f"{workload.name} changes the store while it runs, and a probe only reads"
    return None


def probe_job(plan: RunPlan, dataset: RunDataset) -> ProbeJob:
    """Return what a probe of the plan's store reads."""
    return ProbeJob(
        source=_probe_source(plan.workload, dataset.sizes),
        store=dataset.store,
        layout=plan.layout,
        sizes=dataset.sizes,
        order=order_of(plan.workload),
        samples=plan.workload.samples(),
        cache=plan.spec.run.cache,
        drop_caches=plan.spec.run.drop_caches,
    )


def _probe_source(workload: Workload, sizes: ObjectSizes) -> SampleReader | SampleStream:
    return workload.probe_reader(sizes) if isinstance(workload, ProbedWorkload) else source_of(workload, sizes)


def started_utc() -> str:
    """Return now, as records write it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def empty_record(
    plan: RunPlan, command: list[str], started: str, outcome: ProbeOutcome, reason: str | None
) -> ProbeRecord:
    """Return a record without figures."""
    return ProbeRecord(
        ioprof_version=__version__,
        started_utc=started,
        outcome=outcome,
        reason=reason,
        command=[without_credentials(word) for word in command],
        workload=plan.spec.workload,
        store=without_credentials(plan.store.url),
        cache=plan.spec.run.cache,
        cores=usable_cores(),
        reads=reads_in_use(),
        first_epoch=FIRST_EPOCH,
    )


def with_figures(record: ProbeRecord, found: Probed) -> ProbeRecord:
    """Return the record with what a probe found."""
    return record.model_copy(
        update={
            "levels": found.levels,
            "ceiling": found.ceiling,
            "scalability": found.scalability,
            "short_reads": found.short_reads,
            "caveats": [*record.caveats, *found.caveats],
        }
    )


def with_levels(record: ProbeRecord, levels: list[LevelRecord]) -> ProbeRecord:
    """Return the record with the levels of a climb that goes on: their ceiling is a lower bound."""
    ceiling = ceiling_of(Climbed(levels=levels, ended="stopped")) if levels else None
    return record.model_copy(update={"levels": list(levels), "ceiling": ceiling, "scalability": scalability(levels)})
