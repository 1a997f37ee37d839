"""`ioprof compare RUN RUN...`: sides, what makes them unlike, and where the answer goes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from rich.console import Console

from ioprof.analysis.answer import verdict_alone
from ioprof.analysis.compare import ComparedRun, Comparison, Side, compare, compared_run
from ioprof.analysis.fairness import Difference, Judged, differences
from ioprof.analysis.summarise import summarise
from ioprof.cli.console import talk
from ioprof.errors import RequirementError, RunDirectoryError, UsageError
from ioprof.report.compare import compare_json, render_compare
from ioprof.report.html.compare import compare_page
from ioprof.report.html.run_page import write_page
from ioprof.trace.reader import load_trace
from ioprof.trace.rundir import RUN_JSON

By = Literal["run", "label", "store", "loader", "accelerator"]
_SHOWN = 3
"""Differences that a refusal names."""


def compare_command(
    directories: Sequence[Path],
    *,
    console: Console,
    by: By,
    force: bool,
    noise_percent: float,
    at_least: float | None,
    html: Path | None,
    as_json: bool,
) -> int:
    """Hold every side against the first one.

    Raises:
        UsageError: fewer than two sides, or they are not alike in what must be.
        RunDirectoryError: a folder is no run, or cannot be read.
        RequirementError: a side gives less than ``at_least`` times the first one's samples/s.
    """
    sides = _sides([_read(directory) for directory in _checked(directories)], by)
    found = _unlike(sides)
    unfair = [one for one in found if one.is_unfair]
    if unfair and not force:
        raise UsageError(_refusal(unfair))
    comparisons = [compare(sides[0], side, noise_percent / 100) for side in sides[1:]]
    if as_json:
        console.file.write(compare_json(sides, comparisons, found))
    else:
        for line in render_compare(sides, comparisons, found, console.width):
            console.print(line, soft_wrap=True)
    if html is not None:
        write_page(html, compare_page(sides, comparisons, found))
        talk().print(f"page: {html}", soft_wrap=True, markup=False)
    _require(comparisons, at_least)
    return 0


def _checked(directories: Sequence[Path]) -> list[Path]:
    seen = set[Path]()
    for directory in directories:
        place = directory.resolve()
        if place in seen:
            raise UsageError(f"{directory}: named twice; a run against itself says nothing")
        seen.add(place)
    return list(directories)


def _read(directory: Path) -> ComparedRun:
    if not (directory / RUN_JSON).exists() and directory.is_dir():
        inside = sorted(found.parent.name for found in directory.glob(f"*/{RUN_JSON}"))
        if inside:
            raise RunDirectoryError(f"{directory}: holds several runs; name them, such as {directory / inside[0]}")
    trace = load_trace(directory)
    return compared_run(directory.name or str(directory), trace, summarise(trace, verdict_alone))


def _sides(runs: Sequence[ComparedRun], by: By) -> list[Side]:
    """Return the sides in the order in which they were named first."""
    names = [_letter(at) for at in range(len(runs))] if by == "run" else [_side_of(one, by) for one in runs]
    found = [
        Side(name=name, runs=tuple(one for one, its in zip(runs, names, strict=True) if its == name))
        for name in dict.fromkeys(names)
    ]
    if len(found) < 2:
        told = f"all {len(runs)} runs have the {by} {found[0].name!r}" if len(runs) > 1 else "one run"
        raise UsageError(f"{told}: there is nothing to compare; name another run, or another --by")
    return found


def _letter(at: int) -> str:
    """Return A to Z, then A2 to Z2 and on: names of run directories are too long for the head of a column."""
    return chr(ord("A") + at % 26) + ("" if at < 26 else str(at // 26 + 1))


def _side_of(one: ComparedRun, by: By) -> str:
    facts = {
        "label": one.run.label or "no label",
        "store": one.summary.store.rpartition("/")[0] or one.summary.store,
        "loader": one.run.loader,
        "accelerator": one.run.accelerator.name,
    }
    return facts[by]


def _unlike(sides: Sequence[Side]) -> list[Difference]:
    """Return in what any run differs from the first one, each thing once."""
    runs = [Judged(run=one.run, summary=one.summary) for side in sides for one in side.runs]
    found = {one.what: one for run in reversed(runs[1:]) for one in differences(runs[0], run)}
    return sorted(found.values(), key=lambda one: not one.is_unfair)


def _refusal(unfair: Sequence[Difference]) -> str:
    told = "; ".join(one.told for one in unfair[:_SHOWN])
    more = f" and {len(unfair) - _SHOWN} more" if len(unfair) > _SHOWN else ""
    return f"the runs are not alike: {told}{more}; --force compares them all the same, and says so"


def _require(comparisons: Sequence[Comparison], at_least: float | None) -> None:
    if at_least is None:
        return
    for one in comparisons:
        rate = one.ratios[0].ratio if one.ratios and one.ratios[0].key == "samples_per_s" else None
        if rate is None or rate < at_least:
            told = "not known" if rate is None else f"{rate:.3f}"
            raise RequirementError(f"--at-least {at_least:g}: not met, {one.second} over {one.first} is {told}")
