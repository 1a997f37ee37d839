"""Idle time is charged to what made the batch late, all of it, and to nothing else."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trace_builder import MS, Pipeline, charged_ns, make_trace, run_record, step_row

from ioprof.analysis.attribution import Attribution
from ioprof.analysis.idle_causes import GROUPS
from ioprof.analysis.measured import RankSteps, measured_ranks
from ioprof.analysis.pipeline.pieces import Stage
from ioprof.trace.run_record import EpochRecord
from ioprof.trace.trace import Trace


def attributed(trace: Trace) -> tuple[dict[str, float], Attribution, list[RankSteps]]:
    """Return idle by cause and group in ns, the attribution, and the steps."""
    charged, found = charged_ns(trace)
    return charged, found, measured_ranks(trace.steps, trace.run)


def _all(charged: dict[str, float]) -> float:
    return sum(charged[group] for group in GROUPS)


def with_stage(pipeline: Pipeline, stage: str, pieces: list[int]) -> Pipeline:
    """Return the pipeline with one stage's durations replaced."""
    changed: dict[str, Any] = {stage: pieces}
    return dataclasses.replace(pipeline, **changed)


durations = st.integers(0, 40 * MS)


@st.composite
def pipelines(draw: st.DrawFn) -> Pipeline:
    """Draw a pipeline with stages of any length, zero included."""
    count = draw(st.integers(1, 40))
    lists = st.lists(durations, min_size=count, max_size=count)
    overhead = st.integers(0, 3 * MS)
    return Pipeline(
        fetch=draw(lists), prep=draw(lists), compute=draw(lists), workers=draw(st.integers(1, 4)),
        prefetch=draw(st.integers(1, 3)), collate=draw(overhead), ipc=draw(overhead), unwrap=draw(overhead),
        h2d=draw(overhead),
    )  # fmt: skip


