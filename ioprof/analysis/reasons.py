"""Values that may be unknown: a null always carries its reason."""

from __future__ import annotations

from typing import TypeVar

Value = TypeVar("Value")


class Reasons:
    """Collects why values are null, by dotted key of summary.json."""

    def __init__(self) -> None:
        self.by_key: dict[str, str] = {}

    def known(self, key: str, value: Value | None, reason: str) -> Value | None:
        """Return ``value``; note ``reason`` under ``key`` if it is None."""
        if value is None:
            self.by_key[key] = reason
        return value

    def number(self, key: str, result: float | str) -> float | None:
        """Return a number; a text instead of one is the reason why it is null."""
        if isinstance(result, str):
            self.by_key[key] = result
            return None
        return result
