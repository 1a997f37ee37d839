"""What a page is made of: sections of text, numbers, tables, charts and commands; how it looks is the page's matter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Json = None | bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """A value of summary.json as it is shown, so that the page can be held against the file."""

    text: str
    """As people read it, with its unit."""
    key: str
    """Its dotted key in summary.json."""
    value: float
    """The value there."""


Cell = str | Number


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows below a header; the first column names the row, the others are set as numbers."""

    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    caption: str
    worded: frozenset[int] = frozenset()
    """Columns that hold words beside the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A picture, what it shows in a sentence, and the same as a table."""

    id: str
    title: str
    traces: tuple[Mapping[str, Json], ...]
    """Plotly's traces, as plain JSON."""
    layout: Mapping[str, Json]
    """Plotly's layout; colours of text, grid and background are the page's."""
    summary: str
    table: Table
    height: int = 320
    """Pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A paragraph."""

    text: str
    tone: str = "plain"
    """plain, strong, faint or warning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Headline:
    """One large figure."""

    number: Cell
    label: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A line to copy into a terminal."""

    line: str
    told: str
    """What it does, in a few words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Folded:
    """Blocks that are shown when asked for."""

    title: str
    blocks: tuple[Block, ...]


Block = Table | Chart | Text | Headline | Command | Folded


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A part of the page with a heading."""

    id: str
    title: str
    blocks: tuple[object, ...]
    """`Block`s, or what a page has registered for itself (`ioprof.report.html.page.block_html`)."""
