"""What a bound is judged by is all of one window."""

from __future__ import annotations

from dataclasses import replace

import pytest
from probe_levels import probe_level, probe_record
from trace_builder import MS, make_trace, run_record, step_row

from ioprof.analysis.bound import Evidence
from ioprof.analysis.evidence import evidence_of
from ioprof.analysis.measured import measured_batches, measured_ranks
from ioprof.analysis.summary import Baselines, CpuTime
from ioprof.probe.climb import ceiling_of, climb
from ioprof.trace.trace import Trace

SLOW, STEPS = 60, 360


def slow_start() -> Trace:
    """Return a run of two workers: first they work all the time, then each half of it, ten times as fast."""
    run = run_record(busy_ns=None, warmup_steps=5, spec={"run": {"warmup": "auto"}, "loader": {"workers": 2}})
    steps, batches, now = [], [], 0
    for number in range(STEPS):
        step_ns, made_ns = (100 * MS, 200 * MS) if number < SLOW else (10 * MS, 10 * MS)
        steps.append(step_row(number, now, now + step_ns, now + step_ns))
        batches.append({"batch": number, "fetch_start_ns": now, "collate_end_ns": now + made_ns, "prep_ns": made_ns})
        now += step_ns
    return make_trace(run, steps=steps, batches=batches)


def evidence(trace: Trace, *, client_hit_ratio: float | None = None) -> Evidence:
    """Return the evidence of a run of which little more is known than its trace."""
    ranks = measured_ranks(trace.steps, trace.run)
    return evidence_of(
        trace,
        measured_batches(ranks, trace.batches),
        delivered_per_s=6400.0,
        demand_per_s=None,
        wall_s=ranks[0].window_ns / 1e9,
        idle=None,
        totals=[],
        cpu=CpuTime(on_cpu_s=None, run_queue_s=None, blocked_s=None, utilization=None),
        baselines=Baselines(no_workers_samples_per_s=None, transport_samples_per_s=None),
        client_hit_ratio=client_hit_ratio,
    )


@pytest.mark.parametrize(
    ("cache", "run_hits", "known"), [("asis", 0.1, False), ("asis", 0.95, True), ("cold", 0.1, True)]
)
def test_what_the_page_cache_gave_a_probe_is_no_ceiling_of_a_run_that_read_the_store(
    cache: str, run_hits: float, known: bool
) -> None:
    """Only where the cache was left as it is: there the run itself has warmed it for the probe."""
    level = probe_level(2, 9000.0, client_hit_ratio=1.0)
    probe = probe_record([level]).model_copy(
        update={"cache": cache, "ceiling": ceiling_of(climb(lambda _: level, first=2, most=2))}
    )
    found = evidence(replace(slow_start(), probe=probe), client_hit_ratio=run_hits)
    assert (found.at_workers_per_s, found.best_per_s) == ((9000.0, 9000.0) if known else (None, None))


def test_a_start_up_that_is_left_out_is_no_part_of_the_evidence() -> None:
    """The workers' time is set beside the length of the window: both begin with the same step."""
    trace = slow_start()
    ranks = measured_ranks(trace.steps, trace.run)
    assert ranks[0].first >= SLOW
    found = evidence(trace)
    assert found.working_share == pytest.approx(0.5)
    assert found.spread == pytest.approx(0.0)
    assert found.prep_share == pytest.approx(1.0)
