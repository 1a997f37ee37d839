"""What loaders' libraries count by themselves: in the summary, with a reason where there is nothing, and reported."""

from __future__ import annotations

from trace_builder import make_trace, run_record

from ioprof.analysis.summarise import summarise
from ioprof.report.engines import SHOWN, engine_lines
from ioprof.report.terminal import render

COUNTED = {"spdl.make.tasks": 32.0, "spdl.make.task_s": 0.25, "other.hit_ratio": 0.5}


def told(counters: dict[str, float], width: int = 200) -> list[str]:
    """Return the lines of these counters as text."""
    return [line.plain for line in engine_lines(counters, width)]


def test_each_library_has_a_fact_of_its_own() -> None:
    """Its numbers come with their units, which their names then no longer need."""
    assert told(COUNTED) == ["  spdl counted    make.tasks 32, make.task 250 ms", "  other counted   hit 50.0 %"]


def test_every_unit_of_a_name_is_told_with_the_number() -> None:
    """Rates before the units that they end in."""
    values = {"e.read_bytes": 2048.0, "e.wait_ns": 1500.0, "e.get_per_s": 12.0, "e.read_bytes_per_s": 4096.0}
    assert told(values) == ["  e counted       read 2 KiB, wait 1.50 µs, get 12/s, read 4 KiB/s"]


def test_of_many_counters_those_left_out_are_counted() -> None:
    """The report is not a list of hundreds."""
    counters = {f"many.n{number}": 1.0 for number in range(SHOWN + 3)}
    assert told(counters)[-1].endswith("n8 1, and 3 more in --json (engine_counters)")


def test_the_summary_and_the_report_have_what_the_run_recorded() -> None:
    """And no reason beside it."""
    trace = make_trace(run_record(engine_counters=COUNTED))
    summary = summarise(trace)
    assert summary.engine_counters == COUNTED
    assert "engine_counters" not in summary.reasons
    assert any("spdl counted" in line.plain for line in render(summary, trace.run))


def test_a_run_whose_library_counts_nothing_says_so() -> None:
    """Nothing is in the report; one that ended early does not claim that nothing was there to be counted."""
    trace = make_trace(run_record())
    summary = summarise(trace)
    assert summary.engine_counters is None
    assert "counts nothing" in summary.reasons["engine_counters"]
    assert not any("counted" in line.plain for line in render(summary, trace.run))
    ended = summarise(make_trace(run_record(outcome="interrupted")))
    assert "ended before" in ended.reasons["engine_counters"]
