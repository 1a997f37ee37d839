"""What saves cost: charged to their own cause, beside the rest and not twice; and their own figures."""

from __future__ import annotations

import dataclasses
import errno

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trace_builder import MS, Pipeline, S, charged_ns, make_trace, operation_row, run_record, step_row

from ioprof.analysis.measured import measured_ranks
from ioprof.analysis.pipeline.pieces import Stage
from ioprof.analysis.summarise import summarise
from ioprof.analysis.summary import CheckpointStats, Summary
from ioprof.report.terminal import render
from ioprof.trace.kinds import CHECKPOINT_BATCH, Kind, Phase
from ioprof.trace.run_record import EpochRecord, RunRecord
from ioprof.trace.trace import Trace
from tests.unit.test_analysis_measured import au_of

ASKED = {"every": 4, "size": 1 << 20, "shards": 2, "mode": "sync", "fsync": True}


def save_row(step: int, start: int, blocked_end: int, **changes: object) -> dict[str, object]:
    """Return a save of a gigabyte that was durable when the loop went on."""
    row: dict[str, object] = {
        "step": step, "start_ns": start, "blocked_end_ns": blocked_end, "durable_ns": blocked_end,
        "bytes": 10**9, "shards": 2,
    }  # fmt: skip
    return row | changes


def record(**changes: object) -> RunRecord:
    """Return a run that was to save checkpoints."""
    # No step takes longer than asked.
    plain = run_record(**{"busy_ns": S} | changes)  # type: ignore[arg-type]
    return plain.model_copy(update={"spec": plain.spec | {"checkpoint": ASKED}})


def saving(steps: list[dict[str, object]], saves: list[dict[str, object]], **changes: object) -> Trace:
    """Return a run of these steps and saves in one epoch."""
    end = max(int(str(steps[-1]["busy_end_ns"])), *(int(str(row["blocked_end_ns"])) for row in saves))
    run = record(epochs=[EpochRecord(epoch=0, start_ns=0, end_ns=end)], **changes)
    return make_trace(run, steps=steps, checkpoints=saves)


def charged(trace: Trace) -> dict[str, float]:
    """Return idle by cause in ns."""
    return charged_ns(trace)[0]


def unaccounted(trace: Trace) -> Trace:
    """Return a trace without the kernel's accounting of its batches."""
    batches = trace.batches
    for name in ("fetch_on_cpu_ns", "fetch_run_queue_ns"):
        nothing = pa.nulls(batches.num_rows, pa.int64())
        batches = batches.set_column(batches.schema.get_field_index(name), batches.schema.field(name), nothing)
    return dataclasses.replace(trace, batches=batches)


def all_ns(found: dict[str, float]) -> float:
    """Return the sum over all causes."""
    return sum(found[stage.key] for stage in Stage)


def stats(summary: Summary) -> CheckpointStats:
    """Return the figures of the checkpoints, which there must be."""
    assert summary.checkpoints is not None
    return summary.checkpoints


def shifted(pipeline: Pipeline, after: list[int], lasting: int) -> Trace:
    """Return a pipeline's trace with its step loop held up after some steps, everything later pushed back as a whole.

    What is pushed back keeps its own idle time; each save adds its own.
    """
    steps, batches = pipeline.rows()
    saves: list[dict[str, object]] = []
    for step in after:
        start = int(str(steps[step]["busy_end_ns"]))
        saves.append(save_row(step, start, start + lasting))
        for row in [*steps[step + 1 :], *batches[step + 1 :]]:
            for key, value in row.items():
                if key.endswith("_ns") and isinstance(value, int) and value >= start and key not in _DURATIONS:
                    row[key] = value + lasting
    end = int(str(steps[-1]["busy_end_ns"]))
    run = record(epochs=[EpochRecord(epoch=0, start_ns=0, end_ns=end)])
    return make_trace(run, steps=steps, batches=batches, checkpoints=saves)


_DURATIONS = ("storage_ns", "prep_ns", "on_cpu_ns", "run_queue_ns", "blocked_ns")
durations = st.integers(0, 40 * MS)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), count=st.integers(2, 25), lasting=st.integers(0, 500 * MS), warmup=st.integers(0, 3))
def test_parts_sum_to_the_idle_time_whatever_is_saved(
    data: st.DataObject, count: int, lasting: int, warmup: int
) -> None:
    """The causes add up, none is negative, and a save is charged at most what it took."""
    lists = st.lists(durations, min_size=count, max_size=count)
    pipeline = Pipeline(
        fetch=data.draw(lists), prep=data.draw(lists), compute=data.draw(lists), unwrap=data.draw(st.integers(0, MS))
    )
    after = sorted(data.draw(st.sets(st.integers(0, count - 1), max_size=4)))
    trace = shifted(pipeline, after, lasting)
    trace = dataclasses.replace(trace, run=trace.run.model_copy(update={"warmup_steps": warmup}))
    ranks = measured_ranks(trace.steps, trace.run, trace.checkpoints)
    found = charged(trace)
    assert all_ns(found) == pytest.approx(sum(int(rank.idle_ns.sum()) for rank in ranks), rel=1e-9, abs=1e-3)
    assert min(found.values()) >= 0.0
    inside = [step for step in after if warmup - 1 <= step < count - 1]
    assert found["checkpoint"] == pytest.approx(len(inside) * lasting, rel=1e-9)


