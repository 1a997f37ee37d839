"""How far a preparation, a verification or a removal has come."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Phase = Literal["directories", "write", "sync", "verify", "remove"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Cumulative figures; objects of a former, interrupted preparation are included and named."""

    phase: Phase
    objects: int
    """Objects done so far, resumed ones included."""
    total_objects: int
    size_bytes: int
    """Bytes done so far, resumed ones included."""
    total_bytes: int
    resumed_objects: int = 0
    """Objects that were there when this preparation started."""
    resumed_bytes: int = 0


OnProgress = Callable[[Progress], None]


def ignore(progress: Progress) -> None:
    """Show nothing."""
