"""Two sides of runs: ratios, their intervals, and a winner only where these show one."""

from __future__ import annotations

import functools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ioprof.analysis.answer import verdict_alone
from ioprof.analysis.compare import ComparedRun, Side, compare, compared_run, merged
from ioprof.analysis.fairness import Judged, differences
from ioprof.analysis.summarise import summarise
from ioprof.trace.kinds import Kind
from ioprof.trace.run_record import RunRecord
from ioprof.trace.trace import Trace
from tests.unit.trace_builder import MS, Pipeline, make_trace, operation_row, run_record

rates = st.lists(st.floats(10.0, 1000.0), min_size=2, max_size=6)


def trace_of(fetch_ms: float, *, seed: int = 1, steps: int = 120, started: str = "2026-11-23T10:00:00Z") -> Trace:
    """Return a run whose batches take so long, give or take a tenth."""
    random = np.random.default_rng(seed)
    fetch = (fetch_ms * MS * random.uniform(0.9, 1.1, steps)).astype(int).tolist()
    rows, batches = Pipeline(fetch=fetch, prep=[0] * steps, compute=[MS] * steps).rows()
    reads = [operation_row(Kind.READ, fetch, size=4096)]
    return make_trace(run_record(busy_ns=MS, started_utc=started), steps=rows, batches=batches, operations=reads)


def side(name: str, *traces: Trace) -> Side:
    """Return the side of some runs."""
    return Side(
        name=name,
        runs=tuple(compared_run(f"{name}{at}", one, summarise(one, verdict_alone)) for at, one in enumerate(traces)),
    )


@functools.cache
def _base() -> ComparedRun:
    trace = trace_of(20)
    return compared_run("base", trace, summarise(trace, verdict_alone))


def of_rates(name: str, values: list[float], first_minute: int = 0, step: int = 1) -> Side:
    """Return a side whose runs have given rates, begun minute after minute."""
    base = _base()
    runs = []
    for at, value in enumerate(values):
        started = f"2026-11-23T10:{first_minute + step * at:02d}:00Z"
        summary = replace(base.summary, samples_per_s=value)
        record = base.run.model_copy(update={"started_utc": started})
        runs.append(replace(base, name=f"{name}{at}", run=record, summary=summary))
    return Side(name=name, runs=tuple(runs))


def test_a_run_against_itself_is_one_and_nobody_wins() -> None:
    """The interval holds 1, in every figure."""
    trace = trace_of(20)
    found = compare(side("a", trace), side("b", trace))
    assert found.winner is None
    assert {round(one.ratio, 9) for one in found.ratios if one.ratio is not None} == {1.0}
    rate = found.ratios[0]
    assert rate.basis == "steps" and rate.ci95 is not None and rate.ci95[0] < 1.0 < rate.ci95[1]


def test_a_store_of_half_the_speed_is_found_as_such() -> None:
    """Batches that take twice as long: half the rate, twice the latency, and a winner."""
    found = compare(side("fast", trace_of(20)), side("slow", trace_of(40, seed=2)))
    rate = found.ratios[0]
    assert rate.ratio == pytest.approx(0.5, rel=0.05)
    assert rate.ci95 is not None and rate.ci95[0] < 0.5 < rate.ci95[1]
    assert found.winner == "fast" and "fast is faster" in found.sentence
    p50 = next(one for one in found.ratios if one.key == "operations.read.latency_ns.p50")
    assert p50.ratio == pytest.approx(2.0, rel=0.05) and not p50.higher_is_better


@given(rates, rates)
def test_swapping_sides_inverts_ratio_and_interval(one: list[float], other: list[float]) -> None:
    """Whatever the rates: b over a is one over a over b, and a winner stays one."""
    a, b = of_rates("a", one), of_rates("b", other, first_minute=30)
    there, back = compare(a, b), compare(b, a)
    assert there.ratios[0].ratio is not None and back.ratios[0].ratio is not None
    assert there.ratios[0].ratio * back.ratios[0].ratio == pytest.approx(1.0)
    (low, high), (far, near) = there.ratios[0].ci95 or (0, 0), back.ratios[0].ci95 or (0, 0)
    assert (low, high) == pytest.approx((1 / near, 1 / far))
    assert there.winner == back.winner


