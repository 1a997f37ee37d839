"""How rates read inside sentences."""

from __future__ import annotations

from ioprof.units import format_count


def per_s(rate: float) -> str:
    """Return a rate without its unit: three digits and more in whole numbers."""
    return format_count(round(rate) if rate >= 100 else round(rate, 1))
