"""The data roofline: what each part would allow alone, and what was delivered."""

from __future__ import annotations

from ioprof.analysis.summary import Summary
from ioprof.report.html.palette import BLUE, GREEN, ORANGE
from ioprof.report.html.section import Cell, Chart, Json, Section, Table, Text
from ioprof.report.html.words import UNKNOWN, count, rate_text
from ioprof.report.roofline import ROOF_WORDS
from ioprof.trace.trace import Trace


def roofline(trace: Trace, summary: Summary) -> Section:
    """Return the roofs as bars on one scale, the lowest told; a sentence where none is known."""
    line = summary.roofline
    title = "Data roofline"
    known = {} if line is None else {name: roof for name, roof in line.roofs.items() if roof.samples_per_s is not None}
    if line is None or not known:
        why = summary.reasons.get("roofline", "no part's own rate was measured")
        return Section(id="roofline", title=title, blocks=(Text(text=f"Not known: {why}."),))
    delivered = line.delivered_samples_per_s
    bars = {ROOF_WORDS[name]: roof.samples_per_s or 0.0 for name, roof in known.items()} | {"delivered": delivered}
    ordered = sorted(bars, key=lambda name: bars[name])
    lowest = None if line.lowest is None else ROOF_WORDS[line.lowest]
    colours = [GREEN if name == "delivered" else ORANGE if name == lowest else BLUE for name in ordered]
    drawn: dict[str, Json] = {
        "type": "bar", "orientation": "h", "x": [bars[name] for name in ordered], "y": ordered,
        "marker": {"color": colours}, "text": [rate_text(bars[name]) for name in ordered], "textposition": "auto",
        "hovertemplate": "%{y}: %{x:,.4g} samples/s<extra></extra>",
    }  # fmt: skip
    told = f"Delivered {rate_text(delivered)} samples/s."
    if lowest is not None:
        told += f" The lowest roof is {lowest}, {rate_text(bars[lowest])} samples/s" + (
            ", and it binds." if line.binds else "."
        )
    if line.next is not None and line.next_ratio is not None:
        told += f" The next one, {ROOF_WORDS[line.next]}, is {line.next_ratio:.2f} times as high."
    chart = Chart(
        id="data-roofline",
        title="Samples per second that each part allows alone",
        traces=(drawn,),
        layout={
            "xaxis": {"title": {"text": "samples/s"}, "type": "log"},
            "yaxis": {"automargin": True, "type": "category"},
            "showlegend": False,
        },
        summary=told,
        table=_table(summary, delivered),
        height=120 + 36 * len(bars),
    )
    return Section(id="roofline", title=title, blocks=(Text(text=told), chart))


def _table(summary: Summary, delivered: float) -> Table:
    line = summary.roofline
    rows: list[tuple[Cell, ...]] = []
    for name, roof in ({} if line is None else line.roofs).items():
        key = f"roofline.roofs.{name}.samples_per_s"
        rate = count(key, roof.samples_per_s)
        known = roof.samples_per_s is not None
        times = f"{(roof.samples_per_s or 0.0) / delivered:.2f} x" if known and delivered else UNKNOWN
        why = roof.basis if known else summary.reasons.get(key, "")
        rows.append((ROOF_WORDS[name], rate, times, why + (" (at least)" if roof.is_lower_bound else "")))
    rows.append(("delivered", count("roofline.delivered_samples_per_s", delivered), "1.00 x", ""))
    return Table(
        header=("part", "samples/s", "of delivered", "basis"),
        rows=tuple(rows),
        caption="The roofs",
        worded=frozenset({3}),
    )
