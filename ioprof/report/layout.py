"""Lines of text for a terminal: aligned columns, wrapped paragraphs; colour says nothing new."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence

from rich.text import Text

LABEL_COLUMNS = 18
"""Columns a fact's label takes, its indent included."""


_UNIT = re.compile(r"(?<=\d) (?=(?:%|[nµm]?s|min|[KMGTP]?i?B)(?:/s)?(?:[ ,;.)]|$))")
_TIED = "\N{NO-BREAK SPACE}"


def wrapped(told: str, width: int, *, first: str = "", rest: str = "") -> list[str]:
    """Return lines of at most ``width`` columns; a number is never parted from its unit, nor a word cut."""
    lines = textwrap.wrap(
        _UNIT.sub(_TIED, told),
        width,
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [line.replace(_TIED, " ") for line in lines]


def fact(label: str, told: str, width: int, *, indent: int = 2, style: str = "") -> list[Text]:
    """Return ``label  told`` with the text wrapped beside the label."""
    head = f"{' ' * indent}{label}".ljust(LABEL_COLUMNS)
    lines = wrapped(told, max(20, width - LABEL_COLUMNS)) or [""]
    first = Text(head, style="bold" if indent == 2 else "").append(lines[0], style=style or "not bold")
    return [first, *(Text(" " * LABEL_COLUMNS).append(line, style=style) for line in lines[1:])]


def paragraph(told: str, width: int, *, first: str = "  ", rest: str = "  ", style: str = "") -> list[Text]:
    """Return a wrapped paragraph."""
    return [Text(line, style=style) for line in wrapped(told, width, first=first, rest=rest)]


def columns(rows: Sequence[Sequence[str]], *, indent: int, gap: int = 2) -> list[Text]:
    """Return a table: the first row is the head, the first column is left, the others right aligned."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for number, row in enumerate(rows):
        cells = [cell.rjust(width) for cell, width in zip(row, widths, strict=True)]
        cells[0] = row[0].ljust(widths[0])
        lines.append(Text(" " * indent + (" " * gap).join(cells).rstrip(), style="" if number else "dim"))
    return lines
