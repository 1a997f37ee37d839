"""``ioprof doctor``: what would spoil a measurement on this host, and what to do about it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from ioprof.host.doctor import Check, DoctorContext, Severity, conclusion, run_checks

_HEADINGS: dict[Severity, tuple[str, str]] = {
    "problem": ("Problems", "bold red"),
    "warning": ("Warnings", "bold yellow"),
    "note": ("Worth knowing", "bold cyan"),
    "ok": ("As it should be", "bold green"),
}


def doctor_report(store_url: str, *, console: Console, as_json: bool, context: DoctorContext | None = None) -> int:
    """Check this host and the store and print the findings; return the exit code.

    Args:
        store_url: where runs would keep their data.
        console: where results go.
        as_json: print one JSON object instead of text.
        context: what runs would ask for (workers, dataset size...); ``store_url`` alone when left out.

    Returns:
        1 if there is a problem, else 0.
    """
    checks = run_checks(context or DoctorContext(store_url=store_url))
    if as_json:
        # Written raw: wrapping at the console's width would break strings.
        console.out(to_json(store_url, checks), highlight=False)
    else:
        print_checks(checks, console)
    return 1 if any(check.severity == "problem" for check in checks) else 0


def to_json(store_url: str, checks: Sequence[Check]) -> str:
    """Return the findings for machines."""
    found = [dataclasses.asdict(check) for check in checks]
    return json.dumps({"store": _shown(store_url), "checks": found, "conclusion": conclusion(checks)}, indent=2)


def _shown(url: str) -> str:
    if "://" not in url:
        return url
    # Imported here: this module brings fsspec along, which plain paths never need.
    from ioprof.store.fsspec_store import without_credentials

    return without_credentials(url)


def print_checks(checks: Sequence[Check], console: Console) -> None:
    """Print findings by severity, each with what to do, then the conclusion."""
    for severity, (heading, style) in _HEADINGS.items():
        group = [check for check in checks if check.severity == severity]
        if group:
            console.print(Text(f"{heading} ({len(group)})", style=style))
            for check in group:
                _print_check(check, console)
            console.print()
    console.print(Text(conclusion(checks), style="bold"))


def _print_check(check: Check, console: Console) -> None:
    console.print(Padding(Text.assemble((check.title, "bold"), f": {check.finding}"), (0, 0, 0, 2), expand=False))
    if check.advice:
        console.print(Padding(Text(check.advice, style="dim"), (0, 0, 0, 6), expand=False))
