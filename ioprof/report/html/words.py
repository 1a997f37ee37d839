"""Numbers of summary.json as the page shows them, each with its key."""

from __future__ import annotations

from ioprof.analysis.wording import percent
from ioprof.report.html.section import Cell, Number
from ioprof.units import format_count, format_duration, format_rate_bytes

UNKNOWN = "unknown"


def count(key: str, value: float | None) -> Cell:
    """Return a count or a rate per second."""
    return UNKNOWN if value is None else Number(text=rate_text(value), key=key, value=value)


def rate_text(value: float) -> str:
    """Return a rate: whole from 100 on."""
    return format_count(round(value) if value >= 100 else round(value, 2))


def share(key: str, value: float | None) -> Cell:
    """Return a ratio as percent."""
    return UNKNOWN if value is None else Number(text=percent(value), key=key, value=value)


def seconds(key: str, value: float | None) -> Cell:
    """Return a duration that is kept in seconds."""
    return UNKNOWN if value is None else Number(text=format_duration(value * 1e9), key=key, value=value)


def nanoseconds(key: str, value: float | None) -> Cell:
    """Return a duration that is kept in nanoseconds."""
    return UNKNOWN if value is None else Number(text=format_duration(value), key=key, value=value)


def bandwidth(key: str, value: float | None) -> Cell:
    """Return bytes per second."""
    return UNKNOWN if value is None else Number(text=format_rate_bytes(value), key=key, value=value)
