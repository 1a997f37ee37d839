"""`ioprof predict`: what a finished run would have delivered with something changed."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from ioprof.accelerator.resolve import NONE, resolve
from ioprof.analysis.command import command_with
from ioprof.analysis.pipeline.change import NOT_SCALED, Change
from ioprof.analysis.pipeline.model import PipelineModel
from ioprof.analysis.pipeline.pieces import Stage
from ioprof.cli.console import results
from ioprof.errors import UsageError, nearest
from ioprof.plugins import find_workload
from ioprof.report.prediction import Predicted, render_prediction
from ioprof.trace.reader import load_trace
from ioprof.trace.run_record import AcceleratorRecord, RunRecord
from ioprof.units import exact_duration, format_duration, parse_duration_ns


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The flags as they were given; None: not given."""

    workers: int | None = None
    prefetch: int | None = None
    batch_size: int | None = None
    in_order: str | None = None
    pin: str | None = None
    stages: Sequence[str] = ()
    store_latency: str | None = None
    store_bandwidth: str | None = None
    store_iops: str | None = None
    hit_ratio: float | None = None
    accelerator: str | None = None
    compute: str | None = None
    cores: float | None = None
    cpu_speed: str | None = None
    ranks: int | None = None
    hosts: int | None = None


def predict_command(directory: Path, also: Sequence[Path], asked: Asked, *, as_json: bool) -> int:
    """Predict from a run directory, and print what comes out.

    Raises:
        UsageError: a flag's value makes no sense.
        RunDirectoryError: it is no run directory.
        RunError: the run has nothing to replay, or cannot tell what is asked.
    """
    trace = load_trace(directory)
    change = change_of(asked, trace.run)
    model = PipelineModel.of(trace, *map(load_trace, also))
    predicted = Predicted(
        run=trace.run,
        now=model.delivered,
        before=model.setting,
        then=model.predict(change),
        changes=tuple(_words(asked, change)),
        command=_command(asked, change, trace.run),
        step_time=_step_time(asked, trace.run),
    )
    if as_json:
        print(json.dumps(_as_json(predicted), indent=2))
        return 0
    console = results()
    for line in render_prediction(predicted, console.width):
        console.print(line, soft_wrap=True)
    return 0


def change_of(asked: Asked, run: RunRecord) -> Change:
    """Return what the flags ask for.

    Raises:
        UsageError: a value makes no sense.
        PluginError: the accelerator is unknown.
    """
    return Change(
        workers=asked.workers,
        prefetch=asked.prefetch,
        batch_size=asked.batch_size,
        in_order=_yes_or_no("--in-order", asked.in_order),
        pin=_yes_or_no("--pin", asked.pin),
        stage_factors=_stage_factors(asked.stages),
        store_latency_factor=_factor("--store-latency", asked.store_latency),
        store_bandwidth_factor=_factor("--store-bandwidth", asked.store_bandwidth),
        store_iops_factor=_factor("--store-iops", asked.store_iops),
        client_hit_ratio=asked.hit_ratio,
        busy_ns_per_batch=_busy_ns(asked, run),
        cores=asked.cores,
        cpu_speed_factor=_factor("--cpu-speed", asked.cpu_speed),
        ranks_per_host=_ranks_per_host(asked),
        hosts=asked.hosts,
    )


def _ranks_per_host(asked: Asked) -> int | None:
    if asked.ranks is None or asked.hosts is None:
        return asked.ranks
    if asked.ranks % asked.hosts:
        raise UsageError(f"--ranks {asked.ranks}: cannot be shared out evenly over --hosts {asked.hosts}")
    return asked.ranks // asked.hosts


def _yes_or_no(flag: str, text: str | None) -> bool | None:
    known = {"true": True, "false": False}
    if text is not None and text.lower() not in known:
        raise UsageError(f"{flag} {text}: write true or false")
    return None if text is None else known[text.lower()]


def _factor(flag: str, text: str | None) -> float | None:
    """Return the number of ``x0.5``, which may also be written ``0.5x`` or ``0.5``."""
    if text is None:
        return None
    try:
        factor = float(text.strip().lower().strip("x×"))
    except ValueError:
        factor = math.nan
    if not 0 <= factor < math.inf:
        raise UsageError(f"{flag} {text}: write a factor such as x0.5")
    return factor


def _stage_factors(texts: Sequence[str]) -> dict[Stage, float]:
    known = {stage.key: stage for stage in Stage if stage not in NOT_SCALED}
    found: dict[Stage, float] = {}
    for text in texts:
        name, given, factor = text.partition("=")
        stage = known.get(name.strip().replace("-", "_"))
        if stage is None:
            hint = nearest(name, known) or f"; known: {', '.join(known)}"
            raise UsageError(f"--stage {text}: no such stage{hint}")
        if not given:
            raise UsageError(f"--stage {text}: write it as --stage {name}=x0.5")
        found[stage] = _factor(f"--stage {name}", factor) or 0.0
    return found


