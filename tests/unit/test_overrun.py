"""An emulated step that lasts longer than asked is no work of the accelerator, and the reader is told."""

from __future__ import annotations

import pytest

from ioprof.analysis.measured import measured_ranks
from ioprof.analysis.overrun import overrun
from ioprof.trace.run_record import RunRecord
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
    """30 ms instead of 10 beside 10 ms of waiting: 75 % was counted, and 50 % is what was asked for."""
    told = _told(run_record(busy_ns=10 * MS), 20, 30, 40)
    assert told is not None
    assert "took 30 ms on average where 10 ms were asked for" in told
    assert told.endswith("utilisation is 50.0 %, not 75.0 %.")


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
