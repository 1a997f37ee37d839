"""A run directory as one trace file, alone or together with torch's profiler's trace of the same run."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ioprof.errors import UsageError
from ioprof.report.perfetto.events import EventWriter, trace_file
from ioprof.report.perfetto.merge import ForeignTrace, ForeignTraceError, foreign_events
from ioprof.report.perfetto.ranks import RunDrawing
from ioprof.report.perfetto.selection import WHOLE, Window, last_ns, zero_ns
from ioprof.report.perfetto.wall import WallClock, wall_clock_of
from ioprof.trace.trace import Trace

_NUMBERS_APART = 100_000
"""Processes of the run are numbered from the next multiple behind those of the other trace."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What was written."""

    path: Path
    size_bytes: int
    events: int
    """Of the run; those of the other trace are not among them."""
    merged_events: int | None
    """Of the other trace; None: there was none."""
    clock_error_ns: int | None
    """How far the two may be apart; None: nothing was merged."""
    notes: list[str]
    """What a reader must know, each one sentence."""


def window_of(trace: Trace, asked_s: tuple[float | None, float | None] | None) -> Window:
    """Return the stretch of time to draw.

    Args:
        trace: the run.
        asked_s: seconds of the run, from where to where; None: from its beginning, or to its end; None: all of it.

    Raises:
        UsageError: the run is over before it begins.
    """
    if asked_s is None:
        return WHOLE
    first_s, last_s = asked_s
    zero, end = zero_ns(trace), last_ns(trace)
    start_ns = zero + round((first_s or 0.0) * 1e9)
    if start_ns >= end:
        raise UsageError(
            f"--window: begins at second {first_s:g}, but the run was over after {(end - zero) / 1e9:.1f} s; "
            "give seconds of the run, such as 0:10"
        )
    return Window(
        start_ns=start_ns if first_s is not None else WHOLE.start_ns,
        end_ns=WHOLE.end_ns if last_s is None else zero + round(last_s * 1e9),
    )


def export(trace: Trace, path: Path, window: Window, merge: Path | None) -> Exported:
    """Write a run as a trace; with ``merge``, behind the events of that one, and on its clock.

    Raises:
        UsageError: the other trace cannot be read, is of another time, or the run does not know the wall clock.
        RunDirectoryError: the file cannot be written.
    """
    wall = wall_clock_of(trace.run.clock, zero_ns(trace), last_ns(trace))
    if merge is not None and wall is None:
        raise UsageError(
            "--merge: run.json of this run does not say how its clock stood against the wall clock; "
            "record the run anew with this ioprof"
        )
    other = ForeignTrace() if merge is not None else None
    with trace_file(path) as write:
        write('{"traceEvents":[\n')
        if merge is not None and other is not None and wall is not None:
            _copy(merge, other, write)
            _refuse_another_time(merge, other, wall)
        drawing = RunDrawing(trace, window, _first_process(other))
        writer = EventWriter(write, _clock(trace, drawing, wall, other), follows=other is not None and other.events > 0)
        drawing.write(writer)
        writer.flush()
        write("\n]" + _tail(trace, window, wall, other) + "}\n")
    return Exported(
        path=path,
        size_bytes=path.stat().st_size,
        events=writer.events,
        merged_events=None if other is None else other.events,
        clock_error_ns=None if other is None or wall is None else wall.error_ns,
        notes=[*drawing.notes, *_clock_notes(trace, other, wall)],
    )


def _copy(path: Path, other: ForeignTrace, write: Callable[[str], object]) -> None:
    pending: list[str] = []
    separator = ""
    for event in foreign_events(path, other):
        pending.append(json.dumps(event, separators=(",", ":")))
        if len(pending) >= 4096:
            write(separator + ",\n".join(pending))
            pending.clear()
            separator = ",\n"
    if pending:
        write(separator + ",\n".join(pending))


def _refuse_another_time(path: Path, other: ForeignTrace, wall: WallClock) -> None:
    """Raise if the two traces have no moment in common: they cannot be of the same run."""
    if other.first_us is None or other.last_us is None:
        raise ForeignTraceError(f"{path}: has no timed events: nothing to lay beside the run")
    first_ns = other.base_ns + round(other.first_us * 1000)
    last_seen_ns = other.base_ns + round(other.last_us * 1000)
    start_ns, end_ns = wall.unix_ns(wall.start_ns), wall.unix_ns(wall.end_ns)
    if first_ns > end_ns or last_seen_ns < start_ns:
        apart_s = max(first_ns - end_ns, start_ns - last_seen_ns) / 1e9
        when = "after the run's last step" if first_ns > end_ns else "before the run began"
        raise ForeignTraceError(f"{path}: its events lie {apart_s:,.1f} s {when}: it is not of this run")


def _first_process(other: ForeignTrace | None) -> int:
    return 1 if other is None else (other.highest_process // _NUMBERS_APART + 1) * _NUMBERS_APART


def _clock(
    trace: Trace, drawing: RunDrawing, wall: WallClock | None, other: ForeignTrace | None
) -> Callable[[int], int]:
    """Return what turns a stamp of the run into one of the trace; none is negative."""
    if other is not None and wall is not None:
        base_ns, as_unix = other.base_ns, wall.unix_ns
        return lambda at_ns: as_unix(at_ns) - base_ns
    # Small numbers: readers keep microseconds as floats, which hold nanoseconds for a hundred days only.
    zero = min(zero_ns(trace), drawing.earliest_ns)
    return lambda at_ns: at_ns - zero


def _clock_notes(trace: Trace, other: ForeignTrace | None, wall: WallClock | None) -> list[str]:
    if other is None or wall is None:
        return []
    notes = []
    if wall.is_open:
        notes.append("The run was killed: how far the two clocks drifted apart until its end is not known.")
    theirs, ours = other.header.get("host_name"), trace.run.host.get("hostname")
    if theirs and ours and theirs != ours:
        notes.append(f"The other trace is of host {theirs}, the run of {ours}: their wall clocks may differ by more.")
    return notes


def _tail(trace: Trace, window: Window, wall: WallClock | None, other: ForeignTrace | None) -> str:
    """Return the members behind the events: the other trace's own, and what the run's mean."""
    told = dict(other.header) if other is not None else {}
    told.setdefault("displayTimeUnit", "ms")
    zero = zero_ns(trace)
    run: dict[str, object] = {
        "ioprof_version": trace.run.ioprof_version,
        "workload": trace.run.workload.name,
        "loader": trace.run.loader,
        "started_utc": trace.run.started_utc,
        "outcome": trace.run.outcome,
        "sample_every": trace.run.sample_every,
        "run_start_unix_ns": None if wall is None else wall.unix_ns(zero),
        "clock_error_ns": None if wall is None else wall.error_ns,
        "window_s": None if window == WHOLE else [(at_ns - zero) / 1e9 for at_ns in (window.start_ns, window.end_ns)],
    }
    beside = told.get("otherData")
    told["otherData"] = (beside if isinstance(beside, dict) else {}) | {"ioprof": json.dumps(run)}
    return "".join(f",\n{json.dumps(name)}:{json.dumps(value)}" for name, value in told.items())
