"""What a run knows of its dataset: one that stands prepared, or one that its loader never reads."""

from __future__ import annotations

from dataclasses import dataclass

from ioprof.contract import ObjectSizes
from ioprof.dataset.object_sizes import LayoutSizes, object_sizes
from ioprof.dataset.prepare import Prepared, dataset_path
from ioprof.dataset.room import total_bytes
from ioprof.runner.plan import RunPlan
from ioprof.store.base import Store
from ioprof.trace.run_record import PreparationRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDataset:
    """The dataset as a run needs it."""

    store: Store
    """Rooted at the dataset."""
    sizes: ObjectSizes
    total_bytes: int
    preparation: PreparationRecord | None
    """None: nothing was prepared, because nothing reads it."""


def run_dataset(plan: RunPlan, prepared: Prepared | None) -> RunDataset:
    """Return the prepared dataset; without one, what the layout says of it."""
    if prepared is None:
        return RunDataset(
            store=plan.store.at(dataset_path(plan.spec.workload, plan.layout)),
            sizes=LayoutSizes(plan.layout),
            total_bytes=total_bytes(plan.layout),
            preparation=None,
        )
    return RunDataset(
        store=prepared.store,
        sizes=object_sizes(prepared.store, prepared.manifest),
        total_bytes=prepared.manifest.total_bytes,
        preparation=PreparationRecord(
            reused=prepared.reused,
            seconds=prepared.seconds,
            written_objects=prepared.written_objects,
            written_bytes=prepared.written_bytes,
        ),
    )