@given(rates, st.floats(0.1, 10.0))
def test_scaling_all_rates_leaves_every_ratio(one: list[float], factor: float) -> None:
    """A clock that runs at another speed on both sides changes nothing."""
    other = [value * 1.3 for value in one]
    found = compare(of_rates("a", one), of_rates("b", other, first_minute=30))
    scaled = compare(
        of_rates("a", [value * factor for value in one]),
        of_rates("b", [value * factor for value in other], first_minute=30),
    )
    assert scaled.ratios[0].ratio == pytest.approx(found.ratios[0].ratio)
    assert scaled.ratios[0].ci95 == pytest.approx(found.ratios[0].ci95, rel=1e-6)


def test_runs_by_turns_are_compared_pair_by_pair() -> None:
    """A host that slows down meets both sides alike: pairs show what separate means cannot."""
    drifting = [100.0, 80.0, 60.0, 50.0]
    better = [value * 1.1 for value in drifting]
    turns = compare(of_rates("a", drifting, 0, 2), of_rates("b", better, 1, 2))
    apart = compare(of_rates("a", drifting, 0, 1), of_rates("b", better, 30, 1))
    assert (turns.ratios[0].basis, apart.ratios[0].basis) == ("pairs", "runs")
    assert turns.winner == "b" and apart.winner is None
    assert turns.ratios[0].ci95 == pytest.approx((1.1, 1.1))


def test_a_difference_within_the_noise_has_no_winner_however_well_it_is_known() -> None:
    """One percent, to a thousandth."""
    found = compare(of_rates("a", [100.0, 100.1, 99.9], 0, 2), of_rates("b", [101.0, 101.1, 100.9], 1, 2))
    assert found.winner is None and "no difference beyond 2 %" in found.sentence
    assert compare(of_rates("a", [100.0, 100.1], 0, 2), of_rates("b", [101.0, 101.1], 1, 2), 0.005).winner == "b"


def test_several_runs_have_their_histograms_added_up() -> None:
    """Percentiles are read off the sum."""
    both = side("a", trace_of(20), trace_of(40))
    assert merged(both, "read").sum() == 240
    assert merged(both, "open").sum() == 0


def test_a_run_without_steps_is_no_reason_to_fall() -> None:
    """It is said that there is nothing to compare."""
    found = compare(side("a", make_trace()), side("b", trace_of(20)))
    assert found.winner is None and "cannot be compared" in found.sentence
    assert all(one.ratio is None or math.isfinite(one.ratio) for one in found.ratios)


def _judged(**changes: object) -> Judged:
    record = run_record(**changes)  # type: ignore[arg-type]
    return Judged(run=record, summary=summarise(make_trace(record), verdict_alone))


def _changed(record: RunRecord, **changes: object) -> Judged:
    changed = record.model_copy(update=changes)
    return Judged(run=changed, summary=summarise(make_trace(changed), verdict_alone))


def test_equal_runs_have_no_difference() -> None:
    """But for where and when they were made."""
    record = run_record()
    other = _changed(record, started_utc="2027-01-01T00:00:00Z", label="again")
    assert differences(_judged(), other) == []


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"seed": 2}, "seed"),
        ({"batch_size": 32}, "batch size"),
        ({"host": {"cores": 2, "cpu_model": "other"}}, "host cpu_model"),
        ({"versions": {"torch": "1"}}, "version of torch"),
        ({"reads": "python"}, "reads by"),
        (
            {"spec": {"workload": {"files": 7}, "loader": {"name": "torch-map", "workers": 2, "prefetch": 2}}},
            "workload.files",
        ),
    ],
)
def test_what_makes_a_comparison_unfair_is_named(changes: dict[str, object], what: str) -> None:
    """Another dataset, host, version or batch: the ratio would not be the store's."""
    found = differences(_judged(), _changed(run_record(), **changes))
    assert what in [one.what for one in found if one.is_unfair]


def test_stores_and_loader_settings_may_differ() -> None:
    """That is what is compared; it is told and not refused."""
    other = _changed(
        run_record(),
        store={"url": "/mnt/other/x", "filesystem": "xfs"},
        spec={"loader": {"name": "torch-map", "workers": 8, "prefetch": 2, "batch_size": 64}},
    )
    found = differences(_judged(), other)
    assert [one.told for one in found if one.is_unfair] == []
    assert {"store", "file system", "loader.workers"} <= {one.what for one in found}
