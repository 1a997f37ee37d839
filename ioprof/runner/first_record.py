"""What run.json says of a run before it begins: its spec, its dataset, its host."""

from __future__ import annotations

from ioprof import __version__, plugin_files
from ioprof.host.facts import clock_facts, host_facts, package_versions, store_facts
from ioprof.runner.epoch_steps import steps_per_epoch
from ioprof.runner.mlperf import mlperf_record
from ioprof.runner.plan import RunPlan
from ioprof.runner.run_dataset import RunDataset
from ioprof.store.base import Store
from ioprof.store.fsspec_store import without_credentials
from ioprof.store.local_tap import reads_of
from ioprof.store.throttled import ThrottledStore
from ioprof.trace.run_record import CacheRecord, RunRecord, Scalar, WorkloadRecord


def first_record(plan: RunPlan, dataset: RunDataset, command: list[str], started_utc: str) -> RunRecord:
    """Return the record of a run that is about to begin.

    Args:
        plan: the parts of the run.
        dataset: what its loader reads.
        command: the words that started it.
        started_utc: when that was, as in ISO 8601.
    """
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
            access=plan.workload.access,
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
        reads=reads_of(dataset.store),
        host=host_facts(),
        versions=package_versions() | plugin_files.versions(),
        clock=clock_facts(),
        warmup_steps=spec.run.warmup_steps,
    )


def _store_record(store: Store) -> dict[str, Scalar]:
    url: dict[str, Scalar] = {"url": without_credentials(store.url)}
    if isinstance(store, ThrottledStore):
        url["throttle"] = store.throttle.parameters
    return url | (store_facts(store.local_root) if store.local_root is not None else {})


def _without_secrets(sections: dict[str, dict[str, Scalar]]) -> dict[str, dict[str, Scalar]]:
    url = sections["store"]["url"]
    return sections | {"store": sections["store"] | {"url": without_credentials(str(url))}}
