"""A tuning for people: the answer, the curve, what it rests on, and the command to use."""

from __future__ import annotations

from rich.text import Text

from ioprof.analysis.wording import percent, whole_percent
from ioprof.report.curve import MEASURED, PREDICTED, WITHIN, Dot, curve
from ioprof.report.layout import columns, fact, paragraph
from ioprof.tuning.choose import Next
from ioprof.tuning.predictor import Predicted
from ioprof.tuning.record import ChosenRecord, MeasuredRecord, PointRecord, RateRecord, SettingRecord, TuneRecord
from ioprof.units import format_count, format_duration

NONE = "-"
_NOTHING = 0.0005
"""Gains below this print as none."""


def render_tune(record: TuneRecord, width: int = 80) -> list[Text]:
    """Return the report as lines of at most ``width`` columns, the table apart."""
    chosen = record.chosen
    blocks = [
        paragraph(tune_head(record), width, first="", style="bold"),
        [] if chosen is None else _answer(chosen, width),
        _plot(record, width),
        _table(record),
        [line for run in record.runs for line in _failure(run, width)],
        [
            *fact("host", f"{record.cores_told}; up to {record.most_workers} workers were thought of", width),
            *(line for limit in record.limits for line in _limit(limit.setting, limit.reason, width)),
            *_rests_on(record, width),
        ],
        [line for remark in record.remarks for line in _remark(remark, width)],
        _ending(record, width),
        [] if chosen is None or chosen.command is None else [Text(f"  Use it: {chosen.command}", style="bold")],
    ]
    return [line for block in blocks if block for line in [*block, Text("")]][:-1]


def setting_told(setting: SettingRecord) -> str:
    """Return a setting as a sentence has it."""
    workers = {0: "no workers", 1: "1 worker"}.get(setting.workers, f"{setting.workers} workers")
    return workers if setting.prefetch is None else f"{workers}, prefetch {setting.prefetch}"


def rate_told(rate: RateRecord) -> str:
    """Return a rate with its interval and, where there is one, the accelerator's utilisation."""
    told = f"{_per_s(rate.samples_per_s)} samples/s"
    if rate.samples_per_s_ci95 is not None:
        told += f" ({_interval(rate)})"
    return told if rate.accelerator_utilization is None else f"{told}, accelerator busy {_share(rate)}"


def begins_told(record: TuneRecord, step: Next, predicted: Predicted | None) -> str:
    """Return the line of a run that begins."""
    expected = "" if predicted is None else f"; {predicted.samples_per_s:,.0f} samples/s predicted"
    spent = f"{record.spent_s:.0f} of {record.budget_s:.0f} s"
    return f"run {len(record.runs) + 1} ({spent}): {step.setting.told}{expected}"


def ended_told(run: MeasuredRecord) -> str:
    """Return the line of a run that has ended."""
    return f"failed: {run.problem}" if run.rate is None else rate_told(run.rate)


def tune_head(record: TuneRecord) -> str:
    """Return what was tuned, in a line."""
    accelerator = "" if record.accelerator == "none" else f" · {record.accelerator}"
    store = "" if record.store is None else f" · {record.store}"
    return (
        f"tune of {record.workload} · {record.loader}{store}{accelerator} · {record.cache} · "
        f"{len(record.runs)} runs in {format_duration(record.spent_s * 1e9)}"
    )


def answer_told(chosen: ChosenRecord) -> str:
    """Return the recommendation as a sentence."""
    share = whole_percent(chosen.of_best_ratio)
    told = f"{setting_told(chosen.setting)}: {rate_told(chosen.rate)}, "
    told += "the best of all" if chosen.of_best_ratio >= 1.0 else f"{share} of the best"
    gain = chosen.gain_of_one_more_worker_ratio
    if gain is not None:
        told += f"; one more worker {_gain_told(gain)}"
    return f"{told[:1].upper()}{told[1:]}."


def _answer(chosen: ChosenRecord, width: int) -> list[Text]:
    lines = paragraph(answer_told(chosen), width, style="bold")
    return [*lines, *(paragraph(chosen.why, width) if chosen.why else [])]


def _gain_told(gain: float) -> str:
    if abs(gain) < _NOTHING:
        return "brings nothing"
    return f"brings {percent(gain)}" if gain > 0 else f"costs {percent(-gain)}"


def _plot(record: TuneRecord, width: int) -> list[Text]:
    line = curve_points(record)
    if len(line) < 2:
        return []
    dots = [
        Dot(
            name=str(one.setting.workers),
            value=one.rate.samples_per_s,
            low=one.rate.samples_per_s if one.rate.samples_per_s_ci95 is None else one.rate.samples_per_s_ci95[0],
            high=one.rate.samples_per_s if one.rate.samples_per_s_ci95 is None else one.rate.samples_per_s_ci95[1],
            is_measured=one.is_measured,
        )
        for one in line
    ]
    top = max(max(dot.value, dot.high) for dot in dots)
    legend = f"  samples/s by workers{_ahead_told(line)}: {MEASURED} measured  {PREDICTED} predicted  {WITHIN} interval"
    drawn = curve(dots, [_per_s(top), _per_s(top / 2), "0"], indent=2, width=width)
    return [Text(legend, style="dim"), *map(Text, drawn)]