@settings(max_examples=40, deadline=None)
@given(lists=st.integers(3, 20).flatmap(lambda n: st.tuples(*[st.lists(durations, min_size=n, max_size=n)] * 3)))
def test_saves_leave_the_other_causes_as_they_were(lists: tuple[list[int], list[int], list[int]]) -> None:
    """Held up as a whole, a pipeline waits for storage and CPU as long as before, and no longer.

    Not asked here is the kernel, which would call a worker that was held up amid a batch blocked by nothing known.
    """
    pipeline = Pipeline(fetch=lists[0], prep=lists[1], compute=lists[2], workers=1, prefetch=1)
    before, after = charged(unaccounted(pipeline.trace())), charged(unaccounted(shifted(pipeline, [], 0)))
    assert after == before
    held_up = charged(unaccounted(shifted(pipeline, [1], 300 * MS)))
    assert held_up["checkpoint"] == pytest.approx(300 * MS)
    assert all_ns(held_up) == pytest.approx(all_ns(before) + 300 * MS, rel=1e-9, abs=1e-3)
    assert held_up["unexplained"] == pytest.approx(before["unexplained"], abs=1e-3)


def test_a_wait_behind_a_save_is_not_charged_to_both() -> None:
    """Ten milliseconds of save, then five of waiting for a batch: fifteen idle, and ten of them the save's."""
    steps = [step_row(0, 0, 0, 20 * MS), step_row(1, 30 * MS, 35 * MS, 55 * MS)]
    found = charged(saving(steps, [save_row(0, 20 * MS, 30 * MS)]))
    assert (found["checkpoint"], all_ns(found)) == (10 * MS, 15 * MS)


def test_a_save_at_the_end_of_an_epoch_is_no_part_of_its_tail() -> None:
    """The time after it, in which the loader closes down, is not the save's."""
    steps = [step_row(0, 0, 0, 20 * MS), step_row(1, 60 * MS, 60 * MS, 80 * MS, epoch=1)]
    epochs = [EpochRecord(epoch=0, start_ns=0, end_ns=33 * MS), EpochRecord(epoch=1, start_ns=50 * MS, end_ns=80 * MS)]
    trace = make_trace(record(epochs=epochs), steps=steps, checkpoints=[save_row(0, 20 * MS, 30 * MS)])
    found = charged(trace)
    assert (found["checkpoint"], found["start_up"], found["unexplained"]) == (10 * MS, 3 * MS, 10 * MS)


def test_the_last_save_lies_outside_of_the_window() -> None:
    """Training is over when it begins: it is counted, and costs no utilisation."""
    steps = [step_row(step, step * 20 * MS, step * 20 * MS, (step + 1) * 20 * MS) for step in range(4)]
    summary = summarise(saving(steps, [save_row(3, 80 * MS, 180 * MS)]))
    assert (summary.accelerator_utilization, stats(summary).blocked_s, stats(summary).saves) == (1.0, 0.0, 1)


def test_bandwidth_is_of_the_saving_and_not_of_the_waiting_before() -> None:
    """A save that was due while another ran is timed from when it could begin; what it waited for is apart."""
    steps = [step_row(step, step * S, step * S, (step + 1) * S) for step in range(8)]
    saves = [
        save_row(1, 2 * S, 2 * S + 10 * MS, durable_ns=3 * S, mode=1),
        save_row(3, 4 * S, 4 * S + 500 * MS, waited_ns=400 * MS, durable_ns=5 * S + 400 * MS, mode=1),
        save_row(5, 6 * S, 6 * S + 1, durable_ns=None, bytes=0, error=errno.ECANCELED, mode=1),
        {"step": 3, "kind": 1, "start_ns": 9 * S, "blocked_end_ns": 9 * S + 500 * MS, "bytes": 10**9},
    ]
    summary = summarise(saving(steps, saves))
    found = stats(summary)
    assert (found.saves, found.restores, found.failed, found.waited) == (2, 1, 1, 1)
    assert found.save_bytes_per_s == pytest.approx(2e9 / 2.0)
    assert found.restore_bytes_per_s == pytest.approx(2e9)
    assert found.waited_s == pytest.approx(0.4)
    assert found.save_s is not None
    assert found.blocked_per_save_s is not None
    assert (found.save_s.min, found.save_s.max) == pytest.approx((1.0, 1.0))
    assert (found.blocked_per_save_s.min, found.blocked_per_save_s.max) == pytest.approx((0.01, 0.5))


