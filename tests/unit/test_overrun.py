"""An emulated step that lasts longer than asked is no work of the accelerator, and the reader is told."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ioprof.analysis.measured import measured_ranks
from ioprof.analysis.overrun import overrun
from ioprof.analysis.summarise import summarise
from ioprof.trace.run_record import EpochRecord, RunRecord
from tests.unit.trace_builder import MS, make_trace, run_record, step_row


def _told(run: RunRecord, *busy_ms: float) -> str | None:
    """Return what is told of steps that were waited for 10 ms each, and took so long."""
    rows, now_ns = [], 0
    for step, took_ms in enumerate(busy_ms):
        held_ns = now_ns + 10 * MS
        rows.append(step_row(step, now_ns, held_ns, held_ns + round(took_ms * MS)))
        now_ns = held_ns + round(took_ms * MS)
    return overrun(run, measured_ranks(make_trace(run, steps=rows).steps, run))


def test_steps_that_took_longer_than_asked_are_told_with_the_utilisation_of_those_asked() -> None:
    """30 ms instead of 10 beside 10 ms of waiting: of 90 ms 60 were slept, and 30 are what was asked for."""
    told = _told(run_record(busy_ns=10 * MS), 20, 30, 40)
    assert told is not None
    assert "ended after 30 ms on average where 10 ms were asked for" in told
    # The last step's end closes the window: what it was late lies beyond.
    assert told.endswith("utilisation would be 66.7 %, not 33.3 %.")


def test_what_steps_took_too_long_is_idle_time_of_its_own_cause() -> None:
    """Steps of 12 ms where 10 were asked for, batches long since ready: 2 ms of each are the host's."""
    rows = [step_row(step, 12 * step * MS, 12 * step * MS, 12 * (step + 1) * MS) for step in range(6)]
    epoch = EpochRecord(epoch=0, start_ns=0, end_ns=72 * MS)
    trace = make_trace(run_record(busy_ns=10 * MS, epochs=[epoch]), steps=rows)
    summary = summarise(trace)
    assert summary.idle_by_cause is not None
    assert summary.busy_s == pytest.approx(0.060)
    assert summary.idle_s == pytest.approx(summary.idle_by_cause.total()) == pytest.approx(0.010)
    assert summary.idle_by_cause.host_late == pytest.approx(0.010)
    (rank,) = measured_ranks(trace.steps, trace.run)
    assert (rank.late_ns == 2 * MS).all()


@given(st.lists(st.integers(0, 40), min_size=1, max_size=30))
def test_what_is_taken_off_late_steps_is_what_all_together_took_too_long(busy_ms: list[int]) -> None:
    """No step becomes shorter than asked by it, and none that was not longer changes."""
    rows, now_ns = [], 0
    for step, took_ms in enumerate(busy_ms):
        rows.append(step_row(step, now_ns, now_ns + MS, now_ns + MS + took_ms * MS))
        now_ns += MS + took_ms * MS
    run = run_record(busy_ns=10 * MS)
    (rank,) = measured_ranks(make_trace(run, steps=rows).steps, run)
    took_ns = np.array(busy_ms) * MS
    assert int(rank.late_ns.sum()) == pytest.approx(max(0, int(took_ns.sum()) - 10 * MS * len(rows)), abs=len(rows))
    assert (rank.late_ns <= np.maximum(took_ns - 10 * MS, 0)).all()
    assert (rank.busy_ns == took_ns - rank.late_ns).all()
    assert rank.window_ns == int(rank.busy_ns.sum() + rank.idle_ns.sum())


@pytest.mark.parametrize("busy_ms", [(10.1, 10.2, 9.9), (8, 8, 8)])
def test_steps_as_asked_or_shorter_are_not_told(busy_ms: tuple[float, ...]) -> None:
    """What moves utilisation by less than a point is within the figure's own accuracy."""
    assert _told(run_record(busy_ns=10 * MS), *busy_ms) is None


def test_a_busy_time_that_was_drawn_or_is_none_is_held_against_nothing() -> None:
    """The mean of a few drawn times need not be the one asked for, and `none` asks for no time."""
    drawn = run_record(busy_ns=10 * MS, spec={"accelerator": {"compute_spread": "uniform:1ms:19ms"}})
    assert _told(drawn, 30, 30) is None
    assert _told(run_record(busy_ns=None), 30, 30) is None
    assert _told(run_record(busy_ns=0), 30, 30) is None


def test_a_run_that_measured_nothing_has_no_overrun() -> None:
    """No step, no division."""
    assert _told(run_record(busy_ns=10 * MS)) is None
