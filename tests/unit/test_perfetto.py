"""A run as a trace for Perfetto: well formed, true to the stamps, on the clock of another trace where asked."""

from __future__ import annotations

import gzip
import json
import random
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from trace_builder import MS, Pipeline, S, make_trace, run_record, step_row, table

from ioprof.cli.perfetto import parsed_window
from ioprof.errors import RunDirectoryError, UsageError
from ioprof.report.perfetto.export import Exported, export, window_of
from ioprof.report.perfetto.packing import Lane, lanes_of, packed
from ioprof.report.perfetto.selection import WHOLE
from ioprof.report.perfetto.wall import wall_clock_of
from ioprof.trace import schema
from ioprof.trace.kinds import Kind
from ioprof.trace.run_record import EpochRecord
from ioprof.trace.trace import Trace
from tests.trace_events import Drawn, drawn

STEPS = 12
PIPELINE = Pipeline(fetch=[4 * MS, 9 * MS] * 6, prep=[MS] * STEPS, compute=[3 * MS] * STEPS, collate=MS, ipc=MS)


def span(worker: int, batch: int, start_ns: int, duration_ns: int, kind: Kind = Kind.READ) -> dict[str, object]:
    """Return one kept operation of 4 KiB."""
    return {
        "worker": worker, "batch": batch, "kind": int(kind), "start_ns": start_ns, "duration_ns": duration_ns,
        "bytes": 4096, "object": batch,
    }  # fmt: skip


