"""From a run's plan to what is searched: the settings its loader takes, and the limits that hold for them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from ioprof import __version__
from ioprof.dataset.room import total_bytes
from ioprof.errors import UsageError
from ioprof.runner.plan import RunPlan, plan_run
from ioprof.spec.model import RunSpec
from ioprof.store.fsspec_store import without_credentials
from ioprof.tuning.limits import Limits, Needs, Room
from ioprof.tuning.record import TuneRecord
from ioprof.tuning.setting import PREFETCHES, Setting, settings, worker_counts
from ioprof.tuning.workload import accepts, with_setting

LEAST_OF_MOST_WORKERS = 32
MOST_WORKERS_PER_CORE = 8
"""Workers that wait for a store need no CPU each: many more of them than CPUs may be worth it."""
MOST_WORKERS = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the user fixed."""

    workers: int | None = None
    """None: to be found."""
    prefetch: int | None = None
    most_workers: int | None = None


def wanted_settings(spec: RunSpec, wish: Wish, most_workers: int) -> tuple[Setting, ...]:
    """Return the settings to choose from, ascending; larger ones than fit tell what more would bring.

    Raises:
        UsageError: the loader has nothing to tune, or everything is fixed.
    """
    fields = type(spec.loader_params).model_fields
    if "workers" not in fields:
        raise UsageError(f"loader {spec.loader}: has no workers to tune; use --loader torch-map, or another")
    has_prefetch = "prefetch" in fields
    if wish.workers is not None and (wish.prefetch is not None or not has_prefetch or wish.workers == 0):
        raise UsageError("--workers: with that given nothing is left to tune; leave it out")
    counts = [wish.workers] if wish.workers is not None else worker_counts(0, 2 * most_workers)
    aheads = None if not has_prefetch else PREFETCHES if wish.prefetch is None else (wish.prefetch,)
    found = tuple(one for one in settings(counts, aheads) if accepts(spec, one))
    if not found:
        given = "--max-workers" if wish.workers is None else "--workers"
        raise UsageError(f"{given} {counts[-1]}: the loader {spec.loader} takes no such setting; use a larger one")
    return found


def usual_most_workers(cores: float) -> int:
    """Return how many workers are thought of where nobody says."""
    return min(MOST_WORKERS, max(LEAST_OF_MOST_WORKERS, int(MOST_WORKERS_PER_CORE * cores)))


def limits_of(plan: RunPlan, room: Room, wish: Wish) -> Limits:
    """Return what a setting must fit into; what a worker takes is not known before one has run."""
    moves = plan.loader.reads_storage and getattr(plan.loader, "moves_samples", True)
    batch_bytes = total_bytes(plan.layout) * plan.spec.loader_section.batch_size // max(1, plan.workload.samples())
    usual = usual_most_workers(room.cores)
    return Limits(
        room=room,
        needs=Needs(batch_bytes=batch_bytes, shares_memory=moves),
        most_workers=max(wish.workers or 0, usual if wish.most_workers is None else wish.most_workers),
    )


def plan_of_smallest(spec: RunSpec, found: tuple[Setting, ...]) -> RunPlan:
    """Return the plan of a run with the smallest setting: what refuses that refuses all of them.

    Raises:
        SpecError, PluginError, StoreError: as `ioprof.runner.plan.plan_run`.
    """
    return plan_run(with_setting(spec, found[0]))


def first_record(plan: RunPlan, limits: Limits, command: list[str], budget_s: float) -> TuneRecord:
    """Return the record of a tuning that begins now."""
    spec = plan.spec
    return TuneRecord(
        ioprof_version=__version__,
        outcome="running",
        started_utc=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        command=[without_credentials(word) for word in command],
        label=spec.run.label,
        workload=spec.workload,
        loader=spec.loader,
        store=without_credentials(spec.store.url),
        accelerator=spec.accelerator.name,
        cache=spec.run.cache,
        cores=limits.room.cores,
        cores_told=limits.room.cores_told,
        most_workers=limits.most_workers,
        budget_s=budget_s,
    )
