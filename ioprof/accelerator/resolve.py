"""From what the user asked for to an accelerator and its record."""

from __future__ import annotations

from dataclasses import dataclass

from ioprof.accelerator.base import Accelerator
from ioprof.accelerator.emulated import EmulatedAccelerator
from ioprof.accelerator.none import NoAccelerator
from ioprof.accelerator.step_times import Drawn, StepTimes
from ioprof.accelerator.table import ACCELERATORS, AcceleratorSpec, StepTime, find
from ioprof.clock import Clock, SystemClock
from ioprof.errors import SpecError
from ioprof.trace.run_record import AcceleratorRecord
from ioprof.units import format_duration

NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedAccelerator:
    """An accelerator to drive, and what run.json says of it."""

    accelerator: Accelerator
    record: AcceleratorRecord


def resolve(
    name: str,
    compute_ns: int | None,
    reference_model: str | None,
    batch_size: int,
    *,
    count: int = 1,
    clock: Clock | None = None,
    spread: StepTimes | None = None,
    seed: int = 0,
    copies: bool = True,
    given_by: str = "--compute",
) -> ResolvedAccelerator:
    """Return the accelerator ``name`` for a workload.

    Args:
        name: ``none`` or an accelerator of the table.
        compute_ns: busy time per batch given by the user (``--compute``); None: from the table.
        reference_model: model whose step times stand for the workload; None: it names none.
        batch_size: samples per batch.
        count: accelerators that run together (the world size).
        clock: source of time; the host's when left out.
        spread: busy times that differ from batch to batch, in place of one for all; None: all are equal.
        seed: decides what is drawn of them.
        copies: whether the copy from host to device takes time as well.
        given_by: where ``compute_ns`` or ``spread`` came from.

    Raises:
        PluginError: there is no such accelerator.
        SpecError: ``none`` with a compute time, a negative one, or no step time for the workload's model.
    """
    if compute_ns is not None and compute_ns < 0:
        raise SpecError(f"--compute is {format_duration(compute_ns)}; it must be 0 or more")
    if name.lower() == NONE:
        return _nothing(compute_ns if spread is None else round(spread.mean_ns), count)
    spec = find(name)
    if spread is not None:
        busy_ns, source, is_estimate = (
            round(spread.mean_ns),
            f"drawn for each batch ({spread.kind}), given by {given_by}",
            False,
        )
    elif compute_ns is not None:
        busy_ns, source, is_estimate = compute_ns, f"given by {given_by}", False
    else:
        step = _step_time(spec, reference_model)
        busy_ns = round(step.ns_per_sample * batch_size)
        source, is_estimate = f"{reference_model}: {step.source}", step.is_estimate
    record = AcceleratorRecord(
        name=spec.name,
        count=count,
        busy_ns_per_batch=busy_ns,
        source=source,
        is_estimate=is_estimate,
        h2d_bytes_per_s=spec.h2d_bytes_per_s if copies else None,
    )
    drawn = None if spread is None else Drawn(spread, seed)
    accelerator = EmulatedAccelerator(busy_ns, record.h2d_bytes_per_s, clock or SystemClock(), drawn)
    return ResolvedAccelerator(accelerator=accelerator, record=record)


def _nothing(compute_ns: int | None, count: int) -> ResolvedAccelerator:
    if compute_ns is not None:
        raise SpecError(
            "--compute needs an accelerator to keep busy, and --accelerator is none; name one, such as h100"
        )
    record = AcceleratorRecord(
        name=NONE,
        count=count,
        busy_ns_per_batch=None,
        source="no accelerator: batches are taken as fast as they come",
        is_estimate=False,
        h2d_bytes_per_s=None,
    )
    return ResolvedAccelerator(accelerator=NoAccelerator(), record=record)


def _step_time(spec: AcceleratorSpec, model: str | None) -> StepTime:
    if model is None:
        raise SpecError("the workload names no reference model; give the busy time per batch with --compute 20ms")
    step = spec.step_ns_per_sample.get(model)
    if step is not None:
        return step
    others = [name for name, other in ACCELERATORS.items() if model in other.step_ns_per_sample]
    known = f"{model} has them for {', '.join(others)}" if others else f"no accelerator has them for {model}"
    models = ", ".join(spec.step_ns_per_sample)
    raise SpecError(
        f"no step time of {model} is known for {spec.name} ({spec.name} has {models}; {known}); "
        "choose one of these or give the busy time per batch with --compute 20ms"
    )
