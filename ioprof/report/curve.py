"""A curve as text: worker counts on x, rates on y, measured points told from predicted ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

ROWS = 9
"""Lines between the axis and the highest rate."""
_LABELLED = (0, ROWS // 2, ROWS - 1)
MEASURED, PREDICTED, WITHIN = "●", "○", "│"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dot:
    """One point of the curve."""

    name: str
    """What stands below it."""
    value: float
    low: float
    high: float
    is_measured: bool


def curve(dots: Sequence[Dot], labels: Sequence[str], *, indent: int, width: int) -> list[str]:
    """Return the lines of a plot that begins at 0; as many of the dots as fit ``width`` columns, the first ones.

    Args:
        dots: at least one, left to right.
        labels: what stands beside the top, the middle and the bottom line.
        indent: columns left free.
        width: columns there are.
    """
    side = max(map(len, labels))
    cell = max(len(dot.name) for dot in dots) + 2
    fitting = dots[: max(1, (width - indent - side - 3) // cell)]
    top = max(max(dot.value, dot.high) for dot in dots) or 1.0
    beside = dict(zip((ROWS - 1, ROWS // 2, 0), labels, strict=True))
    lines = []
    for row in reversed(range(ROWS)):
        marks = "".join(_mark(dot, row, top).rjust(cell) for dot in fitting)
        lines.append(f"{' ' * indent}{beside.get(row, '').rjust(side)} ┤{marks}".rstrip())
    names = "".join(dot.name.rjust(cell) for dot in fitting)
    return [
        *lines,
        f"{' ' * (indent + side)} └{'─' * (cell * len(fitting) + 1)}",
        f"{' ' * (indent + side)}  {names}  workers",
    ]


def _mark(dot: Dot, row: int, top: float) -> str:
    at, low, high = (_row(value, top) for value in (dot.value, dot.low, dot.high))
    if row == at:
        return MEASURED if dot.is_measured else PREDICTED
    return WITHIN if low <= row <= high else " "


def _row(value: float, top: float) -> int:
    return round(max(0.0, min(1.0, value / top)) * (ROWS - 1))