def _ahead_told(line: list[PointRecord]) -> str:
    aheads = {one.setting.prefetch for one in line if one.setting.prefetch is not None}
    return f", prefetch {aheads.pop()}" if len(aheads) == 1 else ""


def curve_points(record: TuneRecord) -> list[PointRecord]:
    """Return one point for each worker count: as far ahead as the winner, else the best that was measured."""
    ahead = record.chosen.setting.prefetch if record.chosen is not None else None
    if ahead is None:
        measured = [one for one in record.curve if one.is_measured and one.setting.prefetch is not None]
        ahead = max(measured, key=lambda one: one.rate.samples_per_s).setting.prefetch if measured else None
    found: dict[int, PointRecord] = {}
    for one in record.curve:
        before = found.get(one.setting.workers)
        if before is None or _fits(one, ahead) > _fits(before, ahead):
            found[one.setting.workers] = one
    return [found[workers] for workers in sorted(found)]


def _fits(one: PointRecord, ahead: int | None) -> tuple[bool, bool, float]:
    return one.setting.prefetch == ahead, one.is_measured, one.rate.samples_per_s


def _table(record: TuneRecord) -> list[Text]:
    """Return the line of the plot in numbers, and what else was measured."""
    line = curve_points(record)
    if not line:
        return []
    shown = sorted(
        [*line, *(one for one in record.curve if one.is_measured and one not in line)],
        key=lambda one: (one.setting.workers, one.setting.prefetch or 0),
    )
    best = max(one.rate.samples_per_s for one in record.curve)
    feeds = any(one.rate.accelerator_utilization is not None for one in shown)
    rows = [
        ["", "workers", "prefetch", "samples/s", "interval", *(["busy"] if feeds else []), "of best", "one more", "how"]
    ]
    for one in shown:
        rows.append(
            [
                ">" if record.chosen is not None and one.setting == record.chosen.setting else "",
                str(one.setting.workers),
                NONE if one.setting.prefetch is None else str(one.setting.prefetch),
                _per_s(one.rate.samples_per_s),
                _interval(one.rate),
                *([_share(one.rate)] if feeds else []),
                whole_percent(one.rate.samples_per_s / best) if best else NONE,
                _one_more(one, line),
                _how(one, record),
            ]
        )
    return columns(rows, indent=0, gap=2)


def _one_more(one: PointRecord, line: list[PointRecord]) -> str:
    """Return what one more worker brings from one point of the line to the next."""
    more = next((other for other in line if other.setting.workers > one.setting.workers), None)
    if one not in line or more is None or not one.rate.samples_per_s:
        return ""
    gain = (more.rate.samples_per_s / one.rate.samples_per_s - 1) / (more.setting.workers - one.setting.workers)
    return "0.0 %" if abs(gain) < _NOTHING else f"{gain:+.1%}".replace("%", " %")


def _how(one: PointRecord, record: TuneRecord) -> str:
    if not one.is_measured:
        return "predicted"
    runs = [run for run in record.runs if run.setting == one.setting and run.rate is not None]
    before = next((run.predicted for run in runs if run.predicted is not None), None)
    return "measured" if before is None else f"measured ({_per_s(before.samples_per_s)} predicted)"


def _failure(run: MeasuredRecord, width: int) -> list[Text]:
    if run.rate is not None:
        return []
    return paragraph(
        f"{setting_told(run.setting)} failed: {run.problem}", width, first="  ! ", rest="    ", style="yellow"
    )


def _limit(setting: SettingRecord, reason: str, width: int) -> list[Text]:
    return fact("limit", f"from {setting_told(setting)} on: {reason}", width)


def _rests_on(record: TuneRecord, width: int) -> list[Text]:
    if record.predicted_by is None:
        return []
    told = f"{record.predicted_by}; {'; '.join(record.assumptions)}" if record.assumptions else record.predicted_by
    return fact("predicted by", told, width)


def _remark(told: str, width: int) -> list[Text]:
    return paragraph(f"{told[:1].upper()}{told[1:]}.", width, first="  ! ", rest="    ", style="yellow")


def _ending(record: TuneRecord, width: int) -> list[Text]:
    if record.outcome == "running":
        return paragraph("It goes on, or was killed: what stands here is what was measured up to now.", width)
    if record.outcome == "complete":
        return []
    told = f"{record.outcome}: {record.reason}"
    if record.chosen is not None:
        told += "; the answer is of what was measured until then"
    return paragraph(f"{told[:1].upper()}{told[1:]}.", width, style="yellow")


def _interval(rate: RateRecord) -> str:
    if rate.samples_per_s_ci95 is None:
        return NONE
    return " - ".join(map(_per_s, rate.samples_per_s_ci95))


def _share(rate: RateRecord) -> str:
    return NONE if rate.accelerator_utilization is None else percent(rate.accelerator_utilization)


def _per_s(rate: float) -> str:
    return format_count(round(rate) if rate >= 100 else round(rate, 1))
