"""How many steps an epoch will have, told before it runs."""

from __future__ import annotations

from ioprof.contract import Workload
from ioprof.errors import SpecError
from ioprof.spec.model import RunSpec


def steps_per_epoch(spec: RunSpec, workload: Workload) -> int:
    """Return the steps of one epoch; of a stream an estimate.

    Each worker of a stream puts its own batches together and has its own incomplete last one. How large its part is
    only the stream knows; here all parts are as equal as they can be, which whole shards may not be.
    """
    section = spec.loader_section
    return batches_of(
        workload.samples(), section.batch_size, drop_last=section.drop_last, parts=parts_of(spec, workload)
    )


def parts_of(spec: RunSpec, workload: Workload) -> int:
    """Return how many shares of an epoch's samples make batches of their own: the workers of a stream, else one."""
    workers = spec.sections(as_text=False)["loader"].get("workers")
    return workers if workload.access == "stream" and isinstance(workers, int) and workers > 0 else 1


def batches_of(samples: int, batch_size: int, *, drop_last: bool, parts: int) -> int:
    """Return how many batches come of samples that are dealt out to ``parts`` as equally as possible."""
    small, with_one_more = divmod(samples, parts)
    rest = 0 if drop_last else batch_size - 1
    return with_one_more * ((small + 1 + rest) // batch_size) + (parts - with_one_more) * ((small + rest) // batch_size)


def check_epoch_has_steps(spec: RunSpec, workload: Workload) -> None:
    """Refuse epochs without a single batch.

    Raises:
        SpecError: all samples would be left out as part of an incomplete batch.
    """
    if steps_per_epoch(spec, workload):
        return
    samples, parts = workload.samples(), parts_of(spec, workload)
    where, fewer = f"the {samples} samples of an epoch", ""
    if parts > 1:
        where = f"the {-(-samples // parts)} of {samples} samples that each of {parts} workers reads in an epoch"
        fewer = "fewer workers, "
    raise SpecError(
        f"loader.batch_size = {spec.loader_section.batch_size}: more than {where}, so there "
        f"would be no batch; use a smaller batch, {fewer}{_more(spec)}, or --set loader.drop_last=false"
    )


def _more(spec: RunSpec) -> str:
    return f"more data ({spec.size_flags})" if spec.size_flags else "more data"


def check_steps_are_measured(spec: RunSpec, workload: Workload) -> None:
    """Refuse a run whose every step would be left out of the figures.

    Raises:
        SpecError: its epochs have no more steps than the warm-up.
    """
    warmup = spec.run.warmup_steps
    if spec.run.steps is not None and spec.run.steps <= warmup:
        raise SpecError(
            f"run.steps = {spec.run.steps}: the first {warmup} are warm-up and left out of the figures, so "
            "nothing would be measured; use more steps, or --warmup 0"
        )
    if spec.run.epochs is None:
        return
    steps = spec.run.epochs * steps_per_epoch(spec, workload)
    if steps <= warmup:
        raise SpecError(
            f"run.epochs = {spec.run.epochs}: the run would have {steps} steps, and the first {warmup} are "
            "warm-up and left out of the figures, so nothing would be measured; use more epochs, a smaller batch, "
            f"{_more(spec)}, or --warmup 0"
        )
