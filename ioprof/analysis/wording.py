"""How figures read inside sentences."""

from __future__ import annotations


def percent(ratio: float) -> str:
    """Return a share with one decimal: ``41.2 %``."""
    return f"{ratio:.1%}".replace("%", " %")


def whole_percent(ratio: float) -> str:
    """Return a share in whole percents; with a decimal near the ends: 99.6 % must not read as all."""
    return f"{ratio:.0%}".replace("%", " %") if 0.01 <= ratio <= 0.985 else percent(ratio)