def test_standing_still_is_the_share_of_the_wall_that_idle_time_says() -> None:
    """Both are the same seconds."""
    steps = [step_row(0, 0, 0, S), step_row(1, 2 * S, 2 * S, 3 * S), step_row(2, 3 * S, 3 * S, 4 * S)]
    summary = summarise(saving(steps, [save_row(0, S, 2 * S)]))
    assert summary.idle_by_cause is not None
    assert stats(summary).blocked_s == summary.idle_by_cause.checkpoint == 1.0
    assert stats(summary).share_of_wall == pytest.approx(0.25)
    report = "\n".join(line.plain for line in render(summary, record(), 200))
    assert "1 save of 954 MiB in 2 files (sync): 954 MiB/s, 1 s each" in report
    assert "the step loop stood still 1 s each; 25.0 % of the time" in report


def test_a_checkpoint_ends_a_block_of_mlperfs_formula() -> None:
    """Its time is in none; each block drops its own first step; blocks count by their steps."""
    starts = [0, 10, 20, 30, 140, 150, 160]
    steps = [step_row(step, start, start, start + 8) for step, start in enumerate(starts)]
    epochs = [EpochRecord(epoch=0, start_ns=0, end_ns=200)]
    trace = make_trace(record(epochs=epochs), steps=steps, checkpoints=[save_row(3, 38, 138)])
    ranks = measured_ranks(trace.steps, trace.run, trace.checkpoints)
    first, second = 3 * 8 / (38 - 8), 2 * 8 / (200 - 138 - 8)
    assert au_of(ranks, epochs) == pytest.approx((4 * first + 3 * second) / 7)


def test_blocks_too_short_for_their_formula_are_left_out_beside_longer_ones() -> None:
    """Where all are too short, that is the reason why there is none."""
    steps = [step_row(step, 10 * step, 10 * step, 10 * step + 8) for step in range(6)]
    epochs = [EpochRecord(epoch=0, start_ns=0, end_ns=60)]

    def au(*after: int) -> float | str:
        saves = [save_row(step, 10 * step + 8, 10 * step + 9) for step in after]
        trace = make_trace(record(epochs=epochs), steps=steps, checkpoints=saves)
        return au_of(measured_ranks(trace.steps, trace.run, trace.checkpoints), epochs)

    assert au(3) == pytest.approx(3 * 8 / (38 - 8))
    assert au(1, 3) == "epoch 0 has too few steps between checkpoints; their formula needs 3"


def test_operations_of_checkpoints_are_apart_from_those_of_samples() -> None:
    """Neither their counts nor their errors are taken for the samples'."""
    steps = [step_row(0, 0, 0, S), step_row(1, 2 * S, 2 * S, 3 * S)]
    operations = [
        operation_row(Kind.READ, [1000] * 4, size=4096),
        operation_row(Kind.READ, [MS], size=1 << 20, phase=Phase.CHECKPOINT, worker=-3),
        operation_row(Kind.FSYNC, [MS] * 2, phase=Phase.CHECKPOINT, errors=1, worker=-3),
    ]
    span = {"worker": -3, "batch": CHECKPOINT_BATCH, "kind": int(Kind.FSYNC), "error": errno.EIO}
    trace = dataclasses.replace(
        make_trace(record(outcome="failed"), steps=steps, operations=operations, spans=[span]),
        checkpoints=saving(steps, [save_row(0, S, 2 * S)]).checkpoints,
    )
    summary = summarise(trace)
    assert (summary.operations["read"].count, summary.operations["read"].bytes) == (4, 4 * 4096)
    assert set(stats(summary).operations) == {"read", "fsync"}
    assert stats(summary).operations["fsync"].errors == 1
    assert summary.errors == {}


def test_a_run_without_its_first_checkpoint_says_so() -> None:
    """One sentence with the number of steps; the figures are null, each with its reason."""
    steps = [step_row(0, 0, 0, S), step_row(1, S, S, 2 * S)]
    summary = summarise(make_trace(record(), steps=steps))
    assert any("No checkpoint was saved: one is due every 4 steps" in caveat for caveat in summary.caveats)
    assert (stats(summary).saves, stats(summary).save_bytes_per_s) == (0, None)
    assert summary.reasons["checkpoints.save_bytes_per_s"] == "no checkpoint was saved"
    assert all("checkpoints" not in line.plain for line in render(summary, record(), 200))


def test_unsynced_saves_are_not_taken_for_the_stores_speed() -> None:
    """A caveat says whose bandwidth it is."""
    steps = [step_row(0, 0, 0, S), step_row(1, 2 * S, 2 * S, 3 * S)]
    trace = saving(steps, [save_row(0, S, 2 * S)])
    run = trace.run.model_copy(update={"spec": trace.run.spec | {"checkpoint": ASKED | {"fsync": False}}})
    assert any("not synced" in caveat for caveat in summarise(dataclasses.replace(trace, run=run)).caveats)


def test_a_run_that_saves_nothing_has_no_such_figures() -> None:
    """Null, and why."""
    summary = summarise(make_trace(steps=[step_row(0, 0, 0, S)]))
    assert summary.checkpoints is None
    assert summary.reasons["checkpoints"] == "no checkpoints were asked for (--checkpoint-every)"
