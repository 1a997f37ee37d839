"""The live view's figures: what they leave out, and when there are none yet."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from trace_builder import MS, S, run_record, step_row

from ioprof.cli.live_view import plain
from ioprof.trace.follow import Follower
from ioprof.trace.kinds import Kind, Phase
from ioprof.trace.log_tail import LogTail
from ioprof.trace.raw import EPOCHS
from ioprof.trace.recorder import Recorder
from ioprof.trace.recordlog import RecordLog
from ioprof.trace.run_record import Scalar
from ioprof.trace.rundir import RAW, write_run_json
from ioprof.trace.schema import BATCHES, STEPS
from ioprof.trace.step_follow import StepFollower


def running(
    directory: Path,
    steps: list[dict[str, object]],
    *,
    warmup_steps: int = 0,
    run: dict[str, Scalar] | None = None,
    steps_per_epoch: int = 15,
) -> Path:
    """Write a run as it looks while it is under way; epochs last 1 ms beyond their steps."""
    raw = directory / RAW
    raw.mkdir()
    record = run_record(outcome="running", warmup_steps=warmup_steps, spec={"run": run or {}})
    workload = record.workload.model_copy(update={"steps_per_epoch": steps_per_epoch})
    write_run_json(directory, record.model_copy(update={"workload": workload}))
    log, events = RecordLog(raw / "steps-0.log", STEPS), RecordLog(raw / "epochs-0.log", EPOCHS)
    for row in steps:
        log.append(*(int(str(row[name])) for name in STEPS.names))
    for epoch in sorted({int(str(row["epoch"])) for row in steps}):
        own = [row for row in steps if row["epoch"] == epoch]
        for at_end, stamp in enumerate((int(str(own[0]["wait_start_ns"])), int(str(own[-1]["busy_end_ns"])) + MS)):
            event = {"epoch": epoch, "at_end": at_end, "time_ns": stamp}
            events.append(*(event.get(name, 0) for name in EPOCHS.names))
    log.close()
    events.close()
    return directory


def test_live_utilisation_leaves_out_the_pause_between_epochs(tmp_path: Path) -> None:
    """Half busy in both epochs; the three seconds of eviction between them are nobody's."""
    later = 3 * S
    steps = [
        step_row(0, 0, 5 * MS, 10 * MS),
        step_row(1, later, later + 5 * MS, later + 11 * MS, epoch=1),
    ]
    snapshot = Follower(running(tmp_path, steps)).snapshot()
    assert snapshot is not None
    assert snapshot.utilization == pytest.approx((5 + 6) / (10 + 1 + 11))
    assert snapshot.utilization_now == snapshot.utilization
    assert snapshot.samples_per_s == pytest.approx(128 / 0.022)


def test_live_utilisation_leaves_out_the_warmup(tmp_path: Path) -> None:
    """The slow first step is warm-up; until a step beyond it there is no utilisation."""
    steps = [step_row(0, 0, 90 * MS, 100 * MS), step_row(1, 100 * MS, 105 * MS, 110 * MS)]
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    warming = Follower(running(tmp_path / "one", steps[:1], warmup_steps=1)).snapshot()
    assert warming is not None
    assert warming.utilization is None
    measuring = Follower(running(tmp_path / "two", steps, warmup_steps=1)).snapshot()
    assert measuring is not None
    assert measuring.utilization == pytest.approx(0.5)


def test_operations_from_before_the_follower_are_in_no_rate(tmp_path: Path) -> None:
    """A rate needs two readings: what the first one found is the ground that the second one stands on."""
    directory = running(tmp_path, [step_row(0, 0, 5 * MS, 10 * MS)])
    recorder = Recorder(str(directory / RAW), rank=0, worker=0, span_budget=10**6)
    recorder.begin(Phase.STEADY, batch=0)
    recorder.record(Kind.READ, 0, 1000, 4096, 0, 0)
    recorder.end()
    recorder.close()
    snapshot = Follower(directory).snapshot()
    assert snapshot is not None
    assert (snapshot.iops, snapshot.bytes_per_s, snapshot.kinds) == (0, 0, [])


STEPS_OF_10_MS = [step_row(n, n * 10 * MS, n * 10 * MS + 5 * MS, (n + 1) * 10 * MS) for n in range(6)]
"""Two in the warm-up below; the epoch's last event is 1 ms after its last step."""


