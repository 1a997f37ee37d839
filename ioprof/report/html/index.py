"""The index of a results folder: its runs in a table that can be filtered, sorted and picked from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from urllib.parse import quote

from ioprof.analysis.wording import percent
from ioprof.report.html.page import block_html, page
from ioprof.report.html.section import Section, Text
from ioprof.report.html.words import rate_text

INDEX_HTML = "index.html"
_HEADS = ("run", "started", "workload", "loader", "accelerator", "utilisation", "samples/s", "outcome")


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexRow:
    """One run directory."""

    name: str
    page: str | None
    """Its page, relative to the index; None: it has none."""
    started_utc: str | None
    workload: str | None
    loader: str | None
    accelerator: str | None
    outcome: str
    accelerator_utilization: float | None
    samples_per_s: float | None
    problem: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTable:
    """All runs, each with a box to pick it by."""

    folder: str
    """As commands name it."""
    rows: tuple[IndexRow, ...]


def index_page(folder: str, rows: Sequence[IndexRow]) -> str:
    """Return the index of a folder.

    Args:
        folder: as commands are to name it.
        rows: its runs, newest first.
    """
    if rows:
        blocks = (RunTable(folder=folder, rows=tuple(rows)),)
        section = Section(id="runs", title=f"{len(rows):,} runs", blocks=blocks)
    else:
        section = Section(id="runs", title="No runs", blocks=(Text(text="Make one: ioprof run small-files"),))
    return page(f"runs in {folder}", "newest first", [section], scripts=("index.js",))


@block_html.register
def _(block: RunTable) -> str:
    heads = "".join(
        f'<th scope="col" aria-sort="none">'
        f'<button type="button" class="sort" data-column="{at}">{escape(head)}</button></th>'
        for at, head in enumerate(_HEADS)
    )
    rows = "".join(map(_row, block.rows))
    return (
        '<p><label>Show only runs with <input type="search" id="filter" placeholder="small-files 2026-11 ..."></label> '
        f'<span id="shown" role="status">{len(block.rows):,} shown</span></p>'
        f'<div class="scroll" tabindex="0"><table id="run-table" data-folder="{escape(block.folder)}">'
        "<caption>Pick runs to see them side by side, and the command that compares them.</caption>"
        f'<thead><tr><th scope="col">pick</th>{heads}</tr></thead><tbody>{rows}</tbody></table></div>'
        '<section id="picked" hidden aria-live="polite"><h2>Picked</h2><div class="scroll" tabindex="0">'
        "<table><thead></thead><tbody></tbody></table></div>"
        '<figure class="command"><figcaption>compare them, with intervals</figcaption>'
        '<pre tabindex="0"><code></code></pre>'
        '<button type="button" class="copy">Copy</button></figure></section>'
    )


def _row(one: IndexRow) -> str:
    name = escape(one.name)
    link = name if one.page is None else f'<a href="{escape(quote(one.page))}">{name}</a>'
    use = "-" if one.accelerator_utilization is None else percent(one.accelerator_utilization)
    rate = "-" if one.samples_per_s is None else rate_text(one.samples_per_s)
    outcome = one.outcome if one.problem is None else f"{one.outcome}: {one.problem}"
    words = [one.started_utc, one.workload, one.loader, one.accelerator]
    cells = "".join(f"<td>{escape(word or '-')}</td>" for word in words)
    return (
        f'<tr><td><input type="checkbox" value="{name}" aria-label="pick {name}"></td>'
        f'<th scope="row">{link}</th>{cells}'
        f"{_number(use, one.accelerator_utilization)}{_number(rate, one.samples_per_s)}<td>{escape(outcome)}</td></tr>"
    )


def _number(told: str, value: float | None) -> str:
    return f'<td class="number" data-value="{"" if value is None else repr(value)}">{escape(told)}</td>'
