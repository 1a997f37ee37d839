"""``--require 'au>=0.9'``: what a run must reach, judged from its summary."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ioprof.errors import RequirementError, UsageError

_FORM = re.compile(r"^\s*([A-Za-z_][\w.\-]*)\s*(>=|<=|==|>|<)\s*([-+.\deE]+)\s*$")
_COMPARE: Final[dict[str, Callable[[float, float], bool]]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "==": operator.eq,
}
_SHORT = {"au": "accelerator_utilization", "bandwidth": "bandwidth_bytes_per_s", "samples": "samples_per_s"}


@dataclass(frozen=True, slots=True)
class Requirement:
    """One comparison of a key of summary.json with a number."""

    key: str
    """Dotted key."""
    comparison: str
    bound: float

    def __str__(self) -> str:
        return f"{self.key}{self.comparison}{self.bound:g}"

    def check(self, summary: dict[str, object]) -> None:
        """Judge a summary.

        Raises:
            RequirementError: it is not met, or the key has no number in this run.
        """
        found: object = summary
        for part in self.key.split("."):
            found = found.get(part) if isinstance(found, dict) else None
        if isinstance(found, bool) or not isinstance(found, int | float):
            raise RequirementError(f"--require {self}: this run has no number for {self.key}")
        if not _COMPARE[self.comparison](found, self.bound):
            raise RequirementError(f"--require {self}: not met, {self.key} is {found:.6g}")


def parse_requirement(text: str) -> Requirement:
    """Return the requirement that ``au>=0.9`` states; any numeric key of summary.json may stand on the left.

    Raises:
        UsageError: not of that form.
    """
    match = _FORM.match(text)
    if match is None:
        raise UsageError(f"--require {text!r}: write it as 'au>=0.9' or 'operations.read.latency_ns.p99<2e6'")
    try:
        bound = float(match[3])
    except ValueError as error:
        raise UsageError(f"--require {text!r}: {match[3]!r} is not a number") from error
    return Requirement(_SHORT.get(match[1], match[1]), match[2], bound)
