"""One finding of `ioprof doctor`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["problem", "warning", "note", "ok"]
"""problem: a run would fail or lie; warning: it would bend numbers; note: worth knowing; ok: as it should."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What was looked at, what was found, and what to do about it."""

    id: str
    """Stable name, for machines."""
    severity: Severity
    title: str
    finding: str
    """With numbers and units."""
    advice: str = ""
    """What to do; empty: nothing."""


def ok(check_id: str, title: str, finding: str) -> Check:
    """Return a check that found things as they should be."""
    return Check(id=check_id, severity="ok", title=title, finding=finding)


def note(check_id: str, title: str, finding: str, advice: str = "") -> Check:
    """Return a check whose finding is worth knowing."""
    return Check(id=check_id, severity="note", title=title, finding=finding, advice=advice)


def warning(check_id: str, title: str, finding: str, advice: str) -> Check:
    """Return a check that found what would bend the numbers."""
    return Check(id=check_id, severity="warning", title=title, finding=finding, advice=advice)


def problem(check_id: str, title: str, finding: str, advice: str) -> Check:
    """Return a check that found what would make a run fail or lie."""
    return Check(id=check_id, severity="problem", title=title, finding=finding, advice=advice)