def with_operations(trace: Trace) -> Trace:
    """Give each batch an open, inside of which it reads, and a decode behind it."""
    spans = []
    for row in trace.batches.to_pylist():
        start = row["fetch_start_ns"]
        spans.append(span(row["worker"], row["batch"], start, 2 * MS, Kind.OPEN))
        spans.append(span(row["worker"], row["batch"], start + MS // 2, MS))
        spans.append(span(row["worker"], row["batch"], row["fetch_end_ns"] - MS, MS, Kind.DECODE))
    random.Random(4).shuffle(spans)
    return replace(trace, spans=lambda: iter(table(schema.SPANS, spans).to_batches(max_chunksize=7)))


def exported(trace: Trace, path: Path, asked_s: tuple[float | None, float | None] | None = None) -> Drawn:
    """Write a trace, check it, and return it."""
    export(trace, path, window_of(trace, asked_s), None)
    return drawn(path)


def test_every_step_batch_and_operation_is_drawn_where_it_happened(tmp_path: Path) -> None:
    """A reader must find each stamp of the run again, to the nanosecond, on the track of who did it."""
    trace = with_operations(PIPELINE.trace())
    found = exported(trace, tmp_path / "out.json.gz")
    assert [(one.start_ns, one.end_ns) for one in found.on("accelerator H100", "busy")] == [
        (row["busy_start_ns"], row["busy_end_ns"]) for row in trace.steps.to_pylist()
    ]
    assert sum(one.end_ns - one.start_ns for one in found.on("step loop", "wait")) == sum(
        row["wait_end_ns"] - row["wait_start_ns"] for row in trace.steps.to_pylist()
    )
    for worker in range(2):
        own = [row for row in trace.batches.to_pylist() if row["worker"] == worker]
        batches = [one for one in found.on(f"worker {worker}") if one.name.startswith("batch ")]
        assert [(one.start_ns, one.end_ns, one.depth) for one in batches] == [
            (row["fetch_start_ns"], row["collate_end_ns"], 0) for row in own
        ]
        # batch > fetch > open > read
        depths = {name: {one.depth for one in found.on(f"worker {worker}", name)} for name in ("fetch", "open", "read")}
        assert depths == {"fetch": {1}, "open": {2}, "read": {3}}
        assert len(found.on(f"worker {worker}", "decode")) == len(own)


def test_idle_and_busy_fill_an_epoch_without_a_gap(tmp_path: Path) -> None:
    """What the picture shows as idle must add up to what the report says: all time that is not busy."""
    trace = PIPELINE.trace()
    track = exported(trace, tmp_path / "out.json").on("accelerator H100")
    assert {after.start_ns - before.end_ns for before, after in pairwise(track)} == {0}
    assert track[-1].end_ns - track[0].start_ns == PIPELINE.makespan_ns()


def test_the_pause_between_epochs_is_not_drawn_as_idle(tmp_path: Path) -> None:
    """Ioprof evicts caches there: the second epoch's idle time begins with the epoch."""
    later = 3 * S
    trace = make_trace(
        run_record(epochs=[EpochRecord(epoch=0, start_ns=0, end_ns=11 * MS),
                           EpochRecord(epoch=1, start_ns=later, end_ns=later + 20 * MS)]),
        steps=[step_row(0, 0, 5 * MS, 10 * MS), step_row(1, later, later + 5 * MS, later + 9 * MS, epoch=1)],
    )  # fmt: skip
    idle = exported(trace, tmp_path / "out.json").on("accelerator H100", "idle")
    assert [(one.start_ns, one.end_ns) for one in idle] == [(0, 5 * MS), (later, later + 5 * MS)]


def test_an_arrow_leads_from_each_batch_to_the_step_that_used_it(tmp_path: Path) -> None:
    """The question a timeline answers: whose batch was it that the accelerator waited for?"""
    found = exported(with_operations(PIPELINE.trace()), tmp_path / "out.json")
    assert len(found.flows) == STEPS
    for made, used in found.flows:
        assert made.name == f"batch {used.arguments['batch']}" and used.name == "busy"
        assert made.end_ns <= used.start_ns


def test_without_an_accelerator_the_arrows_lead_to_the_waits(tmp_path: Path) -> None:
    """There is nothing busy to lead to; the accelerator has no track and no counter."""
    trace = PIPELINE.trace()
    accelerator = trace.run.accelerator.model_copy(update={"name": "none", "busy_ns_per_batch": None})
    found = exported(
        replace(trace, run=trace.run.model_copy(update={"accelerator": accelerator})), tmp_path / "out.json"
    )
    assert not [one for one in found.slices if one.track.startswith("accelerator")]
    assert found.flows and {used.name for _, used in found.flows} == {"wait"}
    assert "accelerator idle %" not in {name for _, name in found.counters}


def test_operations_that_overlap_get_tracks_of_their_own(tmp_path: Path) -> None:
    """Threads read side by side: slices of one track must nest, or Perfetto drops them."""
    rows = PIPELINE.trace().batches.to_pylist()
    start = rows[0]["fetch_start_ns"]
    spans = [span(0, 0, start + n * MS // 4, 2 * MS) for n in range(5)]
    trace = replace(PIPELINE.trace(), spans=lambda: iter(table(schema.SPANS, spans).to_batches()))
    found = exported(trace, tmp_path / "out.json")
    tracks = [
        track
        for track in (f"worker 0{more}" for more in ("", " (2)", " (3)", " (4)", " (5)"))
        if found.on(track, "read")
    ]
    assert len(tracks) == 5
    assert sum(len(found.on(track, "read")) for track in tracks) == 5


def test_any_intervals_are_laid_out_so_that_they_nest(tmp_path: Path) -> None:
    """Whatever operations there are, none is lost and `drawn` finds no rule broken."""
    draw = random.Random(7)
    rows = PIPELINE.trace().batches.to_pylist()
    end = max(row["collate_end_ns"] for row in rows)
    for _ in range(30):
        spans = [
            span(
                draw.randrange(-2, 3),
                draw.randrange(-1, STEPS),
                draw.randrange(end),
                draw.choice([0, 1, draw.randrange(end)]),
            )
            for _ in range(60)
        ]
        trace = replace(PIPELINE.trace(), spans=lambda spans=spans: iter(table(schema.SPANS, spans).to_batches()))  # type: ignore[misc]
        found = exported(trace, tmp_path / "out.json")
        assert sum(one.name == "read" for one in found.slices) == 60


def test_a_lane_takes_what_nests_and_refuses_what_crosses() -> None:
    """Inside a piece, between pieces, inside another operation; never across an edge."""
    lane = Lane(np.array([10, 20]), np.array([20, 30]))
    asked = [(0, 10), (5, 11), (10, 20), (12, 15), (14, 16), (18, 21), (20, 22), (29, 31), (30, 31)]
    assert [lane.takes(*bounds) for bounds in asked] == [True, False, True, True, False, False, True, False, True]
    with pytest.raises(ValueError, match="overlap"):
        Lane(np.array([0, 5]), np.array([6, 9]))
    lanes = [Lane(np.zeros(0, np.int64), np.zeros(0, np.int64))]
    found = packed(lanes, np.zeros(3, np.int32), np.array([0, 1, 2]), np.array([5, 6, 7]))
    assert (found.tolist(), len(lanes)) == ([0, 1, 2], 3)
    assert lanes_of(np.array([0, 1, 5, 6]), np.array([5, 6, 9, 7])).tolist() == [0, 1, 0, 1]


def test_counters_say_what_the_tables_say(tmp_path: Path) -> None:
    """Queues are exact; means over time give back the totals they were made of."""
    trace = with_operations(PIPELINE.trace())
    found = exported(trace, tmp_path / "out.json").counters
    rows = trace.batches.to_pylist()
    for at_ns, ready in found[1, "batches ready"]:
        assert ready == sum(row["collate_end_ns"] <= at_ns < row["received_ns"] for row in rows)
    edges = np.arange(0, PIPELINE.makespan_ns() + 10 * MS, 10 * MS)
    widths = np.diff(np.minimum(edges, PIPELINE.makespan_ns())) / 1e9
    totals = {"samples 1/s": 64 * STEPS, "store operations 1/s": 2 * STEPS}
    for name, total in totals.items():
        points = dict(found[1, name])
        values, last = [], 0.0
        for edge in edges[:-1].tolist():
            values.append(last := points.get(edge, last))
        assert float((np.array(values) * widths).sum()) == pytest.approx(total, rel=1e-4)


def test_a_window_draws_what_reaches_into_it_and_nothing_else(tmp_path: Path) -> None:
    """Of a long run a part can be looked at; what lies in it partly is drawn whole."""
    trace = with_operations(PIPELINE.trace())
    part = exported(trace, tmp_path / "part.json", (0.02, 0.04))
    whole = exported(trace, tmp_path / "whole.json")
    inside = {str(one) for one in whole.slices if one.end_ns >= 20 * MS and one.start_ns < 40 * MS}
    shown = {str(one): one for one in part.slices}
    assert inside <= shown.keys() < {str(one) for one in whole.slices}
    # What else is shown are the other stages of a batch or a step of which one reaches into the window.
    assert {shown[one].name for one in shown.keys() - inside} <= {"fetch", "collate", "idle", "busy", "wait"}
    assert all(20 * MS <= at_ns < 40 * MS for points in part.counters.values() for at_ns, _ in points)
    with pytest.raises(UsageError, match="was over after"):
        window_of(trace, (100.0, None))


@pytest.mark.parametrize("text", ["3", "", ":", "a:b", "5:3", "3:3", "-1:2", "nan:", "1:2:3"])
def test_a_window_that_is_none_is_refused(text: str) -> None:
    """The one who typed it is told how to write it."""
    with pytest.raises(UsageError, match="START:END"):
        parsed_window(text)
    assert [parsed_window(good) for good in ("1:2.5", "3s:", ":4")] == [(1.0, 2.5), (3.0, None), (None, 4.0)]


def test_a_run_without_its_spans_says_so(tmp_path: Path) -> None:
    """Published runs leave them out: an empty track must not pass for a worker that read nothing."""
    trace = replace(PIPELINE.trace(), has_spans=False)
    done = export(trace, tmp_path / "out.json", WHOLE, None)
    assert "no operations" in done.notes[0]
    assert drawn(tmp_path / "out.json").on("worker 0", "fetch")


def test_saves_that_overlap_are_all_drawn(tmp_path: Path) -> None:
    """A save may be due before the one before it is durable."""
    saves = [
        {"step": n, "start_ns": n * 5 * MS, "blocked_end_ns": n * 5 * MS + MS, "durable_ns": n * 5 * MS + 8 * MS}
        for n in range(3)
    ]
    trace = PIPELINE.trace()
    found = exported(replace(trace, checkpoints=table(schema.CHECKPOINTS, saves)), tmp_path / "out.json")
    assert [len(found.on(track, "save")) for track in ("checkpoints", "checkpoints (2)")] == [2, 1]


OFFSET = 1_795_000_000 * S + 123_456
BASE = 1_790_857_026 * S


def torch_trace(path: Path, *, at_ns: int, base: bool = True, **members: object) -> Path:
    """Write what torch's profiler would: one operator that begins at a moment of the run and lasts 2 ms."""
    stamp = (at_ns + OFFSET - (BASE if base else 0)) / 1000
    events = [
        {"ph": "M", "name": "process_name", "pid": 4711, "tid": 0, "ts": stamp, "args": {"name": "python"}},
        {
            "ph": "X",
            "cat": "cpu_op",
            "name": 'aten::mm \u00b5 "x"',
            "pid": 4711,
            "tid": 250_001,
            "ts": stamp,
            "dur": 2000.0,
        },
    ]
    trace = {"schemaVersion": 1, **({"baseTimeNanoseconds": BASE} if base else {}), **members, "traceEvents": events,
             "traceName": "x"}  # fmt: skip
    data = json.dumps(trace, indent=2, ensure_ascii=False).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def merged(tmp_path: Path, other: Path, **clock: int) -> tuple[Exported, list[dict[str, object]]]:
    """Lay a trace beside the run; the run's clock is known but for what ``clock`` says."""
    facts = {"wall_offset_ns": OFFSET, "wall_offset_error_ns": 40} | clock
    run = run_record(clock=facts, epochs=[EpochRecord(epoch=0, start_ns=0, end_ns=PIPELINE.makespan_ns())])
    trace = replace(PIPELINE.trace(), run=run)
    done = export(trace, tmp_path / "both.json", WHOLE, other)
    return done, json.loads((tmp_path / "both.json").read_text())["traceEvents"]


@pytest.mark.parametrize(("name", "base"), [("torch.json", True), ("torch.json.gz", True), ("old.json", False)])
def test_a_torch_trace_and_the_run_share_one_clock(name: str, base: bool, tmp_path: Path) -> None:
    """What torch did at a moment of the run stands at that moment; its own events are passed on as they are."""
    first = PIPELINE.trace().steps.to_pylist()[0]
    other = torch_trace(tmp_path / name, at_ns=first["busy_start_ns"], base=base)
    done, events = merged(tmp_path, other, wall_offset_end_ns=OFFSET, wall_offset_end_error_ns=30)
    assert (done.merged_events, done.clock_error_ns, done.notes) == (2, 40, [])
    theirs, busy = events[1], next(one for one in events if one["name"] == "busy")
    # Unix time in microseconds as a float keeps a quarter of one.
    assert float(str(theirs["ts"])) == pytest.approx(float(str(busy["ts"])), abs=0.001 if base else 0.5, rel=0)
    assert theirs["name"] == 'aten::mm \u00b5 "x"'
    assert {one["pid"] for one in events[2:]}.isdisjoint({4711, 250_001})
    assert json.loads((tmp_path / "both.json").read_text())["schemaVersion"] == 1


def test_a_wall_clock_that_drifted_is_told_as_the_error(tmp_path: Path) -> None:
    """The clock was slewed by 5 ms over the run: in the middle by half of it, and no more is promised."""
    other = torch_trace(tmp_path / "torch.json", at_ns=0)
    done, _ = merged(tmp_path, other, wall_offset_end_ns=OFFSET + 5 * MS, wall_offset_end_error_ns=60)
    assert done.clock_error_ns == 60 + 5 * MS
    facts = {"wall_offset_ns": OFFSET, "wall_offset_error_ns": 1,
             "wall_offset_end_ns": OFFSET + 1000, "wall_offset_end_error_ns": 1}  # fmt: skip
    wall = wall_clock_of(facts, 0, 10_000)
    assert wall is not None
    assert [wall.unix_ns(at) - at - OFFSET for at in (-5, 0, 5000, 10_000, 20_000)] == [0, 0, 500, 1000, 1000]


def test_a_killed_run_says_that_its_drift_is_not_known(tmp_path: Path) -> None:
    """Nobody read the clocks at its end."""
    done, _ = merged(tmp_path, torch_trace(tmp_path / "torch.json", at_ns=0))
    assert "killed" in done.notes[0]


def test_traces_that_are_not_of_the_run_are_refused(tmp_path: Path) -> None:
    """Another hour, no trace at all, cut short, or nothing timed: one line, and no file is left."""
    (tmp_path / "cut.json").write_text(torch_trace(tmp_path / "torch.json", at_ns=0).read_text()[:-60])
    (tmp_path / "words.json").write_text("hello")
    (tmp_path / "none.json").write_text('{"traceEvents": []}')
    (tmp_path / "other.json").write_text('{"a": 1}')
    (tmp_path / "cut.json.gz").write_bytes(torch_trace(tmp_path / "t.json.gz", at_ns=0).read_bytes()[:-30])
    cases = {
        torch_trace(tmp_path / "late.json", at_ns=3600 * S): "not of this run",
        torch_trace(tmp_path / "early.json", at_ns=-3600 * S): "before the run began",
        tmp_path / "cut.json": "not a whole trace",
        tmp_path / "words.json": "not a whole trace",
        tmp_path / "none.json": "no timed events",
        tmp_path / "other.json": "no traceEvents",
        tmp_path / "missing.json": "No such file",
        tmp_path / "cut.json.gz": "cannot be read",
    }
    for path, words in cases.items():
        with pytest.raises(UsageError, match=words):
            merged(tmp_path, path)
    assert not (tmp_path / "both.json").exists() and not (tmp_path / "both.json.new").exists()


def test_a_run_that_does_not_know_the_wall_clock_is_not_merged(tmp_path: Path) -> None:
    """Runs from before it was kept: no guess by the second in which they began."""
    with pytest.raises(UsageError, match="does not say how its clock stood"):
        export(PIPELINE.trace(), tmp_path / "out.json", WHOLE, torch_trace(tmp_path / "torch.json", at_ns=0))


def test_a_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """The folder is not there."""
    with pytest.raises(RunDirectoryError, match="cannot be written"):
        export(PIPELINE.trace(), tmp_path / "none" / "out.json", WHOLE, None)


def test_the_same_run_gives_the_same_bytes(tmp_path: Path) -> None:
    """Neither the file's name nor the time is in it."""
    for name in ("a.json.gz", "b.json.gz"):
        export(PIPELINE.trace(), tmp_path / name, WHOLE, None)
    assert (tmp_path / "a.json.gz").read_bytes() == (tmp_path / "b.json.gz").read_bytes()
