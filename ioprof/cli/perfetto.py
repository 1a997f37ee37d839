"""`ioprof report RUN --perfetto FILE`."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path

from ioprof.cli.console import results, talk
from ioprof.errors import UsageError
from ioprof.report.perfetto.export import Exported, export, window_of
from ioprof.trace.reader import load_trace
from ioprof.trace.rundir import RUN_JSON
from ioprof.units import format_bytes, format_duration

_LARGE_EVENTS = 20_000_000
"""More than this takes a browser more memory than it is given; Perfetto's own trace_processor goes on."""


def perfetto_command(
    directory: Path, path: Path | None, *, merge: Path | None, window: str | None, as_json: bool
) -> int:
    """Write a run as a trace; where it stands goes to stdout.

    Raises:
        UsageError: flags without a file, no single run, or what `export` raises.
        RunDirectoryError: the run cannot be read, or the file not written.
    """
    if path is None:
        given = "--merge" if merge is not None else "--window"
        raise UsageError(f"{given}: of which trace? add --perfetto out.json.gz")
    asked_s = None if window is None else parsed_window(window)
    if directory.is_dir() and not (directory / RUN_JSON).is_file():
        below = sorted(one.parent.name for one in directory.glob(f"*/{RUN_JSON}"))
        if below:
            raise UsageError(f"{directory}: holds several runs; name one of them, such as {directory / below[0]}")
    trace = load_trace(directory)
    done = export(trace, path, window_of(trace, asked_s), merge)
    if as_json:
        print(json.dumps(asdict(done) | {"path": str(done.path)}, indent=2))
    else:
        _tell(done)
    return 0


def parsed_window(text: str) -> tuple[float | None, float | None]:
    """Return the seconds that ``START:END`` names; either may be left out.

    Raises:
        UsageError: it names no stretch of time.
    """
    first, colon, last = text.partition(":")
    try:
        start_s, end_s = (float(word.removesuffix("s")) if word.strip() else None for word in (first, last))
    except ValueError:
        start_s = end_s = math.nan
    given = [bound for bound in (start_s, end_s) if bound is not None]
    if not colon or any(not 0 <= bound < math.inf for bound in given) or not given or given != sorted(set(given)):
        raise UsageError(f"--window {text}: give seconds of the run as START:END, such as 10:12.5, 10: or :5")
    return start_s, end_s


def _tell(done: Exported) -> None:
    console = results()
    merged = "" if done.merged_events is None else f" and {f'{done.merged_events:,}'} of the other trace"
    console.print(
        f"{done.path}: {done.events:,} events{merged}, {format_bytes(done.size_bytes)}; "
        "open it in https://ui.perfetto.dev (it stays in your browser)",
        soft_wrap=True,
        markup=False,
    )
    if done.clock_error_ns is not None:
        console.print(
            f"both on one clock, at most {format_duration(done.clock_error_ns)} apart by ioprof's account",
            soft_wrap=True,
        )
    for note in done.notes:
        talk().print(note, soft_wrap=True, markup=False)
    if done.events > _LARGE_EVENTS:
        talk().print("That many events may be too much for a browser; --window START:END draws a part.", soft_wrap=True)
