"""Each cause of idle time is found where it is known to be, and what would go without it is what really goes."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_analysis_attribution import pipelines
from trace_builder import MS, Pipeline, charged_ns, make_trace, operation_row, run_record, table

from ioprof.analysis.measured import measured_ranks
from ioprof.analysis.pipeline.measured import shape_of, work_of
from ioprof.analysis.pipeline.recursion import schedule
from ioprof.analysis.summarise import summarise
from ioprof.analysis.summary import Summary
from ioprof.trace import schema
from ioprof.trace.kinds import Kind
from ioprof.trace.trace import Trace


def run_of(pipeline: Pipeline, **loader: object) -> Trace:
    """Return the trace of a pipeline whose run says what its loader's rules were."""
    rules = {"name": "torch-map", "workers": pipeline.workers, "prefetch": pipeline.prefetch} | loader
    trace = pipeline.trace()
    return dataclasses.replace(trace, run=trace.run.model_copy(update={"spec": {"loader": rules}}))


def with_spans(trace: Trace, spans: list[dict[str, object]]) -> Trace:
    """Return the trace with these spans."""
    return dataclasses.replace(trace, spans=lambda: iter(table(schema.SPANS, spans).to_batches()))


def test_storage_time_is_charged_by_the_spans_of_the_very_batch() -> None:
    """Batches that open for long and batches that read for long are told apart, whatever the usual shares are."""
    pipeline = Pipeline(fetch=[40 * MS] * 100, prep=[0] * 100, compute=[10 * MS] * 100, workers=1)
    spans: list[dict[str, object]] = []
    for batch in range(100):
        opening, reading = (30, 10) if batch % 2 else (10, 30)
        spans += [{"batch": batch, "kind": int(Kind.OPEN), "duration_ns": opening * MS},
                  {"batch": batch, "kind": int(Kind.READ), "duration_ns": reading * MS}]  # fmt: skip
    charged, _ = charged_ns(with_spans(run_of(pipeline), spans))
    assert charged["open"] == pytest.approx(charged["read"], rel=0.02)
    assert charged["open"] + charged["read"] == pytest.approx(charged["storage"])


def test_where_spans_were_thinned_storage_time_is_shared_out_as_all_of_it_was() -> None:
    """The operations table counts every operation: three quarters of the time were spent on reading."""
    pipeline = Pipeline(fetch=[40 * MS] * 50, prep=[0] * 50, compute=[10 * MS] * 50, workers=1)
    operations = [operation_row(Kind.OPEN, [10 * MS] * 50), operation_row(Kind.READ, [30 * MS] * 50)]
    trace = dataclasses.replace(run_of(pipeline), operations=table(schema.OPERATIONS, operations))
    charged, found = charged_ns(trace)
    assert charged["read"] == pytest.approx(3 * charged["open"])
    assert charged["other_storage"] == 0.0
    assert found.shared_out == 50


def test_a_worker_that_was_not_asked_in_time_is_the_prefetch_limits() -> None:
    """One batch ahead, short and long ones in turn: the worker stands still for 5 ms before each long one.

    The accelerator waits 15 ms for each of these, and would wait 10 if the worker had gone on by itself.
    """
    pipeline = Pipeline(fetch=[5 * MS, 25 * MS] * 50, prep=[0] * 100, compute=[10 * MS] * 100, workers=1, prefetch=1)
    charged, _ = charged_ns(run_of(pipeline))
    assert charged["prefetch_limit"] == pytest.approx(50 * 5 * MS, rel=0.03)
    assert charged["storage"] == pytest.approx(50 * 10 * MS, rel=0.03)


@pytest.mark.parametrize(("in_order", "share"), [(True, 1.0), (False, 0.0)])
def test_a_straggler_that_others_stand_still_for_is_the_orders(in_order: bool, share: float) -> None:
    """While one batch takes 300 ms, the other worker is through with its own and may not go on."""
    fetch = [300 * MS if batch % 20 == 10 else 5 * MS for batch in range(100)]
    pipeline = Pipeline(fetch=fetch, prep=[0] * 100, compute=[10 * MS] * 100)
    charged, _ = charged_ns(run_of(pipeline, in_order=in_order))
    idle = sum(charged[group] for group in ("storage", "in_order", "prefetch_limit"))
    assert charged["in_order"] / idle == pytest.approx(share, abs=0.05)


def test_order_costs_nothing_where_every_worker_is_busy() -> None:
    """Batches come out of turn all the time, but no worker ever stands still: another order would not be faster."""
    fetch = [(30 if batch % 3 else 90) * MS for batch in range(120)]
    charged, _ = charged_ns(run_of(Pipeline(fetch=fetch, prep=[0] * 120, compute=[MS] * 120, workers=2, prefetch=8)))
    assert charged["in_order"] == 0.0


def test_what_a_cause_spent_is_what_the_kernel_said_of_its_batches() -> None:
    """Reading was blocked and decoding on a CPU: so the kernel said of every batch, and so it is told."""
    pipeline = Pipeline(fetch=[30 * MS] * 60, prep=[20 * MS] * 60, compute=[5 * MS] * 60, workers=1)
    summary = summarise(run_of(pipeline))
    assert summary.idle_by_cause is not None
    assert summary.idle_by_cause_spent is not None
    decoding, storing = (summary.idle_by_cause_spent[cause] for cause in ("decode", "other_storage"))
    assert decoding is not None
    assert storing is not None
    assert decoding.on_cpu_s == pytest.approx(summary.idle_by_cause.decode)
    assert storing.blocked_s == pytest.approx(summary.idle_by_cause.other_storage)
    assert decoding.blocked_s == pytest.approx(0.0, abs=1e-9)


