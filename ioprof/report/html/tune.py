"""The page of a tuning: what to take, and the curve of what was measured and predicted."""

from __future__ import annotations

from ioprof.report.html.page import page
from ioprof.report.html.palette import BLUE, GREEN, ORANGE
from ioprof.report.html.section import Block, Chart, Command, Json, Section, Table, Text
from ioprof.report.html.words import UNKNOWN, rate_text
from ioprof.report.tune import answer_told, curve_points, setting_told, tune_head
from ioprof.tuning.record import MeasuredRecord, PointRecord, RateRecord, TuneRecord
from ioprof.units import format_duration


def tune_page(record: TuneRecord) -> str:
    """Return the page of a tuning."""
    sections = (_choice(record), _curve(record), _runs(record), _limits(record))
    return page(tune_head(record), f"ioprof {record.ioprof_version}, {record.started_utc}", sections)


def _choice(record: TuneRecord) -> Section:
    chosen = record.chosen
    blocks: list[Block] = []
    if chosen is None:
        blocks.append(Text(text="Nothing was measured yet, so nothing is recommended.", tone="warning"))
    else:
        blocks += [Text(text=answer_told(chosen), tone="strong"), Text(text=chosen.why)]
        if chosen.command is not None:
            blocks.append(Command(line=chosen.command, told="a run with it"))
    if record.outcome != "complete":
        blocks.append(Text(text=f"The tuning is {record.outcome}: {record.reason or 'it goes on'}", tone="warning"))
    blocks += [Text(text=one, tone="warning") for one in record.remarks]
    return Section(id="choice", title="Recommendation", blocks=tuple(blocks))


def _curve(record: TuneRecord) -> Section:
    points = curve_points(record)
    if not points:
        return Section(id="curve", title="Curve", blocks=(Text(text="No setting is known yet."),))
    chart = Chart(
        id="tuning-curve",
        title="Samples per second by workers",
        traces=tuple(_traces(record, points)),
        layout={
            "xaxis": {"title": {"text": "workers"}, "tickvals": [one.setting.workers for one in points]},
            "yaxis": {"title": {"text": "samples/s"}, "rangemode": "tozero"},
            "legend": {"orientation": "h", "y": 1.12},
        },
        summary=f"{len(points)} worker counts, {sum(one.is_measured for one in points)} of them measured.",
        table=Table(
            header=("setting", "samples/s", "95 % interval", "how"),
            rows=tuple(
                (*_rate_cells(setting_told(one.setting), one.rate), "measured" if one.is_measured else "predicted")
                for one in points
            ),
            caption="The curve",
            worded=frozenset({3}),
        ),
        height=380,
    )
    return Section(id="curve", title="Curve", blocks=(chart,))


def _traces(record: TuneRecord, points: list[PointRecord]) -> list[dict[str, Json]]:
    traces = [
        _points([one for one in points if one.is_measured], "measured", BLUE, "circle"),
        _points([one for one in points if not one.is_measured], "predicted", ORANGE, "circle-open"),
    ]
    if record.chosen is not None:
        chosen = PointRecord(setting=record.chosen.setting, rate=record.chosen.rate, is_measured=True)
        traces.append(_points([chosen], "recommended", GREEN, "star"))
    return traces


def _points(points: list[PointRecord], name: str, colour: str, symbol: str) -> dict[str, Json]:
    ends = [one.rate.samples_per_s_ci95 or (one.rate.samples_per_s, one.rate.samples_per_s) for one in points]
    return {
        "type": "scatter", "mode": "markers", "name": name, "x": [one.setting.workers for one in points],
        "y": [one.rate.samples_per_s for one in points], "text": [setting_told(one.setting) for one in points],
        "marker": {"size": 15 if symbol == "star" else 10, "color": colour, "symbol": symbol},
        "error_y": {
            "type": "data", "symmetric": False,
            "array": [high - one.rate.samples_per_s for one, (_, high) in zip(points, ends, strict=True)],
            "arrayminus": [one.rate.samples_per_s - low for one, (low, _) in zip(points, ends, strict=True)],
        },
        "hovertemplate": "%{text}: %{y:,.4g} samples/s<extra></extra>",
    }  # fmt: skip


def _rate_cells(name: str, rate: RateRecord | None) -> tuple[str, str, str]:
    if rate is None:
        return name, UNKNOWN, UNKNOWN
    between = rate.samples_per_s_ci95
    return (
        name,
        rate_text(rate.samples_per_s),
        UNKNOWN if between is None else f"{rate_text(between[0])} - {rate_text(between[1])}",
    )


def _runs(record: TuneRecord) -> Section:
    rows = tuple(
        (
            *_rate_cells(setting_told(one.setting), one.rate),
            UNKNOWN if one.predicted is None else rate_text(one.predicted.samples_per_s),
            one.why,
            format_duration(one.seconds * 1e9),
            _ended(one),
        )
        for one in record.runs
    )
    table = Table(
        header=("setting", "samples/s", "95 % interval", "predicted before", "made as", "took", ""),
        rows=rows,
        caption=f"Runs in {format_duration(record.spent_s * 1e9)} of {format_duration(record.budget_s * 1e9)}",
        worded=frozenset({4, 6}),
    )
    return Section(id="runs", title="Runs", blocks=(table,))


def _ended(one: MeasuredRecord) -> str:
    return one.problem or one.directory or ""


def _limits(record: TuneRecord) -> Section:
    told = [f"{record.cores_told}; up to {record.most_workers} workers were thought of."]
    told += [f"{setting_told(one.setting)} and more do not fit: {one.reason}" for one in record.limits]
    told += [f"Predicted by {record.predicted_by}."] if record.predicted_by is not None else []
    return Section(id="limits", title="Limits", blocks=tuple(Text(text=one) for one in (*told, *record.assumptions)))
