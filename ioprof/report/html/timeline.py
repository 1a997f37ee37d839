"""Steps over time, busy and idle, and what the workers did around the longest wait."""

from __future__ import annotations

from ioprof.analysis.lanes import Lanes, lanes_around_longest_wait
from ioprof.analysis.measured import RankSteps, measured_ranks
from ioprof.analysis.series import StepBins, step_bins
from ioprof.analysis.summary import Summary
from ioprof.analysis.wording import percent
from ioprof.report.html.palette import BLUE, BUSY, GREY, IDLE, ORANGE
from ioprof.report.html.section import Block, Chart, Json, Section, Table, Text
from ioprof.trace.trace import Trace
from ioprof.units import format_duration

MOST_BINS = 2_000
"""Of all ranks together; fewer steps are shown each by itself."""
LONGEST_SHOWN = 10
_DIGITS = 6


def timeline(trace: Trace, summary: Summary) -> Section:
    """Return the timeline of every rank, and the lanes of the workers around the longest wait."""
    ranks = measured_ranks(trace.steps, trace.run, trace.checkpoints)
    found = step_bins(ranks, max(1, MOST_BINS // max(1, len(ranks))))
    title = "Timeline"
    if not found:
        return Section(id="timeline", title=title, blocks=(Text(text="No step was measured."),))
    return Section(id="timeline", title=title, blocks=(_steps(found, ranks), *_lanes(trace, ranks)))


def _steps(found: list[StepBins], ranks: list[RankSteps]) -> Chart:
    binned = max(int(one.steps.max()) for one in found)
    each = "each step" if binned == 1 else f"up to {binned:,} steps to a bar"
    traces: list[dict[str, Json]] = []
    for one in found:
        name = f"rank {one.rank}, " if len(found) > 1 else ""
        centre, width = (one.start_s + one.end_s) / 2, one.end_s - one.start_s
        whole = one.busy_s + one.idle_s
        busy = one.busy_s / whole.clip(min=1e-12)
        axis = {"xaxis": "x", "yaxis": "y"}
        traces.append({
            "type": "bar", "name": f"{name}busy", "x": _list(centre), "width": _list(width), "y": _list(100 * busy),
            "marker": {"color": BUSY, "line": {"width": 0}},
            "hovertemplate": "%{x:.4g} s: busy %{y:.1f} %<extra></extra>", **axis,
        })  # fmt: skip
        traces.append({
            "type": "bar", "name": f"{name}idle", "x": _list(centre), "width": _list(width),
            "y": _list(100 * (1 - busy)),
            "marker": {"color": IDLE, "opacity": 0.75, "line": {"width": 0}},
            "hovertemplate": "%{x:.4g} s: idle %{y:.1f} %<extra></extra>", **axis,
        })  # fmt: skip
        traces.append({
            "type": "scatter", "mode": "lines", "name": f"{name}longest wait",
            "x": _list(centre), "y": _list(1e3 * one.longest_wait_s), "xaxis": "x", "yaxis": "y2",
            "line": {"width": 1, "color": BLUE}, "customdata": one.longest_step.tolist(),
            "hovertemplate": "step %{customdata:,}: waited %{y:.4g} ms<extra></extra>",
        })  # fmt: skip
    return Chart(
        id="steps",
        title=f"The accelerator, {each}: busy and idle above, the longest wait below",
        traces=tuple(traces),
        layout={
            "barmode": "stack", "bargap": 0,
            "xaxis": {"title": {"text": "seconds since the measured window opened"}, "anchor": "y2"},
            "yaxis": {"title": {"text": "% of the time"}, "range": [0, 100], "domain": [0.42, 1]},
            "yaxis2": {"title": {"text": "longest wait, ms"}, "domain": [0, 0.34], "rangemode": "tozero"},
            "legend": {"orientation": "h", "y": 1.12},
        },
        summary=_told(found),
        table=_longest(ranks),
        height=420,
    )  # fmt: skip


def _told(found: list[StepBins]) -> str:
    idle = sum(float(one.idle_s.sum()) for one in found)
    whole = idle + sum(float(one.busy_s.sum()) for one in found)
    longest = max(found, key=lambda one: float(one.longest_wait_s.max()))
    place = int(longest.longest_wait_s.argmax())
    waited = format_duration(float(longest.longest_wait_s[place]) * 1e9)
    steps = sum(int(one.steps.sum()) for one in found)
    return (
        f"{steps:,} measured steps, idle {percent(idle / whole if whole else 0.0)} of the time; "
        f"the longest wait was {waited}, before step {int(longest.longest_step[place]):,}."
    )


def _longest(ranks: list[RankSteps]) -> Table:
    rows = []
    for rank in ranks:
        idle = rank.idle_ns[rank.first :]
        for place in idle.argsort()[::-1][:LONGEST_SHOWN].tolist():
            at = rank.first + place
            since = (int(rank.busy_start_ns[at]) - int(rank.wait_start_ns[rank.first])) / 1e9
            rows.append((int(idle[place]), rank.rank, int(rank.step[at]), since, int(rank.worker[at])))
    rows.sort(reverse=True)
    return Table(
        header=("step", "rank", "waited", "began after", "batch made by"),
        rows=tuple(
            (f"{step:,}", str(rank), format_duration(idle), format_duration(since * 1e9), _worker(worker))
            for idle, rank, step, since, worker in rows[:LONGEST_SHOWN]
        ),
        caption=f"The {min(LONGEST_SHOWN, len(rows))} longest waits",
        worded=frozenset({4}),
    )


def _worker(number: int) -> str:
    return "the consumer itself" if number < 0 else f"worker {number}"


def _lanes(trace: Trace, ranks: list[RankSteps]) -> list[Block]:
    found = lanes_around_longest_wait(ranks, trace.batches)
    if isinstance(found, str):
        return [Text(text=f"What the workers did around the longest wait is not known: {found}.", tone="faint")]
    return [_lane_chart(found)]


def _lane_chart(found: Lanes) -> Chart:
    lanes = [_worker(int(worker)) for worker in found.worker]
    parts = (
        ("storage and decoding", found.fetch_start_s, found.fetch_end_s, ORANGE),
        ("joining", found.fetch_end_s, found.made_s, BLUE),
        ("made, not yet held", found.made_s, found.received_s, GREY),
    )
    traces: list[dict[str, Json]] = [
        {
            "type": "bar", "orientation": "h", "name": name, "y": lanes, "base": _list(start), "x": _list(end - start),
            "customdata": found.batch.tolist(),
            "marker": {"color": colour, "line": {"width": 0.5, "color": "rgba(128,128,128,0.8)"}},
            "opacity": 0.35 if colour == GREY else 1.0,
            "hovertemplate": f"batch %{{customdata:,}}: {name} %{{x:.4g}} s<extra></extra>",
        }
        for name, start, end, colour in parts
    ]  # fmt: skip
    waited = format_duration(found.wait_s * 1e9)
    told = f"Around the longest wait, {waited} before step {found.step:,}: what each worker made, and when it was held."
    if found.is_cut:
        told += f" The {len(found.batch)} batches nearest to it are drawn."
    wait_end = found.start_s + (found.end_s - found.start_s) * 4.0 / 5.5
    shape: dict[str, Json] = {
        "type": "rect", "xref": "x", "yref": "paper", "x0": wait_end - found.wait_s, "x1": wait_end, "y0": 0, "y1": 1,
        "fillcolor": IDLE, "opacity": 0.18, "line": {"width": 0},
    }  # fmt: skip
    return Chart(
        id="lanes",
        title=f"Workers around the longest wait (step {found.step:,}; the accelerator was idle in the red band)",
        traces=tuple(traces),
        layout={
            "barmode": "overlay", "bargap": 0.3, "shapes": [shape],
            "xaxis": {
                "title": {"text": "seconds since the measured window opened"},
                "range": [found.start_s, found.end_s],
            },
            "yaxis": {"automargin": True, "type": "category", "categoryorder": "category descending"},
            "legend": {"orientation": "h", "y": 1.15},
        },
        summary=told,
        table=_lane_table(found),
        height=170 + 34 * len(set(lanes)),
    )  # fmt: skip


def _lane_table(found: Lanes) -> Table:
    nearest = abs(found.received_s - found.start_s - (found.end_s - found.start_s) * 4.0 / 5.5).argsort()[:20]
    rows = tuple(
        (
            f"{int(found.batch[place]):,}",
            _worker(int(found.worker[place])),
            *(
                format_duration(1e9 * float(end[place] - start[place]))
                for start, end in (
                    (found.fetch_start_s, found.fetch_end_s),
                    (found.fetch_end_s, found.made_s),
                    (found.made_s, found.received_s),
                )
            ),
        )
        for place in sorted(nearest.tolist())
    )
    return Table(
        header=("batch", "made by", "storage and decoding", "joining", "until it was held"),
        rows=rows,
        caption="The batches nearest to the longest wait",
        worded=frozenset({1}),
    )


def _list(values: object) -> list[float]:
    """Return numbers as plain JSON with as many digits as a screen can show."""
    return [float(f"{value:.{_DIGITS}g}") for value in values.tolist()]  # type: ignore[attr-defined]