@given(pipelines())
@settings(max_examples=40, deadline=None)
def test_a_trace_scheduled_again_is_the_run_that_left_it(pipeline: Pipeline) -> None:
    """Every step ends when it did: the work that is read off a trace is the work that was done."""
    pipeline = dataclasses.replace(pipeline, ipc=0, unwrap=0)
    trace = run_of(pipeline)
    rank, shape = measured_ranks(trace.steps, trace.run)[0], shape_of(trace.run)
    assert shape is not None
    done = schedule(work_of(trace, rank), shape)
    assert done.busy_end_ns.tolist() == pytest.approx(rank.busy_end_ns.tolist(), rel=1e-9, abs=1e-3)


@pytest.mark.parametrize("stage", ["fetch", "prep"])
def test_idle_if_free_is_the_idle_time_that_really_goes(stage: str) -> None:
    """The same pipeline without the stage: the difference of their idle times is what was foretold."""
    fetch, prep = [(20 + 7 * (k % 5)) * MS for k in range(80)], [(10 + 11 * (k % 3)) * MS for k in range(80)]
    pipeline = Pipeline(fetch=fetch, prep=prep, compute=[9 * MS] * 80)
    before, after = (_idle_s(one) for one in (pipeline, dataclasses.replace(pipeline, **{stage: [0] * 80})))
    freed = summarise(run_of(pipeline)).idle_if_free
    assert freed is not None
    assert freed[{"fetch": "other_storage", "prep": "decode"}[stage]] == pytest.approx(before - after, rel=1e-6)


def _idle_s(pipeline: Pipeline) -> float:
    return summarise(run_of(pipeline)).idle_s or 0.0


def test_idle_if_free_says_nothing_of_a_run_that_it_cannot_follow() -> None:
    """Where batches came far slower than the loader's rules explain, that is said in place of a number."""
    pipeline = Pipeline(fetch=[20 * MS] * 60, prep=[0] * 60, compute=[5 * MS] * 60, workers=1, prefetch=1)
    summary = summarise(run_of(pipeline, workers=8))
    assert summary.idle_if_free is None
    assert "did something that the loader's rules do not say" in summary.reasons["idle_if_free"]


def test_a_loader_that_does_not_state_its_rules_is_still_attributed() -> None:
    """Causes are read off the stamps; only what needs the rules is unknown, and why."""
    trace = Pipeline(fetch=[20 * MS] * 30, prep=[0] * 30, compute=[5 * MS] * 30).trace()
    summary = summarise(dataclasses.replace(trace, run=trace.run.model_copy(update={"spec": {}})))
    assert summary.idle_by_cause is not None
    assert summary.idle_by_cause.of("storage") == pytest.approx(summary.idle_s, rel=0.01)
    assert summary.idle_if_free is None
    assert "how many workers" in summary.reasons["idle_if_free"]


def broken(draw: st.DrawFn, trace: Trace) -> Trace:
    """Return the trace cut short, out of order, with lost batches, or with a clock that jumps."""
    batches = trace.batches
    keep = draw(st.lists(st.integers(0, batches.num_rows - 1), max_size=batches.num_rows, unique=True))
    jump = draw(st.sampled_from([0, -(10**9), 10**9]))
    rows = [row | {name: row[name] + jump * (row["worker"] == 1) for name in _STAMPS} for row in batches.to_pylist()]
    steps = trace.steps.slice(0, draw(st.integers(1, trace.steps.num_rows)))
    return dataclasses.replace(trace, steps=steps, batches=table(schema.BATCHES, [rows[row] for row in keep]))


_STAMPS = ("dispatch_ns", "fetch_start_ns", "fetch_end_ns", "collate_end_ns")


@st.composite
def broken_traces(draw: st.DrawFn) -> Trace:
    """Draw a trace of which something is wrong."""
    loader = {"in_order": draw(st.booleans()), "workers": draw(st.integers(0, 3)), "prefetch": draw(st.integers(1, 3))}
    return broken(draw, run_of(draw(pipelines()), **loader))


@given(broken_traces())
@settings(max_examples=40, deadline=None)
def test_whatever_is_wrong_with_a_trace_the_parts_are_numbers_that_sum_to_the_idle_time(trace: Trace) -> None:
    """Lost batches, clocks that jump, runs cut short: no NaN, no error, and nothing lost."""
    summary: Summary = summarise(trace)
    assert summary.to_json()
    if summary.idle_by_cause is not None:
        assert summary.idle_by_cause.total() == pytest.approx(summary.idle_s, rel=1e-3, abs=1e-9)
        assert all((part or 0.0) >= 0 for part in dataclasses.asdict(summary.idle_by_cause).values())


@pytest.mark.parametrize("compute", [0, 50 * MS])
def test_one_batch_only_is_attributed(compute: int) -> None:
    """There is one step, with or without compute: all idle time is before it, and it has a cause."""
    summary = summarise(run_of(Pipeline(fetch=[20 * MS], prep=[0], compute=[compute])))
    assert summary.idle_by_cause is not None
    assert summary.idle_by_cause.total() == pytest.approx(0.02)
    assert summary.idle_by_cause.unexplained == 0.0


def test_no_idle_time_has_no_causes() -> None:
    """Every part is 0 where the accelerator never waited."""
    steps = [{"step": k, "batch": k, "wait_start_ns": k * MS, "wait_end_ns": k * MS, "h2d_end_ns": k * MS,
              "busy_start_ns": k * MS, "busy_end_ns": (k + 1) * MS, "samples": 1} for k in range(30)]  # fmt: skip
    summary = summarise(make_trace(run_record(), steps=steps))
    assert summary.idle_by_cause is not None
    assert (summary.idle_s, summary.idle_by_cause.total()) == (0.0, 0.0)
