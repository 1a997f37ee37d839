"""What loaders' libraries counted by themselves: one fact for each library, its numbers with their units."""

from __future__ import annotations

from collections.abc import Mapping

from rich.text import Text

from ioprof.analysis.wording import percent
from ioprof.report.layout import fact
from ioprof.units import format_bytes, format_count, format_duration, format_rate_bytes

SHOWN = 9
"""Counters of a library that are told; of the rest, how many there are."""


def engine_lines(counters: Mapping[str, float], width: int) -> list[Text]:
    """Return a fact for each library that counted something.

    Args:
        counters: by ``ENGINE.NAME``; a name ends in its unit, or is what was counted.
        width: columns.
    """
    told: dict[str, list[str]] = {}
    for key, value in counters.items():
        engine, _, name = key.partition(".")
        told.setdefault(engine, []).append(_words(name, value))
    return [line for engine, words in told.items() for line in fact(f"{engine} counted", _list(words), width)]


def _list(words: list[str]) -> str:
    left = len(words) - SHOWN
    return ", ".join(words[:SHOWN]) + (f", and {left:,} more in --json (engine_counters)" if left > 0 else "")


def _words(name: str, value: float) -> str:
    """Return a counter and its value in the unit that ends its name, which is then told with the number alone."""
    for unit, told in (
        ("_bytes_per_s", format_rate_bytes(value)),
        ("_per_s", f"{format_count(value)}/s"),
        ("_bytes", format_bytes(value)),
        ("_ns", format_duration(value)),
        ("_s", format_duration(value * 1e9)),
        ("_ratio", percent(value)),
    ):
        if name.endswith(unit):
            return f"{name.removesuffix(unit)} {told}"
    return f"{name} {format_count(value)}"
