"""The shape of the data roofline in summary.json."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

RoofName = Literal["accelerator", "loader", "cpu", "store_at_workers", "store_cold", "store_warm"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Roof:
    """What one part of the path would allow if all others cost nothing."""

    samples_per_s: float | None
    is_lower_bound: bool
    """It may allow more: what limited its measurement was something else."""
    basis: str
    """What the rate rests on; empty where there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Roofline:
    """All roofs over a run, and where it stands below them."""

    delivered_samples_per_s: float
    roofs: dict[RoofName, Roof]
    """All of them, known or not: accelerator (its demand), loader (fed from memory), cpu (all CPUs on the workers' work
    alone), store_at_workers (as many plain processes as workers), store_cold, store_warm (the most it gave)."""
    lowest: RoofName | None
    """The lowest of those that were measured with the cache as the run found it, and that it has not passed."""
    binds: RoofName | None
    """The same where the run came within 10 % of it."""
    next: RoofName | None
    """The one above the lowest."""
    next_ratio: float | None
    """How much higher that is: what raising the lowest roof alone can bring at most."""
