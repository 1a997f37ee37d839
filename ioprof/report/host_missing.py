"""What of the host a run could not record, in one line of the report; all of it is in summary.json."""

from __future__ import annotations

from collections.abc import Mapping

from rich.text import Text

from ioprof.report.layout import fact

SHOWN = 2
"""Reasons that are told; of the rest, how many there are."""


def not_recorded_lines(missing: Mapping[str, str], width: int) -> list[Text]:
    """Return the series that are missing, those of one reason together; nothing where there are all."""
    names: dict[str, list[str]] = {}
    for name, reason in missing.items():
        names.setdefault(reason, []).append(name)
    told = [f"{', '.join(together)} ({reason})" for reason, together in names.items()]
    left = sum(len(together) for together in list(names.values())[SHOWN:])
    shown = "; ".join(told[:SHOWN]) + (f"; and {left} more in --json (host_missing)" if left else "")
    return fact("not recorded", f"of the host: {shown}", width) if told else []
