"""Idle time by cause: one stacked bar, and beside it what would go if each cause cost nothing."""

from __future__ import annotations

from ioprof.analysis.idle_causes import GROUPS, IdleByCause, IdleSpent
from ioprof.analysis.summary import Summary
from ioprof.analysis.wording import percent, whole_percent
from ioprof.report.html.palette import GREY, OF_GROUP
from ioprof.report.html.section import Block, Cell, Chart, Json, Section, Table, Text
from ioprof.report.html.words import UNKNOWN, seconds
from ioprof.report.idle import CAUSES
from ioprof.trace.trace import Trace


def idle(trace: Trace, summary: Summary) -> Section:
    """Return where the idle time went; a sentence where there is none, or where it is not known."""
    causes, idle_s = summary.idle_by_cause, summary.idle_s
    if causes is None or not idle_s:
        none = summary.reasons.get("idle_by_cause") or summary.reasons.get("idle_s")
        told = f"Not known: {none}." if none else "The accelerator was never idle in the measured steps."
        return Section(id="idle", title="Idle time by cause", blocks=(Text(text=told),))
    return Section(id="idle", title="Idle time by cause", blocks=(_chart(summary, causes, idle_s), _MEANING))


_MEANING: Block = Text(
    text="The upper bar adds up to all idle time. The lower bars say how much would go if that cause alone cost "
    "nothing: causes hide each other, so these do not add up.",
    tone="faint",
)


def _chart(summary: Summary, causes: IdleByCause, idle_s: float) -> Chart:
    whole_s = idle_s + (summary.busy_s or 0.0)
    found = {
        cause: (group, value)
        for group, members in GROUPS.items()
        for cause in members
        if (value := getattr(causes, cause)) is not None and (value > 0 or cause == "unexplained")
    }
    ordered = sorted(found, key=lambda cause: (cause == "unexplained", -causes.of(found[cause][0]), -found[cause][1]))
    free = summary.idle_if_free or {}
    rows = tuple(
        (
            cause.replace("_", " "),
            CAUSES[cause],
            seconds(f"idle_by_cause.{cause}", found[cause][1]),
            percent(found[cause][1] / whole_s),
            _free(free, cause),
            _spent((summary.idle_by_cause_spent or {}).get(cause)),
        )
        for cause in ordered
    )
    traces = [_bar(cause, found[cause], _shade(ordered, found, cause)) for cause in ordered]
    traces += [_free_bar(cause, found[cause][0], free[cause]) for cause in ordered if free.get(cause)]
    names = ["charged", *(f"without {cause.replace('_', ' ')}" for cause in ordered if free.get(cause))]
    first = ordered[0].replace("_", " ")
    told = f"{percent(idle_s / whole_s)} of the time was idle; "
    told += f"{first} holds {percent(found[ordered[0]][1] / idle_s)} of that."
    return Chart(
        id="idle-by-cause",
        title="Seconds in which the accelerator had nothing to run",
        traces=tuple(traces),
        layout={
            "barmode": "stack",
            "xaxis": {"title": {"text": "idle time, s"}, "rangemode": "tozero"},
            "yaxis": {"autorange": "reversed", "categoryorder": "array", "categoryarray": names, "automargin": True},
            "legend": {"orientation": "h", "y": -0.25},
        },
        summary=told,
        table=Table(
            header=("cause", "what", "idle", "of all time", "would go without it", "meanwhile workers were"),
            rows=rows,
            caption="Idle time by cause",
            worded=frozenset({1, 5}),
        ),
        height=190 + 24 * len(names),
    )


_SHADES = (1.0, 0.72, 0.5, 0.34)


def _shade(ordered: list[str], found: dict[str, tuple[str, float]], cause: str) -> float:
    """Return how strong a cause's colour is: those of one group share it, the largest strongest."""
    of_group = [one for one in ordered if found[one][0] == found[cause][0]]
    return _SHADES[min(of_group.index(cause), len(_SHADES) - 1)]


def _bar(cause: str, found: tuple[str, float], opacity: float) -> dict[str, Json]:
    name = cause.replace("_", " ")
    return {
        "type": "bar", "orientation": "h", "name": name, "x": [found[1]], "y": ["charged"], "opacity": opacity,
        "marker": {"color": OF_GROUP.get(found[0], GREY), "line": {"width": 1, "color": "rgba(128,128,128,0.6)"}},
        "hovertemplate": f"{name}: %{{x:.4g}} s<extra></extra>",
    }  # fmt: skip


def _free_bar(cause: str, group: str, value: float) -> dict[str, Json]:
    name = cause.replace("_", " ")
    return {
        "type": "bar", "orientation": "h", "showlegend": False, "x": [value], "y": [f"without {name}"],
        "marker": {"color": OF_GROUP.get(group, GREY), "opacity": 0.55},
        "hovertemplate": f"{name} costs nothing: %{{x:.4g}} s less<extra></extra>",
    }  # fmt: skip


def _free(free: dict[str, float], cause: str) -> Cell:
    return UNKNOWN if cause not in free else seconds(f"idle_if_free.{cause}", free[cause])


def _spent(spent: IdleSpent | None) -> str:
    if spent is None:
        return "not accounted"
    parts = {"on a CPU": spent.on_cpu_s, "waiting for a CPU": spent.run_queue_s, "blocked": spent.blocked_s}
    whole = sum(parts.values())
    return ", ".join(f"{whole_percent(value / whole)} {name}" for name, value in parts.items()) if whole else "nothing"
