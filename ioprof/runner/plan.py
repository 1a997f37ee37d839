"""From a spec to the parts of a run, with everything checked that can be checked before any I/O."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ioprof.accelerator.resolve import ResolvedAccelerator, resolve
from ioprof.accelerator.step_times import parse_step_times
from ioprof.accelerator.table import find
from ioprof.contract import ChecksStore, Layout, Loader, MlperfWorkload, Workload
from ioprof.dataset.pool import lives_in_this_process
from ioprof.errors import SpecError
from ioprof.plugins import find_loader, find_workload
from ioprof.runner.checkpoints import check_memory
from ioprof.runner.epoch_steps import check_epoch_has_steps, check_steps_are_measured
from ioprof.runner.fitting import check_fits, check_throttle_reaches
from ioprof.spec.model import RunSpec
from ioprof.store.base import Store
from ioprof.store.open_store import open_store
from ioprof.store.page_cache import drop_caches_refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPlan:
    """The parts a run is made of."""

    spec: RunSpec
    workload: Workload
    layout: Layout
    loader: Loader
    accelerator: ResolvedAccelerator
    store: Store
    """Root of the store; the dataset stands in a folder below."""


def plan_run(spec: RunSpec) -> RunPlan:
    """Return the parts of the run that ``spec`` describes.

    Raises:
        SpecError: the values contradict each other, or this host cannot do what they ask.
        PluginError: a part does not exist.
        StoreError: the store's URL makes no sense.
    """
    workload = find_workload(spec.workload)(spec.workload_params, spec.run.seed)
    check_epoch_has_steps(spec, workload)
    check_steps_are_measured(spec, workload)
    loader = find_loader(spec.loader)
    check_fits(workload, loader)
    _check_fork_safe(spec, loader)
    store = open_store(spec.store.url)
    check_throttle_reaches(workload, loader, store)
    _check_workers_see_the_store(spec, store)
    if isinstance(workload, ChecksStore):
        workload.check_store(store)
    _check_drop_caches(spec, store)
    check_memory(spec.checkpoint, is_local=store.local_root is not None)
    return RunPlan(
        spec=spec,
        workload=workload,
        layout=workload.layout(),
        loader=loader(spec.loader_params),
        accelerator=_accelerator(spec, workload),
        store=store,
    )


def _accelerator(spec: RunSpec, workload: Workload) -> ResolvedAccelerator:
    section = spec.accelerator
    resolved = resolve(
        section.name,
        section.compute,
        workload.reference_model,
        spec.loader_section.batch_size,
        spread=None if section.compute_spread is None else parse_step_times(section.compute_spread),
        seed=spec.run.seed,
        copies=section.copy_to_device,
        given_by=spec.compute_origin,
    )
    given = section.compute is not None or section.compute_spread is not None or section.name.lower() == "none"
    if given or not isinstance(workload, MlperfWorkload) or workload.reference_model is None:
        return resolved
    return _marked_where_scaled(resolved, workload.reference_model, spec.loader_section.batch_size)


def _marked_where_scaled(resolved: ResolvedAccelerator, model: str, batch_size: int) -> ResolvedAccelerator:
    """Mark a step time as an estimate where nobody published it for this batch size: steps do not scale exactly."""
    record = resolved.record
    if find(record.name).step_ns_per_sample[model].batch_size == batch_size:
        return resolved
    source = f"{record.source}, scaled to {batch_size:,}"
    return replace(resolved, record=record.model_copy(update={"is_estimate": True, "source": source}))


def _check_fork_safe(spec: RunSpec, loader: type[Loader]) -> None:
    """Refuse to fork workers of a loader that does not survive it.

    Raises:
        SpecError: its workers would hang or crash.
    """
    able, section = loader.capabilities, spec.sections(as_text=False)["loader"]
    if able.fork_safe or section.get("start_method") != "fork" or section.get("workers") == 0:
        return
    others = " or ".join(method for method in able.start_methods if method != "fork")
    raise SpecError(
        f"loader.start_method = 'fork': what {loader.name} holds open does not survive a fork; "
        f"use --start-method {others or 'spawn'}"
    )


def _check_drop_caches(spec: RunSpec, store: Store) -> None:
    """Refuse to drop caches where that contradicts the rest, or is not permitted.

    Raises:
        SpecError: it says which.
    """
    if not spec.run.drop_caches:
        return
    if spec.run.cache != "cold":
        raise SpecError(f"--drop-caches: contradicts --cache {spec.run.cache}; use --cache cold, or leave it out")
    if store.local_root is None:
        raise SpecError(f"--drop-caches: {store.url} is not a local path, and this host caches nothing of it")
    refusal = drop_caches_refusal()
    if refusal is not None:
        raise SpecError(f"--drop-caches: {refusal}; run as root on the host itself, or leave it out")


def _check_workers_see_the_store(spec: RunSpec, store: Store) -> None:
    """Refuse workers that would find an empty store: only a forked process has its parent's memory.

    Raises:
        SpecError: the store lives in one process and the workers start anew.
    """
    loader = spec.sections(as_text=False)["loader"]
    method, workers = loader.get("start_method", "fork"), loader.get("workers")
    if workers != 0 and method != "fork" and lives_in_this_process(store):
        raise SpecError(
            f"loader.start_method = {method!r}: a memory:// store lives in one process, and workers started by "
            f"{method} would find it empty; use --start-method fork or another --store"
        )