@pytest.mark.parametrize(
    ("run", "steps_per_epoch", "share", "left_ms"),
    [
        ({"epochs": 2}, 15, 6 / 30, 24 * 10),
        ({"epochs": 2}, 16, 6 / 32, 26 * 10),
        ({"duration": 244 * MS}, 15, 61 / 244, 183),
        ({"duration": 200 * MS, "epochs": 2}, 15, 61 / 200, 139),
        ({"duration": 60 * S, "epochs": 2}, 15, 6 / 30, 24 * 10),
        ({"steps": 12}, 15, 6 / 12, 6 * 10),
        ({"steps": 12, "epochs": 2}, 15, 6 / 12, 6 * 10),
        ({"steps": 60, "epochs": 2}, 15, 6 / 30, 24 * 10),
        ({"duration": 30 * MS}, 15, 1.0, 0),
        ({}, 15, None, None),
    ],
)
def test_what_is_done_and_left_is_told_by_whatever_ends_the_run(
    run: dict[str, Scalar], steps_per_epoch: int, share: float | None, left_ms: float | None, tmp_path: Path
) -> None:
    """Its epochs and the steps of one, or its duration; the end that comes first counts."""
    directory = running(tmp_path, STEPS_OF_10_MS, warmup_steps=2, run=run, steps_per_epoch=steps_per_epoch)
    snapshot = Follower(directory).snapshot()
    assert snapshot is not None
    assert snapshot.done_ratio == (None if share is None else pytest.approx(share))
    assert snapshot.left_ns == (None if left_ms is None else pytest.approx(left_ms * MS))
    shown = plain(snapshot)
    assert (f"{share:.0%}".replace("%", " %") + " done" in shown) if share is not None else "left" not in shown


def test_a_look_reads_only_what_came_since_the_last_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run of a million steps must not cost its view more than one of a hundred."""
    raw = running(tmp_path, [], run={}) / RAW
    log = RecordLog(raw / "many.log", STEPS)
    tail, read_bytes = LogTail(raw / "many.log", len(STEPS)), list[int]()
    pread = os.pread
    monkeypatch.setattr(os, "pread", lambda *args: read_bytes.append(args[1]) or pread(*args))
    for step in range(10_000):
        log.append(0, 0, step, *[0] * (len(STEPS) - 3))
    assert tail.fresh()[:, 2].tolist() == list(range(10_000))
    read_bytes.clear()
    for step in range(3):
        log.append(0, 0, step, *[0] * (len(STEPS) - 3))
    assert tail.fresh()[:, 2].tolist() == [0, 1, 2]
    assert sum(read_bytes) < 1 << 15
    assert len(tail.fresh()) == 0
    log.close()
    tail.close()


def test_many_looks_see_what_one_look_sees(tmp_path: Path) -> None:
    """However often somebody looks, totals and pauses between epochs come out the same."""
    later = 3 * S
    steps = [step_row(n, n * 10 * MS, n * 10 * MS + 4 * MS, (n + 1) * 10 * MS) for n in range(5)]
    steps += [
        step_row(n, later + n * 10 * MS, later + n * 10 * MS + 4 * MS, later + (n + 1) * 10 * MS, epoch=1)
        for n in range(5, 9)
    ]
    (tmp_path / "once").mkdir()
    (tmp_path / "often").mkdir()
    once = StepFollower(running(tmp_path / "once", steps) / RAW, 0, 2)
    once.look()
    raw = running(tmp_path / "often", steps) / RAW
    whole = (raw / "steps-0.log").read_bytes()
    width = (len(STEPS) + 1) * 8
    often = StepFollower(raw, 0, 2)
    for count in range(10):
        (raw / "steps-0.log").write_bytes(whole[: count * width].ljust(len(whole), bytes(1)))
        often.look()
    assert often.totals == once.totals
    assert often.recent() == once.recent()
    assert (once.totals.steps, once.totals.measured_steps, once.totals.measured_busy_ns) == (9, 7, 42 * MS)


def test_live_idle_time_is_charged_to_what_the_batch_was_made_of(tmp_path: Path) -> None:
    """Of 9 ms waited 6 passed before the batch was made: divided as its worker spent its time; 3 are hand-over."""
    steps = [step_row(0, 0, 9 * MS, 20 * MS, h2d=MS)]
    directory = running(tmp_path, steps)
    batch = {"fetch_start_ns": 0, "fetch_end_ns": 5 * MS, "collate_end_ns": 6 * MS, "storage_ns": 3 * MS, "prep_ns": MS}
    log = RecordLog(directory / RAW / "batches-0.log", BATCHES)
    log.append(*(batch.get(name, -1) for name in BATCHES.names))
    log.close()
    snapshot = Follower(directory).snapshot()
    assert snapshot is not None
    expected = {"storage": 3, "decode": 1, "collate": 1, "loader": 1, "hand-over": 3, "transfer": 1}
    assert snapshot.idle_by_cause == pytest.approx({cause: ms / 20 for cause, ms in expected.items()})
    assert sum(snapshot.idle_by_cause.values()) == pytest.approx(1 - (snapshot.utilization_now or 0))


def test_a_run_that_cannot_be_read_has_no_figures(tmp_path: Path) -> None:
    """The directory is gone or not there yet: nothing to show, nothing raised."""
    assert Follower(tmp_path / "missing").snapshot() is None
