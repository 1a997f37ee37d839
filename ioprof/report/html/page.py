"""One self-contained file from sections: nothing is fetched, nothing of a user's is taken for markup.

The policy in its head lets run the two scripts that it holds, by their hashes, and nothing else; no connection of any
kind is allowed. Styles are allowed inline, because plotly sets them on what it draws.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cache, singledispatch
from html import escape
from importlib.resources import files

from ioprof.report.html.section import (
    Cell,
    Chart,
    Command,
    Folded,
    Headline,
    Number,
    Section,
    Table,
    Text,
)

_POLICY = "style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; form-action 'none'"


def page(title: str, subtitle: str, sections: Sequence[Section], scripts: Sequence[str] = ()) -> str:
    """Return the whole file.

    Args:
        title: of the window and of the page.
        subtitle: a line below it.
        sections: from top to bottom.
        scripts: names of its own scripts, beside the one that all pages have.
    """
    drawing = [_plotly()] if _has_chart(sections) else []
    running = [*drawing, *map(_asset, ("page.js", *scripts))]
    allowed = " ".join(f"'sha256-{_digest(script)}'" for script in running)
    policy = f"default-src 'none'; script-src {allowed}; {_POLICY}"
    links = "".join(f'<li><a href="#{escape(one.id)}">{escape(one.title)}</a></li>' for one in sections)
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark">',
        f"<title>{escape(title)}</title>",
        f"<style>{_asset('page.css')}</style></head><body>",
        '<a class="skip" href="#main">To the report</a>',
        f"<header><h1>{escape(title)}</h1><p>{escape(subtitle)}</p>",
        f'<nav aria-label="Sections"><ul>{links}</ul></nav></header><main id="main">',
        *(_section(one) for one in sections),
        "</main>",
        *(f"<script>{script}</script>" for script in running),
        "</body></html>\n",
    ]
    return "\n".join(parts)


def _section(one: Section) -> str:
    blocks = "\n".join(block_html(block) for block in one.blocks)
    name = escape(one.id)
    heading = f'<h2 id="{name}-title">{escape(one.title)}</h2>'
    return f'<section id="{name}" aria-labelledby="{name}-title">{heading}\n{blocks}\n</section>'


def _has_chart(sections: Sequence[Section]) -> bool:
    return any(isinstance(block, Chart) for one in sections for block in one.blocks)


@singledispatch
def block_html(block: object) -> str:
    """Return the markup of a block; pages with blocks of their own register how these look.

    Raises:
        TypeError: nobody has.
    """
    raise TypeError(f"{block!r} is no block of a page")


@block_html.register
def _(block: Text) -> str:
    return f'<p class="{escape(block.tone)}">{escape(block.text)}</p>'


@block_html.register
def _(block: Headline) -> str:
    return (
        f'<p class="headline"><span class="large">{_cell(block.number)}</span> '
        f'<span class="label">{escape(block.label)}</span>'
        f'<br><span class="detail">{escape(block.detail)}</span></p>'
    )


@block_html.register
def _(block: Command) -> str:
    return (
        f'<figure class="command"><figcaption>{escape(block.told)}</figcaption>'
        f'<pre tabindex="0"><code>{escape(block.line)}</code></pre>'
        '<button type="button" class="copy">Copy</button></figure>'
    )


@block_html.register
def _(block: Folded) -> str:
    inside = "\n".join(block_html(one) for one in block.blocks)
    return f'<details class="folded"><summary>{escape(block.title)}</summary>{inside}</details>'


@block_html.register
def _(block: Table) -> str:
    return _table(block)


@block_html.register
def _(block: Chart) -> str:
    name = escape(f"chart-{block.id}")
    drawn = _data({"data": block.traces, "layout": block.layout, "height": block.height})
    return (
        f'<figure class="chart" id="{name}"><h3>{escape(block.title)}</h3>'
        f'<div class="plot" role="img" aria-label="{escape(block.summary)}" style="min-height:{block.height}px"></div>'
        f'<script type="application/json" class="figure">{drawn}</script>'
        f"<figcaption>{escape(block.summary)}</figcaption>"
        f'<details class="table"><summary>As a table</summary>{_table(block.table)}</details></figure>'
    )


def _table(table: Table) -> str:
    head = "".join(
        f'<th scope="col"{_kind(table, place)}>{escape(name)}</th>' for place, name in enumerate(table.header)
    )
    rows = "".join(
        f'<tr><th scope="row">{_cell(row[0])}</th>'
        + "".join(f"<td{_kind(table, place)}>{_cell(cell)}</td>" for place, cell in enumerate(row) if place)
        + "</tr>"
        for row in table.rows
    )
    return (
        f'<div class="scroll" tabindex="0"><table><caption>{escape(table.caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _kind(table: Table, place: int) -> str:
    return "" if place == 0 or place in table.worded else ' class="number"'


def _cell(cell: Cell) -> str:
    if isinstance(cell, Number):
        return f'<data data-key="{escape(cell.key)}" value="{cell.value!r}">{escape(cell.text)}</data>'
    return escape(cell)


def _data(value: Mapping[str, object]) -> str:
    """Return JSON that cannot end the script it stands in, nor begin a comment there."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


@cache
def _asset(name: str) -> str:
    return files("ioprof.report.html").joinpath(name).read_text(encoding="utf-8")


@cache
def _plotly() -> str:
    from plotly.offline import get_plotlyjs  # takes longer to import than all else here, and not every page has charts

    return str(get_plotlyjs()).replace("</script", "<\\/script")
