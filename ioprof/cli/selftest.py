"""``ioprof selftest``: runs of known truth, asked against measured."""

from __future__ import annotations

import dataclasses
import json

from rich.console import Console
from rich.text import Text

from ioprof.cli.console import results, talk
from ioprof.report.layout import columns, paragraph
from ioprof.runner.interrupt import interruptible
from ioprof.selftest.cases import Case, cases
from ioprof.selftest.row import Row, Unit
from ioprof.selftest.suite import Finished, disturbance, run_cases
from ioprof.units import format_count, format_duration, format_rate_bytes

_HEAD = ("", "asked", "given", "measured", "error", "limit", "")


def selftest_command(*, quick: bool, as_json: bool, quiet: bool) -> int:
    """Run the cases and print what came of each; return 1 if a figure is outside its limit, else 0."""
    wanted, console = cases(quick=quick), results()
    finished: list[Finished] = []

    def tell(number: int, case: Case) -> None:
        if not quiet:
            talk().print(f"[dim]{number} of {len(wanted)}: {case.name}[/dim]", soft_wrap=True)

    with interruptible():
        for one in run_cases(wanted, tell):
            finished.append(one)
            if not as_json:
                _print_case(one, console)
    if as_json:
        print(to_json(finished))
    else:
        for line in paragraph(conclusion(finished), console.width, first="", rest=""):
            console.print(line)
    return 0 if all(row.passed for one in finished for row in one.rows) else 1


def conclusion(finished: list[Finished]) -> str:
    """Return how many figures passed, and what disturbed them."""
    rows = [row for one in finished for row in one.rows]
    failed = sum(not row.passed for row in rows)
    told = f"{len(rows) - failed} of {len(rows)} figures are within their limits."
    disturbed = disturbance(finished)
    return f"{told} {disturbed}" if disturbed else told


def _print_case(finished: Finished, console: Console) -> None:
    console.print(Text(finished.case.name, style="bold"))
    for line in columns([_HEAD, *(_cells(row) for row in finished.rows)], indent=2):
        console.print(line, soft_wrap=True)
    console.print()


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.figure,
        _shown(row.asked, row.unit),
        "-" if row.given is None else _shown(row.given, row.unit),
        "none" if row.measured is None else _shown(row.measured, row.unit),
        "" if row.error is None else _signed(row.error, row.unit),
        _signed(row.limit, row.unit).removeprefix("+"),
        "ok" if row.passed else "FAILED",
    )


def _shown(value: float, unit: Unit) -> str:
    match unit:
        case "ns":
            return format_duration(value)
        case "ratio":
            return f"{100 * value:.2f} %"
        case "bytes_per_s":
            return format_rate_bytes(value)
        case "per_s":
            return f"{format_count(value)}/s"


def _signed(error: float, unit: Unit) -> str:
    return f"{100 * error:+.2f} {'pt' if unit == 'ratio' else '%'}"


def to_json(finished: list[Finished]) -> str:
    """Return all rows for machines: values in ns, ratios and SI base units."""
    rows = [
        {**dataclasses.asdict(row), "error": row.error, "passed": row.passed} for one in finished for row in one.rows
    ]
    passed = all(row["passed"] for row in rows)
    return json.dumps({"passed": passed, "disturbed": disturbance(finished), "rows": rows}, indent=2)
