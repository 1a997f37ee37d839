"""Schedules and their critical paths, on thousands of random pipelines."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ioprof.analysis.pipeline.events import schedule_by_events
from ioprof.analysis.pipeline.path import critical_path, without
from ioprof.analysis.pipeline.pieces import RULE_STAGES, Stage
from ioprof.analysis.pipeline.recursion import schedule, schedule_in_turn
from ioprof.analysis.pipeline.work import PipelineShape, PipelineWork
from tests.unit.pipelines import pipelines

TIMED = [stage for stage in Stage if stage not in RULE_STAGES]
Pipeline = tuple[PipelineWork, PipelineShape]


@settings(max_examples=100, deadline=None)
@given(pipelines())
def test_the_lengths_on_the_path_sum_to_the_makespan(pipeline: Pipeline) -> None:
    """Every moment from the start to the end of the last step is on the path, once."""
    done = schedule(*pipeline)
    assert critical_path(done).total_ns == pytest.approx(done.makespan_ns, rel=1e-9)


@settings(max_examples=1000, deadline=None)
@given(pipelines(tied=False), st.sampled_from(TIMED))
def test_a_length_on_the_path_is_what_the_makespan_gains_per_change_of_the_stage(
    pipeline: Pipeline, stage: Stage
) -> None:
    """Path length = derivative of the makespan by the stage's cost, taken by finite differences."""
    work, shape = pipeline
    done = schedule(work, shape)
    step = 1e-6
    more, less = (schedule(work.scaled(stage, 1 + sign * step), shape).makespan_ns for sign in (1, -1))
    slope_ns = (more - less) / (2 * step)
    upper, lower = (more - done.makespan_ns) / step, (done.makespan_ns - less) / step
    noise_ns = done.makespan_ns * 1e-8
    assume(upper - lower < 0.005 * abs(slope_ns) + noise_ns)  # no kink within the step
    assert critical_path(done).stage_ns[stage] == pytest.approx(slope_ns, rel=0.01, abs=noise_ns)


@settings(max_examples=100, deadline=None)
@given(pipelines(tied=True, orderly=True), st.sampled_from(TIMED))
def test_where_moments_coincide_the_length_lies_between_the_slopes_on_either_side(
    pipeline: Pipeline, stage: Stage
) -> None:
    """At a tie the makespan has a kink: less of the stage may gain nothing, more of it may cost.

    Not so where a tie decides who is first: then the makespan may jump.
    """
    work, shape = pipeline
    done, step = schedule(work, shape), 1e-5
    more, less = (schedule(work.scaled(stage, 1 + sign * step), shape).makespan_ns for sign in (1, -1))
    noise_ns = 1e-3
    length_ns = critical_path(done).stage_ns[stage]
    assert (done.makespan_ns - less) / step - noise_ns <= length_ns <= (more - done.makespan_ns) / step + noise_ns


@settings(max_examples=100, deadline=None)
@given(pipelines(orderly=True, least_workers=1))
def test_the_recursion_and_the_events_agree_where_both_apply(pipeline: Pipeline) -> None:
    """In order, dealt out in turn and not pinned: every stamp of every batch is the same, of maps and of streams."""
    work, shape = pipeline
    one, other = schedule_in_turn(work, shape), schedule_by_events(work, shape)
    for name in ("dispatched_ns", "made_ns", "arrived_ns", "pinned_ns", "received_ns", "busy_start_ns", "busy_end_ns"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name)[: len(work)], rtol=1e-12, err_msg=name)


@settings(max_examples=100, deadline=None)
@given(pipelines())
def test_every_batch_is_delivered_once(pipeline: Pipeline) -> None:
    """Whatever the rules, the accelerator uses all the work, epoch after epoch."""
    work, shape = pipeline
    rows = schedule(work, shape).delivered
    assert sorted(rows.tolist()) == list(range(len(work)))
    assert np.all(np.diff(work.epoch[rows]) >= 0)


@settings(max_examples=100, deadline=None)
@given(pipelines(orderly=True), st.sampled_from(TIMED))
def test_work_that_takes_no_time_never_makes_an_orderly_pipeline_slower(pipeline: Pipeline, stage: Stage) -> None:
    """In order, no stage can be worth having; out of order, other batches may meet and do worse."""
    work, shape = pipeline
    assert schedule(*without(work, shape, stage)).makespan_ns <= schedule(work, shape).makespan_ns * (1 + 1e-12)
