"""``--require 'au>=0.9'``: what a run must reach, judged from its summary."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from typing import Final, get_args, get_origin, get_type_hints

from ioprof.analysis.summary import Summary
from ioprof.errors import RequirementError, UsageError, nearest
from ioprof.trace.kinds import Kind

_FORM = re.compile(r"^\s*([A-Za-z_][\w.\-]*)\s*(>=|<=|==|>|<)\s*([-+.\deE]+)\s*$")
_COMPARE: Final[dict[str, Callable[[float, float], bool]]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "==": operator.eq,
}
_ANY = "*"
_OF_AN_ACCELERATOR = ("accelerator_utilization", "mlperf_au")
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
        UsageError: not of that form, or summary.json has no number under that key.
    """
    match = _FORM.match(text)
    if match is None:
        raise UsageError(f"--require {text!r}: write it as 'au>=0.9' or 'operations.read.latency_ns.p99<2e6'")
    try:
        bound = float(match[3])
    except ValueError as error:
        raise UsageError(f"--require {text!r}: {match[3]!r} is not a number") from error
    key = _SHORT.get(match[1], match[1])
    if not any(_fits(key, known) for known in numeric_keys()):
        raise UsageError(f"--require {text!r}: summary.json has no number '{key}'{_hint(key)}")
    return Requirement(key, match[2], bound)


def check_all(requirements: Iterable[Requirement], summary: dict[str, object]) -> None:
    """Judge a summary by every requirement.

    Raises:
        RequirementError: at least one is not met; all that are not are told.
    """
    unmet: list[str] = []
    for requirement in requirements:
        try:
            requirement.check(summary)
        except RequirementError as error:
            unmet.append(str(error))
    if unmet:
        raise RequirementError("; ".join(unmet))


def refuse_unknowable(requirements: Iterable[Requirement], accelerator: str) -> None:
    """Refuse before the run what no such run can meet.

    Args:
        requirements: what is required.
        accelerator: its name, as in the spec.

    Raises:
        UsageError: an accelerator's utilisation is required where there is none.
    """
    for one in requirements:
        if one.key in _OF_AN_ACCELERATOR and accelerator.lower() == "none":
            raise UsageError(
                f"--require {one}: there is no utilisation without an accelerator; name one with --accelerator"
            )


@cache
def numeric_keys() -> tuple[str, ...]:
    """Return the dotted keys of summary.json that hold a number; ``*`` stands for a part that only a run decides."""
    return tuple(_keys(Summary))


def _keys(kind: object, prefix: str = "") -> Iterator[str]:
    if kind in (int, float):
        yield prefix
    elif isinstance(kind, type) and is_dataclass(kind):
        hints = get_type_hints(kind)
        for field in fields(kind):
            yield from _keys(hints[field.name], f"{prefix}.{field.name}" if prefix else field.name)
    elif get_origin(kind) in (dict, Mapping):
        value = get_args(kind)[1]
        # Of all tables by name, those that hold records are by kind of operation.
        for name in [one.label for one in Kind] if is_dataclass(value) else [_ANY]:
            yield from _keys(value, f"{prefix}.{name}")
    elif get_origin(kind) is not tuple:
        for choice in get_args(kind):
            yield from _keys(choice, prefix)


def _fits(key: str, known: str) -> bool:
    parts, wanted = key.split("."), known.split(".")
    return len(parts) == len(wanted) and all(want in (part, _ANY) for part, want in zip(parts, wanted, strict=True))


def _hint(key: str) -> str:
    known = (*_SHORT, *numeric_keys())
    return nearest(key, known) or f"; such as {', '.join(_SHORT)} or operations.read.latency_ns.p99"
