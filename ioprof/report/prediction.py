"""A prediction for people: what was, what would be, what that rests on, and what to type to see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.text import Text

from ioprof.analysis.pipeline.basis import Setting
from ioprof.analysis.pipeline.model import Delivered, Prediction
from ioprof.analysis.wording import percent
from ioprof.report.layout import columns, paragraph, wrapped
from ioprof.trace.run_record import RunRecord
from ioprof.units import format_count, format_duration


@dataclass(frozen=True, slots=True, kw_only=True)
class Predicted:
    """All that is shown of one prediction."""

    run: RunRecord
    now: Delivered
    before: Setting
    then: Prediction
    changes: tuple[str, ...]
    """What was asked to be different, as words; empty: nothing."""
    command: str | None
    """How to see whether it comes true; None: no flag does that."""
    step_time: str | None = None
    """Where the asked accelerator's busy time is from; None: it was not asked for by name."""


def render_prediction(predicted: Predicted, width: int = 80) -> list[Text]:
    """Return the report as lines no longer than ``width`` columns (as far as single words allow)."""
    then = predicted.then
    blocks = [
        paragraph(_head(predicted), width, first="", style="bold"),
        _changes(predicted.changes, width),
        _table(predicted.now, then),
        [line for told in then.outside for line in paragraph(told, width, first="  ! ", rest="    ", style="yellow")],
        _assumptions([*([predicted.step_time] if predicted.step_time else []), *then.assumptions], width),
        _command(predicted.command, width),
    ]
    return [line for block in blocks if block for line in [*block, Text("")]][:-1]


def _head(predicted: Predicted) -> str:
    run, before = predicted.run, predicted.before
    device = run.accelerator
    busy = "" if device.busy_ns_per_batch is None else f" of {format_duration(device.busy_ns_per_batch)} per batch"
    return " · ".join(
        [
            f"prediction from {run.workload.name}",
            run.loader,
            f"{before.workers} workers",
            f"prefetch {before.prefetch}",
            f"batch {before.batch_size:,}",
            f"{device.name}{busy}" if device.name != "none" else "no accelerator",
            f"{predicted.now.steps:,} steps",
        ]
    )


def _changes(changes: tuple[str, ...], width: int) -> list[Text]:
    told = "with " + ", ".join(changes) if changes else "with nothing changed: the replay of the run as it was"
    return paragraph(told, width)


def _table(now: Delivered, then: Prediction) -> list[Text]:
    rows = [["", "measured", "predicted", "95 % CI"]]
    if then.accelerator_utilization is not None or now.accelerator_utilization is not None:
        rows.append(
            [
                "utilisation",
                _percent(now.accelerator_utilization),
                _percent(then.accelerator_utilization),
                "" if then.accelerator_utilization is None else _interval(then.accelerator_utilization_ci95, 100, 1),
            ]
        )
    rows.append(
        [
            "samples/s",
            _rate(now.samples_per_s),
            _rate(then.samples_per_s),
            _interval(then.samples_per_s_ci95, 1, 0 if then.samples_per_s >= 100 else 2),
        ]
    )
    rows.append(
        ["idle per step", format_duration(now.idle_s_per_step * 1e9), format_duration(then.idle_s_per_step * 1e9), ""]
    )
    return columns(rows, indent=2, gap=3)


def _percent(ratio: float | None) -> str:
    return "no accelerator" if ratio is None else percent(ratio)


def _rate(per_s: float) -> str:
    return format_count(round(per_s) if per_s >= 100 else round(per_s, 2))


def _interval(bounds: tuple[float, float] | None, times: float, digits: int) -> str:
    return "too few steps" if bounds is None else f"{bounds[0] * times:,.{digits}f} - {bounds[1] * times:,.{digits}f}"


def _assumptions(assumptions: Sequence[str], width: int) -> list[Text]:
    if not assumptions:
        return []
    told = [Text("  It assumes", style="bold")]
    for sentence in assumptions:
        told += [Text(line) for line in wrapped(sentence, width, first="    - ", rest="      ")]
    return told


def _command(command: str | None, width: int) -> list[Text]:
    return [] if command is None else paragraph(f"Try: {command}", width, rest="       ")
