"""The scratch directory of a run whose workload writes: made and checked before it, removed after it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ioprof.contract import WritingWorkload
from ioprof.dataset.prepare import Prepared
from ioprof.dataset.scratch import Scratch, claim_scratch, release_scratch
from ioprof.errors import StoreError
from ioprof.runner.interrupt import shielded
from ioprof.runner.plan import RunPlan
from ioprof.store.base import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class RunScratch:
    """Where the workers of a run may write, and what the workload found of the store."""

    workload: WritingWorkload
    dataset: Store
    scratch: Scratch
    caveats: tuple[str, ...]

    def finish(self) -> str | None:
        """Let the workload end what its workers left open; return what a reader must know of it."""
        kept = self.workload.finish(self.dataset, self.scratch.path)
        self.scratch.keep = kept is not None
        return kept


@contextmanager
def run_scratch(plan: RunPlan, prepared: Prepared | None) -> Iterator[RunScratch | None]:
    """Hold a scratch directory for the run; None where its workload writes nothing, or the loader reads no storage.

    Raises:
        StoreError: the store cannot be written, lacks room, or lacks what the workload asks of it.
    """
    if prepared is None or not isinstance(plan.workload, WritingWorkload):
        yield None
        return
    need, workers = plan.workload.scratch_need(), _workers(plan)
    scratch = claim_scratch(
        prepared.store,
        need.size_bytes + workers * need.size_bytes_per_worker,
        need.names + workers * need.names_per_worker,
    )
    try:
        caveats = tuple(plan.workload.check_scratch(prepared.store, scratch.path))
        yield RunScratch(workload=plan.workload, dataset=prepared.store, scratch=scratch, caveats=caveats)
    finally:
        with shielded():
            _release(prepared.store, scratch, sys.exception())


def _workers(plan: RunPlan) -> int:
    """Return how many workers write; a loader without any reads in the process of the run."""
    workers = plan.spec.sections(as_text=False)["loader"].get("workers")
    return max(1, workers) if isinstance(workers, int) else 1


def _release(dataset: Store, scratch: Scratch, ended_by: BaseException | None) -> None:
    """Remove the directory; where the run ended by an error, that is what the user must hear of first."""
    try:
        release_scratch(dataset, scratch)
    except StoreError as second:
        if ended_by is None:
            raise
        ended_by.add_note(str(second))
