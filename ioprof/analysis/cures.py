"""What could be changed about a run: a closed set, each with what it costs and how the model is asked about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from ioprof.analysis.pipeline.change import Change

CureId = Literal[
    "more-workers", "fewer-workers", "more-prefetch", "out-of-order", "flags-together", "larger-batches",
    "less-tracing", "page-cache", "cheaper-preparation", "more-cores", "larger-objects", "store-latency",
    "store-bandwidth", "store-iops", "faster-link",
]  # fmt: skip
Cost = Literal[
    "free: a flag", "more memory", "cheaper preparation", "other format", "more cores", "other storage", "other host",
]  # fmt: skip
COSTS: tuple[Cost, ...] = (
    "free: a flag", "more memory", "cheaper preparation", "other format", "more cores", "other storage", "other host",
)  # fmt: skip
"""What is named first among cures that bring the same."""

Settings = Mapping[tuple[str, str], str]
"""New values as flags take them, by section and key of the spec."""
Told = float | str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cure:
    """One thing that could be changed."""

    id: CureId
    cost: Cost
    action: str
    """What to do, as a phrase: ``16 workers instead of 2``."""
    change: Change
    settings: Settings = field(default_factory=dict)
    """What of the run's own spec is different; empty where no flag does it."""
    predicted_by: tuple[str, ...] | None = None
    """The command that predicts it, where no flag of a run does it."""
    workload: str | None = None
    """The other workload that shows it; None: the same."""
    evidence: Mapping[str, Told] = field(default_factory=dict)
    """What of the run speaks for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ladder:
    """The same setting in rising steps, of which the smallest that brings nearly the most is the cure."""

    id: CureId
    steps: tuple[int, ...]
    """Values to try, each a larger change than the one before."""
    at: Callable[[int], Cure]
    """The cure for a value."""
    reach: int
    """Larger values are tried only as far as what was measured tells what they do."""
