"""A mixed run for people: the figures of each phase, who keeps how much beside whom, caveats, the answer."""

from __future__ import annotations

from rich.text import Text

from ioprof.analysis.wording import percent, whole_percent
from ioprof.compound.mixed_record import Interference, MixedRecord, PhaseRecord, PipelineRun
from ioprof.report.compound_tables import FIGURE_HEADS, NONE, figure_cells
from ioprof.report.layout import columns, paragraph
from ioprof.units import format_count, format_duration


def render_mixed(record: MixedRecord, width: int) -> list[Text]:
    """Return the report as lines of at most ``width`` columns, tables apart."""
    blocks = [
        _header(record, width),
        _phases(record.phases, width),
        _matrix(record, width),
        [
            line
            for caveat in record.caveats
            for line in paragraph(caveat, width, first="  ! ", rest="    ", style="yellow")
        ],
        _ending(record, width),
    ]
    return [line for block in blocks if block for line in [*block, Text("")]][:-1]


def _header(record: MixedRecord, width: int) -> list[Text]:
    pipelines = " + ".join(f"{one.name} ({one.workload}, {one.loader})" for one in record.pipelines)
    each = f"{format_duration(record.duration_s * 1e9)} each phase"
    return paragraph(f"mixed · {pipelines} · {record.store} · {each}", width, first="", style="bold")


def _phases(phases: list[PhaseRecord], width: int) -> list[Text]:
    if not phases:
        return []
    rows = [["phase", *FIGURE_HEADS, "beside"]]
    for phase in phases:
        if not phase.runs:
            rows.append([f"{phase.name}: {phase.outcome}", *[NONE] * len(FIGURE_HEADS), NONE])
        rows += [[f"{_title(phase, run)}: {run.pipeline}", *figure_cells(run.figures), _met(run)] for run in phase.runs]
    return [
        *columns(rows, indent=2),
        *paragraph(
            "p99: of the operation that took most time; beside: share of the measured time in which all others were "
            "measuring too",
            width,
            style="dim",
        ),
    ]


def _title(phase: PhaseRecord, run: PipelineRun) -> str:
    """Return ``alone``, ``together``, or of a pair ``with`` the other one."""
    if not phase.name.startswith("pair-"):
        return phase.name.partition("-")[0]
    return "with " + " + ".join(other.pipeline for other in phase.runs if other.pipeline != run.pipeline)


def _met(run: PipelineRun) -> str:
    return NONE if run.overlap_ratio is None else whole_percent(run.overlap_ratio)


def _matrix(record: MixedRecord, width: int) -> list[Text]:
    names = [one.name for one in record.pipelines]
    found = {(one.pipeline, tuple(one.beside)): one for one in record.interference}
    if not found:
        return []
    heads: list[tuple[str, ...]] = [*((name,) for name in names), *([()] if len(names) > 2 else [])]
    for intervals in (True, False):
        rows = [["keeps of its samples/s alone", *(f"beside {head[0]}" if head else "beside all" for head in heads)]]
        for name in names:
            others = tuple(other for other in names if other != name)
            cells = [
                _cell(found.get((name, head or others)), intervals=intervals) if head != (name,) else ""
                for head in heads
            ]
            rows.append([name, *cells])
        table = columns(rows, indent=2)
        if max(line.cell_len for line in table) <= width:
            break
    return [*table, *_latencies(record, width, intervals=intervals)]


def _cell(one: Interference | None, *, intervals: bool) -> str:
    if one is None or one.samples_per_s_ratio is None:
        return NONE
    told = percent(one.samples_per_s_ratio)
    if one.samples_per_s_ratio_ci95 is None or not intervals:
        return told
    low, high = one.samples_per_s_ratio_ci95
    return f"{told} ({low * 100:.0f} - {high * 100:.0f})"


def _latencies(record: MixedRecord, width: int, *, intervals: bool) -> list[Text]:
    told = [
        f"{one.pipeline} x {format_count(round(one.p99_ratio, 2))}"
        for one in record.interference
        if one.phase == "together" and one.p99_ratio is not None
    ]
    lines = [f"p99 together over p99 alone: {', '.join(told)}"] if told else []
    lines.append(
        "in brackets: 95 % interval from step to step; what differs between whole runs is not in it"
        if intervals
        else "intervals: on a wider terminal, or with --json"
    )
    return [text for line in lines for text in paragraph(line, width, style="dim")]


def _ending(record: MixedRecord, width: int) -> list[Text]:
    lines = paragraph(record.sentence, width, style="bold") if record.sentence else []
    if record.outcome == "running":
        lines += paragraph("It goes on, or was killed: what stands here is complete up to now.", width)
    elif record.outcome != "complete":
        lines += paragraph(f"{record.outcome}: {record.reason}", width, style="yellow")
    return lines