def _busy_ns(asked: Asked, run: RunRecord) -> int | None:
    if asked.accelerator is None and asked.compute is None:
        return None
    size = asked.batch_size or run.batch_size
    try:
        compute_ns = None if asked.compute is None else parse_duration_ns(asked.compute)
    except ValueError as error:
        raise UsageError(f"--compute {asked.compute}: {error}") from error
    if asked.accelerator is None and compute_ns is not None:
        if compute_ns < 0:
            raise UsageError(f"--compute {asked.compute}: must be 0 or more")
        return compute_ns
    return _resolved(str(asked.accelerator), compute_ns, run, size).busy_ns_per_batch or 0


def _resolved(name: str, compute_ns: int | None, run: RunRecord, size: int | None) -> AcceleratorRecord:
    model = None if compute_ns is not None or name.lower() == NONE else find_workload(run.workload.name).reference_model
    return resolve(name, compute_ns, model, size or 1).record


def _step_time(asked: Asked, run: RunRecord) -> str | None:
    """Return where the busy time of an accelerator that was asked for by name is from."""
    if asked.accelerator is None or asked.compute is not None:
        return None
    record = _resolved(asked.accelerator, None, run, asked.batch_size or run.batch_size)
    if record.busy_ns_per_batch is None:
        return None
    known = "is estimated" if record.is_estimate else "is known"
    return f"The step time of {record.name} {known}: {record.source}."


def _words(asked: Asked, change: Change) -> list[str]:
    told = [
        f"{name.replace('_', ' ')} {getattr(change, name)}"
        for name in ("workers", "prefetch", "batch_size")
        if getattr(change, name) is not None
    ]
    told += [
        yes if value else no
        for value, yes, no in (
            (change.in_order, "delivery in order", "delivery out of order"),
            (change.pin, "pinned memory", "no pinned memory"),
        )
        if value is not None
    ]
    told += [f"{stage.key.replace('_', ' ')} x{factor:g}" for stage, factor in change.stage_factors.items()]
    told += [
        f"store {name} x{factor:g}"
        for name, factor in (
            ("latency", change.store_latency_factor),
            ("bandwidth", change.store_bandwidth_factor),
            ("operations per second", change.store_iops_factor),
        )
        if factor is not None
    ]
    return told + _words_of_the_rest(asked, change)


def _words_of_the_rest(asked: Asked, change: Change) -> list[str]:
    told = [] if change.client_hit_ratio is None else [f"{change.client_hit_ratio:.0%} of reads from the page cache"]
    if change.busy_ns_per_batch == 0:
        told.append("batches taken as fast as they come, so no utilisation")
    elif change.busy_ns_per_batch is not None:
        name = asked.accelerator or "the accelerator"
        told.append(f"{name} busy {format_duration(change.busy_ns_per_batch)} per batch")
    told += [] if change.cores is None else [f"{change.cores:g} CPUs"]
    told += [] if change.cpu_speed_factor is None else [f"CPUs of x{change.cpu_speed_factor:g} the speed"]
    told += [] if asked.ranks is None else [f"{asked.ranks} ranks"]
    return told + ([] if asked.hosts is None else [f"{asked.hosts} hosts"])


def _command(asked: Asked, change: Change, run: RunRecord) -> str | None:
    """Return the run to be made to see it; None where no flag of a run makes that change."""
    flags: dict[str, str] = {}
    for name in ("workers", "prefetch", "batch_size"):
        if (value := getattr(change, name)) is not None:
            flags[name.replace("_", "-")] = str(value)
    for name in ("in_order", "pin"):
        if (value := getattr(change, name)) is not None:
            flags[name.replace("_", "-")] = str(value).lower()
    if asked.accelerator is not None:
        flags["accelerator"] = asked.accelerator
    if change.busy_ns_per_batch and asked.compute is not None:
        flags["compute"] = exact_duration(change.busy_ns_per_batch)
    others = replace(change, **dict.fromkeys(_BY_FLAG), stage_factors=change.stage_factors)
    if not flags or others != Change():
        return None
    return command_with(run, flags)


_BY_FLAG = ("workers", "prefetch", "batch_size", "in_order", "pin", "busy_ns_per_batch")


_PUBLIC = {"steps": "replayed_steps"}
"""The run's own steps are in `measured`: a replay goes through them several times."""


def _as_json(predicted: Predicted) -> Mapping[str, object]:
    then = predicted.then
    return {
        "format": 1,
        "workload": predicted.run.workload.name,
        "loader": predicted.run.loader,
        "measured": asdict(predicted.now),
        "changes": list(predicted.changes),
        "command": predicted.command,
        **{_PUBLIC.get(name, name): value for name, value in asdict(then).items()},
        "assumptions": [*([predicted.step_time] if predicted.step_time else []), *then.assumptions],
        "outside": list(then.outside),
    }
