"""The page of a comparison: the answer, ratios with their intervals, and latencies laid over each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ioprof.analysis.compare import Comparison, Histogram, Ratio, Side, merged
from ioprof.analysis.fairness import Difference
from ioprof.report.compare import interval_told, name_of, ratio_told, values_of
from ioprof.report.html.latency import histogram_line, latency_layout
from ioprof.report.html.page import page
from ioprof.report.html.palette import CYCLE, GREY
from ioprof.report.html.section import Block, Chart, Json, Section, Table, Text


def compare_page(sides: Sequence[Side], comparisons: Sequence[Comparison], found: Sequence[Difference]) -> str:
    """Return the page."""
    names = " against ".join(side.name for side in sides)
    runs = sum(len(side.runs) for side in sides)
    sections = (_answer(comparisons, found), *(_ratios(one) for one in comparisons), _latencies(sides), _runs(sides))
    return page(f"comparison: {names}", f"{runs} runs", sections)


def _answer(comparisons: Sequence[Comparison], found: Sequence[Difference]) -> Section:
    blocks: list[Block] = [Text(text=one.sentence, tone="strong") for one in comparisons]
    blocks += [Text(text=f"Not alike: {one.told}", tone="warning") for one in found if one.is_unfair]
    if found:
        rows = tuple((one.what, one.first, one.second) for one in found)
        header = ("what", "first", "second")
        blocks.append(Table(header=header, rows=rows, caption="In what the runs differ", worded=frozenset({1, 2})))
    return Section(id="answer", title="Answer", blocks=tuple(blocks))


def _ratios(one: Comparison) -> Section:
    known = [ratio for ratio in one.ratios if ratio.ratio is not None]
    name = f"{one.second} over {one.first}"
    cells = ((name_of(ratio.key), *values_of(ratio), ratio_told(ratio), interval_told(ratio)) for ratio in one.ratios)
    header = ("figure", one.first, one.second, "ratio", "95 % interval")
    table = Table(header=header, rows=tuple(cells), caption=name)
    blocks: tuple[Block, ...] = (table,)
    if known:
        blocks = (_chart(one, known, table),)
    return Section(id=f"ratios-{one.second}", title=f"Ratios: {name}", blocks=blocks)


def _chart(one: Comparison, known: list[Ratio], table: Table) -> Chart:
    ends = [(ratio.ratio or 0.0, ratio.ci95 or (ratio.ratio or 0.0, ratio.ratio or 0.0)) for ratio in known]
    drawn: dict[str, Json] = {
        "type": "scatter", "mode": "markers", "x": [ratio for ratio, _ in ends],
        "y": [name_of(ratio.key) for ratio in known], "marker": {"size": 10, "color": CYCLE[0]},
        "error_x": {
            "type": "data", "symmetric": False, "array": [high - ratio for ratio, (_, high) in ends],
            "arrayminus": [ratio - low for ratio, (low, _) in ends],
        },
        "hovertemplate": "%{y}: %{x:.3f} x<extra></extra>",
    }  # fmt: skip
    line: dict[str, Json] = {
        "type": "line", "xref": "x", "yref": "paper", "x0": 1, "x1": 1, "y0": 0, "y1": 1,
        "line": {"color": GREY, "width": 1.5, "dash": "dash"},
    }  # fmt: skip
    return Chart(
        id=f"ratios-{one.second}",
        title=f"{one.second} over {one.first}; at the dashed line both are alike",
        traces=(drawn,),
        layout={
            "xaxis": {"title": {"text": "ratio (log)"}, "type": "log"},
            "yaxis": {"automargin": True, "autorange": "reversed", "type": "category"},
            "shapes": [line], "showlegend": False,
        },
        summary=one.sentence,
        table=table,
        height=110 + 30 * len(known),
    )  # fmt: skip


def _latencies(sides: Sequence[Side]) -> Section:
    kinds = sorted({kind for side in sides for one in side.runs for kind in one.histograms})
    blocks: list[Block] = []
    for kind in kinds:
        shown = [(side.name, buckets) for side in sides if (buckets := merged(side, kind)).sum()]
        counts = tuple((name, f"{int(buckets.sum()):,}") for name, buckets in shown)
        blocks.append(
            Chart(
                id=f"latency-{kind}",
                title=f"{kind}: share of operations by how long they took",
                traces=tuple(_lines(shown)),
                layout=latency_layout([]),
                summary=f"Latencies of {kind}, all runs of a side together.",
                table=Table(header=("side", "operations"), rows=counts, caption=kind),
                height=300,
            )
        )
    return Section(id="latencies", title="Latencies", blocks=tuple(blocks) or (Text(text="No operation was traced."),))


def _lines(shown: Sequence[tuple[str, Histogram]]) -> Iterator[dict[str, Json]]:
    for at, (name, found) in enumerate(shown):
        yield histogram_line(name, found, CYCLE[at % len(CYCLE)])


def _runs(sides: Sequence[Side]) -> Section:
    rows = tuple(
        (one.name, side.name, str(one.summary.store), one.run.started_utc, one.run.outcome)
        for side in sides
        for one in side.runs
    )
    header = ("run", "side", "store", "started", "outcome")
    table = Table(header=header, rows=rows, caption="Runs", worded=frozenset({1, 2, 3, 4}))
    return Section(id="runs", title="Runs", blocks=(table,))
