"""Predictions from traces of simulated pipelines, whose truth with something changed is another simulation."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trace_builder import MS, Pipeline, make_trace, run_record

from ioprof.analysis.pipeline.change import Change
from ioprof.analysis.pipeline.model import PipelineModel, Prediction
from ioprof.analysis.pipeline.pieces import Stage
from ioprof.errors import RunError, UsageError
from ioprof.trace.trace import Trace

COUNT = 600
ROOMY = {"affinity_cores": 64}
DRAWN = np.random.default_rng(3)
FETCH = (DRAWN.lognormal(0.0, 0.8, COUNT) * 12 * MS).astype(int).tolist()


def pipeline(**changes: object) -> Pipeline:
    """Return a starved pipeline of two workers whose fetches vary much."""
    made = {"fetch": FETCH, "prep": [MS] * COUNT, "compute": [2 * MS] * COUNT, "ipc": MS // 2}
    return Pipeline(**(made | changes))  # type: ignore[arg-type]


def traced(run: Pipeline, **changes: object) -> Trace:
    """Return its trace, on a host with CPUs to spare."""
    loader = {"name": "torch-map", "workers": run.workers, "prefetch": run.prefetch, "batch_size": 64}
    asked = {"busy_ns": run.compute[0], "host": ROOMY, "spec": {"loader": loader}}
    return run.trace(**(asked | changes))


@pytest.fixture(scope="module")
def model() -> PipelineModel:
    """Return the model of the starved pipeline."""
    return PipelineModel.of(traced(pipeline()))


def rate_per_s(run: Pipeline, samples: int = 64) -> float:
    """Return what it delivers between the filling of the pipeline and its running dry."""
    ends = [int(row["busy_end_ns"]) for row in run.rows()[0]]  # type: ignore[call-overload]
    ahead = run.workers * run.prefetch
    return samples * (len(ends) - 2 * ahead) / (ends[-ahead - 1] - ends[ahead - 1]) * 1e9


@pytest.mark.parametrize(
    ("asked", "truth"),
    [
        (Change(), {}),
        (Change(workers=1), {"workers": 1}),
        (Change(workers=4), {"workers": 4}),
        (Change(workers=8, prefetch=4), {"workers": 8, "prefetch": 4}),
        (Change(prefetch=1), {"prefetch": 1}),
        (Change(store_latency_factor=0.5), {"fetch": [ns // 2 for ns in FETCH]}),
        (Change(stage_factors={Stage.DECODE: 9.0}), {"prep": [9 * MS] * COUNT}),
        (Change(busy_ns_per_batch=12 * MS), {"compute": [12 * MS] * COUNT}),
        (Change(busy_ns_per_batch=3 * MS, workers=8), {"compute": [3 * MS] * COUNT, "workers": 8}),
    ],
)
def test_a_changed_pipeline_is_predicted_from_the_trace_of_another(
    model: PipelineModel, asked: Change, truth: dict[str, object]
) -> None:
    """The replay knows neither the simulation nor its costs: it has the stamps alone."""
    found = model.predict(asked)
    assert found.samples_per_s == pytest.approx(rate_per_s(pipeline(**truth)), rel=0.03)


def test_the_replay_of_a_run_as_it_was_is_the_run(model: PipelineModel) -> None:
    """Utilisation and rate come out as they were measured, and the interval holds them."""
    found = model.predict(Change())
    assert found.samples_per_s == pytest.approx(model.delivered.samples_per_s, rel=0.02)
    assert found.accelerator_utilization == pytest.approx(model.delivered.accelerator_utilization, rel=0.02)
    low, high = found.samples_per_s_ci95 or (math.nan, math.nan)
    assert low < model.delivered.samples_per_s < high


def test_a_mean_of_the_batches_would_be_wrong_where_they_vary(model: PipelineModel) -> None:
    """In order, eight workers with batches this uneven deliver a good deal less than eight times one does."""
    one, eight = (rate_per_s(pipeline(workers=workers, compute=[1] * COUNT)) for workers in (1, 8))
    found = model.predict(Change(workers=8, busy_ns_per_batch=0))
    assert eight < 0.8 * 8 * one
    assert found.samples_per_s == pytest.approx(eight, rel=0.05)


def test_work_that_overloads_the_cpus_stretches() -> None:
    """Four workers of 9 ms computing on two CPUs deliver what two CPUs can do, whatever one worker delivered alone."""
    run = pipeline(fetch=[MS] * COUNT, prep=[9 * MS] * COUNT, compute=[MS // 10] * COUNT, ipc=0, workers=1)
    model = PipelineModel.of(traced(run, host={"affinity_cores": 2}))
    assert model.predict(Change(workers=4)).samples_per_s == pytest.approx(64 / 4.5e-3, rel=0.05)
    assert model.predict(Change(workers=4, cores=8.0)).samples_per_s == pytest.approx(64 / 2.5e-3, rel=0.05)


def test_larger_batches_take_as_long_for_each_sample(model: PipelineModel) -> None:
    """Twice the samples, half the batches, each as long as two were: on the accelerator too."""
    pairs = [FETCH[k] + FETCH[k + 1] for k in range(0, COUNT, 2)]
    half = COUNT // 2
    truth = pipeline(fetch=pairs, prep=[2 * MS] * half, compute=[4 * MS] * half)
    found = model.predict(Change(batch_size=128))
    assert found.samples_per_s == pytest.approx(rate_per_s(truth, 128), rel=0.03)
    assert any("grows with its samples" in told for told in found.assumptions)


def test_ranks_and_hosts_multiply_the_rate_and_wait_for_each_other(model: PipelineModel) -> None:
    """Four ranks deliver less than four times one: each step waits for the slowest of them."""
    one, four = (model.predict(Change(ranks_per_host=ranks)) for ranks in (1, 4))
    assert 2.0 < four.samples_per_s / one.samples_per_s < 3.8
    assert model.predict(Change(hosts=2)).samples_per_s == pytest.approx(2 * one.samples_per_s, rel=1e-6)


def test_a_second_run_puts_right_what_the_first_one_misses() -> None:
    """What a store does to four workers is seen in a run of four, and half-way to it where there are three."""
    slower = [ns * 3 // 2 for ns in FETCH]
    two, four = traced(pipeline()), traced(pipeline(workers=4, fetch=slower))
    both = PipelineModel.of(two, four)
    alone = PipelineModel.of(two)
    asked = Change(workers=4)
    assert both.predict(asked).samples_per_s == pytest.approx(PipelineModel.of(four).delivered.samples_per_s, rel=0.01)
    three = both.predict(Change(workers=3)).samples_per_s / alone.predict(Change(workers=3)).samples_per_s
    assert 0.7 < three < 0.95


def test_runs_of_different_workloads_are_not_learnt_from_together() -> None:
    """One line says which."""
    other = run_record().workload.model_copy(update={"name": "streaming-shards"})
    with pytest.raises(RunError, match=r"different workloads .*: small-files and streaming-shards"):
        PipelineModel.of(traced(pipeline()), traced(pipeline(), workload=other))


@pytest.mark.parametrize(
    ("trace", "words"),
    [
        (make_trace(), "0 measured steps"),
        (traced(pipeline(fetch=[MS], prep=[MS], compute=[MS])), "1 measured steps"),
        (dataclasses.replace(traced(pipeline()), batches=make_trace().batches), "no batches"),
        (make_trace(run_record(workload=run_record().workload.model_copy(update={"reads_storage": False}))), "null"),
    ],
)
def test_a_run_with_nothing_to_replay_is_refused_in_one_line(trace: Trace, words: str) -> None:
    """The message says what is missing."""
    with pytest.raises(RunError) as refused:
        PipelineModel.of(trace)
    assert words in str(refused.value) or (words == "null" and "prepared batches" in str(refused.value))
    assert "\n" not in str(refused.value)


def test_another_hit_ratio_needs_misses_to_learn_from(model: PipelineModel) -> None:
    """Where nothing was asked of the page cache, what a miss costs is not known."""
    with pytest.raises(RunError, match="not known"):
        model.predict(Change(client_hit_ratio=0.5))


@pytest.mark.parametrize("wrong", [{"workers": -1}, {"prefetch": 0}, {"client_hit_ratio": 1.5}, {"cores": 0.0},
                                   {"store_latency_factor": math.nan}, {"stage_factors": {Stage.IN_ORDER: 0.5}},
                                   {"stage_factors": {Stage.READ: -1.0}}])  # fmt: skip
def test_a_change_that_no_run_can_have_is_refused(wrong: dict[str, object]) -> None:
    """Before anything is replayed."""
    with pytest.raises(UsageError):
        Change(**wrong)  # type: ignore[arg-type]


def known(found: Prediction) -> bool:
    """Tell whether every figure is a number, and in its bounds."""
    figures = [found.samples_per_s, found.idle_s_per_step, *(found.samples_per_s_ci95 or ())]
    use = found.accelerator_utilization
    return all(math.isfinite(one) and one >= 0 for one in figures) and (use is None or 0 <= use <= 1)


TIMES = st.lists(st.integers(0, 5 * MS), min_size=1, max_size=25)


@settings(max_examples=25, deadline=None)
@given(fetch=TIMES, prep=st.integers(0, MS), compute=st.integers(0, MS), workers=st.integers(1, 3),
       shift=st.integers(-2 * MS, 2 * MS), lost=st.integers(0, 5), asked=st.integers(0, 4))  # fmt: skip
def test_whatever_a_trace_holds_there_is_a_number_or_a_sentence(
    fetch: list[int], prep: int, compute: int, workers: int, shift: int, lost: int, asked: int
) -> None:
    """Batches lost, stamps shifted as between hosts' clocks, nothing that takes any time: never NaN, never a crash."""
    count = len(fetch)
    steps, batches = Pipeline(fetch=fetch, prep=[prep] * count, compute=[compute] * count, workers=workers).rows()
    for row in batches:
        for name in ("dispatch_ns", "fetch_start_ns", "fetch_end_ns", "collate_end_ns"):
            row[name] = int(row[name]) + shift  # type: ignore[call-overload]
    trace = make_trace(run_record(busy_ns=compute, host=ROOMY), steps=steps, batches=batches[lost:][::-1])
    try:
        assert known(PipelineModel.of(trace).predict(Change(workers=asked, prefetch=1 + asked)))
    except RunError as refused:
        assert str(refused) and "\n" not in str(refused)
