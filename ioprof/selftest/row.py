"""One truth and what was measured of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Unit = Literal["ns", "ratio", "per_s", "bytes_per_s"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A figure whose truth is known.

    The throttle and the emulated accelerator keep their word only as far as the host lets them. Where they know what
    they gave, by their own clock, that is the truth to be measured; else it is what they were asked for.
    """

    case: str
    figure: str
    unit: Unit
    asked: float
    given: float | None
    """What the throttle gave, or what follows from it; None where only the asked value is known."""
    measured: float | None
    """None: ioprof gave no figure."""
    limit: float
    """Largest error that passes: in points of the ratio for utilisation and shares, else relative."""
    decided_by: Literal["throttle", "cpu"] | None = None
    """Who alone decides the truth: the throttle, how long an operation takes; the CPU, how long decoding does. None:
    several do."""

    @property
    def truth(self) -> float:
        """Return what should have been measured."""
        return self.asked if self.given is None else self.given

    @property
    def error(self) -> float | None:
        """Return measured against truth: a difference for ratios, relative for the rest."""
        if self.measured is None:
            return None
        return self.measured - self.truth if self.unit == "ratio" else self.measured / self.truth - 1

    @property
    def passed(self) -> bool:
        """Whether the error is within the limit."""
        return self.error is not None and abs(self.error) <= self.limit

    @property
    def strayed(self) -> float:
        """Return how far the truth was from what was asked for, as `error` counts: what the host did to the test."""
        return self.truth - self.asked if self.unit == "ratio" else self.truth / self.asked - 1