@given(pipelines(), st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_parts_sum_to_the_idle_time(pipeline: Pipeline, warmup: int) -> None:
    """The causes add up to the idle time of the measured steps, and none is negative."""
    charged, _, ranks = attributed(pipeline.trace(warmup_steps=warmup))
    idle = sum(int(rank.idle_ns.sum()) for rank in ranks)
    assert _all(charged) == pytest.approx(idle, rel=1e-9, abs=1e-3)
    assert min(charged.values()) >= 0.0


@given(pipelines())
@settings(max_examples=60, deadline=None)
def test_nothing_is_unexplained_where_every_stamp_is_known(pipeline: Pipeline) -> None:
    """A pipeline without time of its own between the stages leaves nothing over."""
    charged, _, _ = attributed(pipeline.trace())
    assert charged["unexplained"] == pytest.approx(0.0, abs=1e-3)


@given(
    st.lists(
        st.fixed_dictionaries({
            "waited": durations, "copied": durations, "ran": durations, "gap": durations,
            "rank": st.integers(0, 2),
            "stamps": st.lists(st.integers(-1, 10**9), min_size=7, max_size=7), "epoch": st.booleans(),
        }),
        max_size=30,
    ),
    st.integers(0, 4),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_nonsense_stamps_never_break_the_sum(rows: list[dict[str, object]], warmup: int) -> None:
    """Stamps missing, contradictory, in any order: the parts still sum to the idle time."""
    charged, _, ranks = attributed(_nonsense(rows, warmup))
    idle = sum(int(rank.idle_ns.sum()) for rank in ranks)
    assert _all(charged) == pytest.approx(idle, rel=1e-9, abs=1e-3)
    assert min(charged.values()) >= 0.0


def _nonsense(rows: list[dict[str, object]], warmup: int) -> Trace:
    now, steps, batches, epochs, epoch = 0, [], [], {0: [0, 0]}, 0
    for number, row in enumerate(rows):
        start = now + int(row["gap"])  # type: ignore[call-overload]
        if row["epoch"]:
            epoch += 1
            epochs[epoch] = [start, start]
        held = start + int(row["waited"])  # type: ignore[call-overload]
        h2d = int(row["copied"])  # type: ignore[call-overload]
        now = held + h2d + int(row["ran"])  # type: ignore[call-overload]
        epochs[epoch][1] = now
        steps.append(step_row(number, start, held, now, h2d=h2d, epoch=epoch, rank=row["rank"]))  # type: ignore[arg-type]
        names = ("dispatch_ns", "fetch_start_ns", "fetch_end_ns", "collate_end_ns", "storage_ns", "prep_ns")
        stamps = {
            name: None if value < 0 else value
            for name, value in zip(names, row["stamps"], strict=False)  # type: ignore[call-overload]
        }
        batches.append({"rank": row["rank"], "batch": number, "worker": row["stamps"][6] % 3 - 1} | stamps)  # type: ignore[index]
    records = [EpochRecord(epoch=number, start_ns=low, end_ns=high) for number, (low, high) in epochs.items()]
    return make_trace(run_record(warmup_steps=warmup, epochs=records), steps=steps, batches=batches)


def test_a_pipeline_slow_in_storage_is_charged_to_fetch() -> None:
    """Where only storage is slow, fetch holds nearly all of the idle time."""
    charged, _, _ = attributed(Pipeline(fetch=[50 * MS] * 200, prep=[MS] * 200, compute=[10 * MS] * 200).trace())
    assert charged["storage"] / _all(charged) > 0.97


def test_a_pipeline_slow_in_decoding_is_charged_to_prep() -> None:
    """Where only decoding is slow, prep holds nearly all of the idle time."""
    charged, _, _ = attributed(Pipeline(fetch=[MS] * 200, prep=[50 * MS] * 200, compute=[10 * MS] * 200).trace())
    assert charged["prep"] / _all(charged) > 0.97


def test_background_work_is_charged_although_it_does_not_overlap_the_wait() -> None:
    """A batch late because of its first half, long before the wait, is charged to that half in full measure.

    One worker, 30 ms of storage, then 10 ms of decoding per batch, against 25 ms of compute: the accelerator
    waits 15 ms per step, only ever during decoding and the last of storage. By overlap, decoding would get 10
    of the 15; on the path it holds 10 of 40.
    """
    pipeline = Pipeline(fetch=[30 * MS] * 400, prep=[10 * MS] * 400, compute=[25 * MS] * 400, workers=1, prefetch=2)
    charged, _, _ = attributed(pipeline.trace())
    assert charged["prep"] / _all(charged) == pytest.approx(0.25, abs=0.01)


def test_work_hidden_behind_the_accelerator_is_charged_nothing() -> None:
    """Batches that lie ready cost no idle time: only unwrapping them is left."""
    pipeline = Pipeline(fetch=[5 * MS] * 100, prep=[5 * MS] * 100, compute=[50 * MS] * 100, unwrap=MS)
    charged, _, ranks = attributed(pipeline.trace(warmup_steps=4))
    assert charged["ipc"] == pytest.approx(sum(int(rank.idle_ns.sum()) for rank in ranks))


def test_the_copy_to_the_device_is_charged_to_transfer() -> None:
    """Time between holding a batch and having it on the device is transfer, even if batches lie ready."""
    pipeline = Pipeline(fetch=[MS] * 50, prep=[0] * 50, compute=[20 * MS] * 50, h2d=3 * MS)
    charged, _, _ = attributed(pipeline.trace(warmup_steps=4))
    assert charged["transfer"] == pytest.approx(46 * 3 * MS)


@pytest.mark.parametrize("stage", ["fetch", "prep", "compute"])
@pytest.mark.parametrize("shape", [(1, 1), (2, 2), (3, 1), (4, 4)])
def test_path_lengths_are_the_derivative_of_the_makespan(stage: str, shape: tuple[int, int]) -> None:
    """Speeding a stage up by 0.01 % saves 0.01 % of its length on the path: checked by finite differences."""
    rng = np.random.default_rng(shape[0] * 10 + shape[1])
    pieces = {name: (rng.lognormal(0, 0.5, 300) * 10 * MS).astype(int).tolist() for name in ("fetch", "prep")}
    compute = (rng.lognormal(0, 0.3, 300) * 8 * MS).astype(int).tolist()
    pipeline = Pipeline(**pieces, compute=compute, workers=shape[0], prefetch=shape[1], collate=MS)
    faster = [round(value * (1 - 1e-4)) for value in getattr(pipeline, stage)]
    saved = pipeline.makespan_ns() - with_stage(pipeline, stage, faster).makespan_ns()
    _, walk, _ = attributed(pipeline.trace())
    path = walk.path_ns
    total = pipeline.makespan_ns() - path.sum()
    expected = {"fetch": path[Stage.OTHER_STORAGE], "prep": path[Stage.DECODE], "compute": total}[stage]
    assert saved / 1e-4 == pytest.approx(expected, rel=0.02, abs=0.01 * pipeline.makespan_ns())


@given(pipelines(), st.sampled_from(["fetch", "prep"]))
@settings(max_examples=40, deadline=None)
def test_removing_a_stage_never_adds_idle(pipeline: Pipeline, stage: str) -> None:
    """A stage that costs nothing cannot make the accelerator wait longer: the run never gets longer."""
    free = with_stage(pipeline, stage, [0] * len(pipeline.fetch))
    _, _, before = attributed(pipeline.trace())
    _, _, after = attributed(free.trace())
    assert after[0].idle_ns.sum() <= before[0].idle_ns.sum()


def test_unknown_stamps_leave_the_wait_unexplained() -> None:
    """A loader that cannot say when it worked explains nothing, and nothing is guessed."""
    steps = [step_row(0, 0, 5 * MS, 15 * MS), step_row(1, 15 * MS, 20 * MS, 30 * MS)]
    charged, _, _ = attributed(make_trace(steps=steps, batches=[{"batch": 0}, {"batch": 1}]))
    assert charged["unexplained"] == pytest.approx(10 * MS)


def test_the_old_epochs_tail_is_start_up_and_the_pause_is_nobodys() -> None:
    """Between epochs: closing down and coming up again is idle, ioprof's own pause is not idle at all."""
    steps = [step_row(0, 0, 0, 10 * MS), step_row(1, 100 * MS, 104 * MS, 114 * MS, epoch=1)]
    epochs = [
        EpochRecord(epoch=0, start_ns=0, end_ns=13 * MS),
        EpochRecord(epoch=1, start_ns=100 * MS, end_ns=114 * MS),
    ]
    made: dict[str, object] = {"worker": 0, "storage_ns": 2 * MS, "prep_ns": 0}
    second: dict[str, object] = made | {
        "batch": 1, "dispatch_ns": 101 * MS, "fetch_start_ns": 101 * MS, "fetch_end_ns": 103 * MS,
        "collate_end_ns": 103 * MS,
    }  # fmt: skip
    charged, _, ranks = attributed(make_trace(run_record(epochs=epochs), steps=steps, batches=[second]))
    assert ranks[0].idle_ns.tolist() == [0, 7 * MS]
    assert charged["start_up"] == pytest.approx(3 * MS + MS)
    assert charged["storage"] == pytest.approx(2 * MS)
    assert charged["ipc"] == pytest.approx(MS)
