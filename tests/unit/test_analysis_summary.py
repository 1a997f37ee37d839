"""summary.json: every key is always there, nulls have reasons, and the numbers are what they say."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trace_builder import (
    MS,
    OVERHEAD,
    Pipeline,
    S,
    kernel_io,
    make_trace,
    operation_row,
    run_record,
    step_row,
)

from ioprof.analysis.idle_causes import IdleByCause
from ioprof.analysis.summarise import summarise
from ioprof.analysis.verdict import verdict
from ioprof.errors import RunDirectoryError
from ioprof.report.jsonfile import read_summary, write_summary
from ioprof.trace.kinds import SHORT_READ, Kind, Phase
from ioprof.trace.run_record import CacheRecord
from ioprof.trace.trace import Trace

DESIGN_KEYS = {
    "format", "outcome", "workload", "loader", "store", "accelerator", "samples", "steps", "epochs", "wall_s",
    "first_batch_s", "accelerator_utilization", "accelerator_utilization_ci95", "mlperf_au", "idle_s",
    "idle_by_cause", "idle_if_free", "samples_per_s", "demand_samples_per_s", "ceiling_samples_per_s",
    "operations",
    "bandwidth_bytes_per_s", "iops", "cache", "cpu", "overhead", "verdict", "coverage", "baselines",
    "findings",
}  # fmt: skip
NESTED_KEYS = {
    "accelerator": {"name", "count", "busy_ns_per_batch", "source"},
    "cache": {"client_hit_ratio", "evidence", "cold_requested", "cold_achieved"},
    "cpu": {"on_cpu_s", "run_queue_s", "blocked_s", "accounted_ratio", "utilization"},
    "overhead": {"span_ns", "spans", "share_of_worker_time"},
    "verdict": {"bound", "sentence", "confidence"},
    "coverage": {"tapped_bytes", "kernel_bytes", "ratio"},
    "baselines": {"no_workers_samples_per_s", "transport_samples_per_s"},
}


def as_dict(trace: Trace) -> dict[str, object]:
    """Return summary.json's content."""
    return dict(json.loads(summarise(trace).to_json()))


def starved() -> Trace:
    """Return a run that storage starves, with everything recorded."""
    pipeline = Pipeline(fetch=[38 * MS] * 60, prep=[2 * MS] * 60, compute=[10 * MS] * 60)
    trace = pipeline.trace(warmup_steps=4, kernel_io=kernel_io(), overhead=OVERHEAD)
    full = make_trace(
        trace.run,
        operations=[
            operation_row(Kind.OPEN, [61_000] * 3584),
            operation_row(Kind.READ, [400_000] * 3584, size=4096),
            operation_row(Kind.READ, [9_000_000] * 256, size=4096, phase=Phase.WARMUP),
            operation_row(Kind.DECODE, [31_000] * 3584),
            operation_row(Kind.LIST, [5_000_000] * 10, phase=Phase.DISCOVERY, worker=-1),
        ],
    )
    return Trace(
        run=trace.run, steps=trace.steps, batches=trace.batches, operations=full.operations, host=None,
        spans=full.spans,
    )  # fmt: skip


def nulls(value: object, prefix: str = "") -> set[str]:
    """Return the dotted keys that are null."""
    if value is None:
        return {prefix}
    if not isinstance(value, dict):
        return set()
    return {key for name, inner in value.items() for key in nulls(inner, f"{prefix}.{name}" if prefix else name)}


def covered(key: str, reasons: dict[str, str]) -> bool:
    """Tell whether a null has a reason of its own."""
    return bool(reasons.get(key))


trials = [
    pytest.param(make_trace(), id="nothing"),
    pytest.param(make_trace(run_record(busy_ns=None, outcome="running", run_start_ns=None)), id="killed"),
    pytest.param(make_trace(run_record(), steps=[step_row(0, 0, 5, 10)]), id="one step"),
    pytest.param(make_trace(run_record(), steps=[step_row(0, 0, 0, 0)]), id="no time"),
    pytest.param(make_trace(run_record(warmup_steps=5), steps=[step_row(0, 0, 5, 10)]), id="warm-up only"),
    pytest.param(make_trace(run_record(busy_ns=None), steps=[step_row(0, 0, 5, 5)]), id="no accelerator"),
    pytest.param(make_trace(run_record(busy_ns=0), steps=[step_row(0, 0, 5, 5)]), id="no compute"),
    pytest.param(starved(), id="starved"),
]


@pytest.mark.parametrize("trace", trials)
def test_every_public_key_is_always_there(trace: Trace) -> None:
    """Readers never have to ask whether a key exists."""
    content = as_dict(trace)
    assert content.keys() >= DESIGN_KEYS
    for key, inner in NESTED_KEYS.items():
        assert inner <= content[key].keys()  # type: ignore[attr-defined]


@pytest.mark.parametrize("trace", trials)
def test_every_null_has_its_reason(trace: Trace) -> None:
    """A number that is not known says why, and a number that is known has no reason beside it."""
    content = as_dict(trace)
    reasons = content["reasons"]
    assert isinstance(reasons, dict)
    assert nulls(content) == set(reasons)
    assert all(reasons.values())


@given(
    st.lists(st.tuples(st.integers(0, 10**10), st.integers(0, 10**10)), max_size=25),
    st.one_of(st.none(), st.integers(0, 10**9)),
    st.integers(0, 10),
)
@settings(deadline=None, max_examples=40)
def test_any_trace_gives_finite_numbers(waits: list[tuple[int, int]], busy_ns: int | None, warmup: int) -> None:
    """No division by zero, no NaN, no infinity, whatever was recorded before the end."""
    now, steps = 0, []
    for number, (waited, ran) in enumerate(waits):
        steps.append(step_row(number, now, now + waited, now + waited + ran))
        now += waited + ran
    content = as_dict(make_trace(run_record(busy_ns=busy_ns, warmup_steps=warmup), steps=steps))
    assert nulls(content) == set(content["reasons"])  # type: ignore[call-overload]


def test_the_figures_of_a_starved_run() -> None:
    """Two workers at 40 ms per batch feed one batch per 20 ms to an accelerator that needs 10 ms."""
    summary = summarise(starved())
    assert summary.accelerator_utilization == pytest.approx(0.5, abs=0.01)
    assert summary.steps == 56
    assert summary.warmup_steps == 4
    assert summary.demand_samples_per_s == pytest.approx(6400)
    assert summary.samples_per_s == pytest.approx(3200, rel=0.02)
    assert summary.wall_s is not None
    assert summary.idle_s is not None
    assert summary.busy_s is not None
    assert summary.idle_s + summary.busy_s == pytest.approx(summary.wall_s, rel=1e-12)
    assert summary.verdict.bound is None
    assert "inside storage operations" in summary.verdict.sentence


def test_operations_are_the_steady_ones_and_discovery_stands_apart() -> None:
    """Warm-up reads and discovery's listing are in no rate; decoding is no storage operation."""
    summary = summarise(starved())
    assert summary.wall_s is not None
    assert summary.operations["read"].count == 3584
    assert summary.operations["read"].latency_ns is not None
    assert summary.operations["read"].latency_ns.max == 400_000
    assert summary.operations["open"].per_s == pytest.approx(3584 / summary.wall_s)
    assert summary.iops == pytest.approx(2 * 3584 / summary.wall_s)
    assert summary.bandwidth_bytes_per_s == pytest.approx(3584 * 4096 / summary.wall_s)
    assert "list" not in summary.operations
    assert summary.discovery.operations["list"].count == 10


def test_percentiles_are_read_off_the_merged_histogram() -> None:
    """Two workers, one slow: the p50 is the fast one's, the p99 the slow one's; neither is an average."""
    rows = [
        operation_row(Kind.READ, [1_000_000] * 900),
        operation_row(Kind.READ, [50_000_000] * 100, worker=1),
    ]
    latency = summarise(make_trace(steps=[step_row(0, 0, 5, 10)], operations=rows)).operations["read"].latency_ns
    assert latency is not None
    assert latency.p50 == pytest.approx(1_000_000, rel=0.01)
    assert latency.p90 == pytest.approx(1_000_000, rel=0.01)
    assert latency.p99 == pytest.approx(50_000_000, rel=0.01)
    assert latency.mean == pytest.approx(5_900_000)


def test_errors_are_counted_exactly_and_named_where_the_span_was_kept() -> None:
    """The counters are exact; names come from spans, and what has none says so."""
    spans: list[dict[str, object]] = [
        {"kind": int(Kind.OPEN), "error": 2},
        {"kind": int(Kind.READ), "error": SHORT_READ},
    ]
    rows = [operation_row(Kind.OPEN, [1000] * 5, errors=3), operation_row(Kind.READ, [1000] * 5, errors=1)]
    summary = summarise(make_trace(operations=rows, spans=spans))
    assert summary.errors["open"].by_name == {"ENOENT": 1, "not-recorded": 2}
    assert summary.errors["read"].by_name == {"short-read": 1}
    assert any("3 open operations failed" in caveat for caveat in summary.caveats)


def test_a_complete_run_whose_spans_do_not_match_its_counters_says_so() -> None:
    """Lost spans must not pass in silence; a run that sampled its spans is not accused."""
    rows = [operation_row(Kind.OPEN, [1000] * 5)]
    told = summarise(make_trace(operations=rows, spans=[{"kind": int(Kind.OPEN)}])).caveats
    assert any("the trace is not complete" in caveat for caveat in told)
    told = summarise(make_trace(operations=rows)).caveats
    assert any("the trace is not complete" in caveat for caveat in told)
    told = summarise(make_trace(run_record(sample_every=4), operations=rows)).caveats
    assert not any("the trace is not complete" in caveat for caveat in told)


def test_spans_lost_to_a_full_disk_are_told_and_not_taken_for_a_broken_trace() -> None:
    """The run did not keep all of them, so they need not match the counters; sampling on top is told as well."""
    rows = [operation_row(Kind.OPEN, [1000] * 5)]
    run = run_record(dropped_spans=2, sample_every=4)
    told = summarise(make_trace(run_record(dropped_spans=2), operations=rows)).caveats
    assert told == (
        "The results disk was full: 2 records of full spans are missing; counts and percentiles cover them all.",
    )
    assert len(summarise(make_trace(run, operations=rows)).caveats) == 2


@pytest.mark.parametrize("errors", [0, 3])
def test_spans_left_out_on_purpose_are_missed_only_where_errors_would_be_named(errors: int) -> None:
    """A published run without errors has lost nothing that its report could show."""
    rows = [operation_row(Kind.OPEN, [1000] * 5, errors=errors), operation_row(Kind.READ, [1000] * 5, errors=errors)]
    told = summarise(dataclasses.replace(make_trace(operations=rows), has_spans=False)).caveats
    assert len([caveat for caveat in told if "pans" in caveat]) == (1 if errors else 0)


def test_latencies_are_withheld_where_the_taps_saw_too_little() -> None:
    """Below 95 % coverage a latency would describe the wrong reads: none is given."""
    run = run_record(kernel_io=kernel_io(tapped=4000, rchar=8000))
    summary = summarise(make_trace(run, operations=[operation_row(Kind.READ, [1000])]))
    assert summary.operations["read"].latency_ns is None
    assert any("not available" in caveat for caveat in summary.caveats)


def test_cached_reads_are_a_caveat_when_cold_was_asked_for() -> None:
    """Asking for a cold cache and not getting it is said aloud."""
    run = run_record(cache=CacheRecord(requested="cold", evictions=1), kernel_io=kernel_io(read=0))
    told = summarise(make_trace(run, steps=[step_row(0, 0, 5, 10)])).caveats
    assert any("A cold cache was asked for, but" in caveat for caveat in told)


def test_batches_made_before_the_window_are_a_caveat() -> None:
    """A short run lives off what the warm-up had made: its rates flatter, and it says by how much."""
    pipeline = Pipeline(fetch=[MS] * 20, prep=[0] * 20, compute=[20 * MS] * 20, workers=2, prefetch=4)
    assert any("before the window opened" in c for c in summarise(pipeline.trace(warmup_steps=2)).caveats)


def test_workers_that_delivered_nothing_are_a_caveat() -> None:
    """More workers than shards: those left over would else look like a slow store."""
    pipeline = Pipeline(fetch=[MS] * 20, prep=[0] * 20, compute=[20 * MS] * 20, workers=2)
    for asked, expected in ((2, []), (5, ["3 of 5 workers delivered no batch"])):
        told = summarise(pipeline.trace(spec={"loader": {"name": "torch-iterable", "workers": asked}})).caveats
        assert [caveat.partition(":")[0] for caveat in told if "delivered no batch" in caveat] == expected


def test_hits_that_may_hide_leave_cold_unknown_with_a_reason() -> None:
    """A run from before pages were counted that fetched more than it read: no claim of cold."""
    run = run_record(kernel_io=kernel_io(tapped=512_000, read=4_096_000))
    summary = summarise(make_trace(run, steps=[step_row(0, 0, 5, 10)]))
    assert summary.cache.cold_achieved is None
    assert "whole pages" in summary.reasons["cache.cold_achieved"]
    assert any("whether it was cold is not known: the kernel fetched more" in c for c in summary.caveats)


def test_a_cold_cache_that_was_not_made_says_why() -> None:
    """Nothing was evicted: the reason stands in the caveats, and no claim about cold beside it."""
    cache = CacheRecord(requested="cold", note="not a local path")
    told = summarise(make_trace(run_record(cache=cache), steps=[step_row(0, 0, 5, 10)])).caveats
    assert [caveat for caveat in told if "cold" in caveat.lower()] == ["Cold asked, not applied: not a local path."]


@pytest.mark.parametrize("changes", [{"reads": False}, {"ended_utc": None, "kernel_io": kernel_io()}])
def test_a_run_that_evicts_nothing_for_a_reason_is_not_accused(changes: dict[str, object]) -> None:
    """Nothing is read from storage, or the run was killed before it wrote what it had evicted."""
    run = run_record(cache=CacheRecord(requested="cold"))
    workload = run.workload.model_copy(update={"reads_storage": changes.pop("reads", True)})
    run = run.model_copy(update={"workload": workload, **changes})
    told = summarise(make_trace(run, steps=[step_row(0, 0, 5, 10)])).caveats
    assert not any("cold" in caveat.lower() for caveat in told)


def test_what_the_run_recorded_of_itself_is_shown() -> None:
    """A dead host sampler is told by the run, and the summary passes it on."""
    told = "the host's counters are not complete: killed"
    assert told in summarise(make_trace(run_record(caveats=[told]))).caveats


def test_demand_is_that_of_the_batches_as_they_were() -> None:
    """Batches of 48 instead of 64 samples (a last one, failed reads): an accelerator wants no more of them."""
    steps = [step_row(0, 0, 5, 10), step_row(1, 10, 15, 20) | {"samples": 32}]
    assert summarise(make_trace(steps=steps)).demand_samples_per_s == pytest.approx(48 / 0.01)
    nothing = summarise(make_trace())
    assert nothing.demand_samples_per_s is None


@pytest.mark.parametrize(("reads", "lost", "has_rates"), [(200, 0, True), (208, 8, True), (300, 100, False)])
def test_reads_for_batches_that_never_arrived_are_told(reads: int, lost: int, has_rates: bool) -> None:
    """An interrupted run read ahead: 196 samples arrived and 4 failed, the rest no step ever saw."""
    steps = [step_row(0, 0, 5, 10) | {"samples": 196}]
    batches: list[dict[str, object]] = [{"batch": 0, "errors": 4, "collate_end_ns": 4}]
    rows = [operation_row(kind, [1000] * reads, size=10) for kind in (Kind.OPEN, Kind.READ)]
    run = run_record(outcome="interrupted")
    summary = summarise(make_trace(run, steps=steps, batches=batches, operations=rows))
    told = [caveat for caveat in summary.caveats if "no step got" in caveat]
    assert bool(told) == bool(lost)
    assert not lost or told[0].startswith(f"{lost} of {reads} objects (")
    rates = (summary.iops, summary.bandwidth_bytes_per_s, summary.operations["read"].per_s)
    assert [rate is not None for rate in rates] == [has_rates] * 3
    assert has_rates or "no step got" in summary.reasons["iops"]
    assert nulls(json.loads(summary.to_json())) == set(summary.reasons)
    complete = summarise(make_trace(steps=steps, batches=batches, operations=rows))
    assert complete.iops is not None


@pytest.mark.parametrize(
    ("delay", "told"), [(100, "up to 400 % too high"), (0, "All 5 measured batches"), (None, None)]
)
def test_the_bound_of_the_bias_is_ahead_over_the_rest(delay: int | None, told: str | None) -> None:
    """4 of 5 made ahead: one was made in the window, so the rate may be five times the true one."""
    steps = [step_row(n, 10 * n, 10 * n + 1, 10 * n + 10) for n in range(6)]
    early = [5] * 5 + [5 + delay] if delay is not None else [100] * 6
    batches: list[dict[str, object]] = [{"batch": n, "collate_end_ns": made} for n, made in enumerate(early)]
    found = summarise(make_trace(run_record(warmup_steps=1), steps=steps, batches=batches)).caveats
    biased = [caveat for caveat in found if "before the window opened" in caveat]
    assert biased == [] if told is None else told in biased[0] and "utilisation and idle time" in biased[0]


@pytest.mark.parametrize(
    ("steps", "prefetched", "judged"), [(19, 0, False), (20, 0, True), (100, 20, True), (100, 21, False)]
)
def test_worthless_evidence_supports_no_verdict(steps: int, prefetched: int, judged: bool) -> None:
    """Few steps, or many made ahead: whatever the utilisation seems to be, no bound is named."""
    answer, reasons = verdict(0.99, IdleByCause(read=0.1, decode=0.1), 1.0, "", steps=steps, prefetched=prefetched)
    assert (answer.bound == "accelerator") == judged
    assert answer.sentence.startswith("Too few steps to judge") != judged
    assert ("verdict.bound" in reasons) != judged


def test_a_single_failed_operation_is_told_in_the_singular() -> None:
    """One is not several."""
    rows = [operation_row(Kind.OPEN, [1000] * 5, errors=1)]
    told = summarise(make_trace(operations=rows, spans=[{"kind": int(Kind.OPEN), "error": 2}])).caveats
    assert "1 open operation failed (ENOENT 1): its sample is missing." in told


def test_a_fed_accelerator_is_said_to_be_fed() -> None:
    """Above 95 % the bound is the accelerator, without any probe."""
    pipeline = Pipeline(fetch=[MS] * 100, prep=[MS] * 100, compute=[50 * MS] * 100)
    answer = summarise(pipeline.trace(warmup_steps=4)).verdict
    assert answer.bound == "accelerator"
    assert answer.sentence == "The accelerator was fed: 100.0 % busy; nothing to change."


def test_a_verdict_without_utilisation_claims_nothing() -> None:
    """Rates alone support no bound."""
    answer, reasons = verdict(None, None, 1234.5, "no accelerator", steps=100, prefetched=0)
    assert answer.bound is None
    assert reasons["verdict.bound"] == "no accelerator"
    assert "no demand" in answer.sentence


def test_waiting_for_a_cpu_is_a_caveat_of_every_latency() -> None:
    """A read that waited for a core looks like a slow store: the report says how much of that there was."""
    made: dict[str, object] = {"on_cpu_ns": 40 * MS, "run_queue_ns": 30 * MS, "blocked_ns": 30 * MS}
    told = summarise(make_trace(steps=[step_row(0, 0, 5, 10)], batches=[made])).caveats
    assert any("waited for a CPU 30.0 % of their time" in caveat for caveat in told)


def test_overhead_share_counts_operations_and_batches() -> None:
    """Share = (spans x span_ns + batches x batch_ns) / worker time."""
    summary = summarise(starved())
    assert summary.overhead.share_of_worker_time == pytest.approx((3000 * 320 + 60 * 5000) / (2 * S))


def test_a_summary_survives_its_file(tmp_path: Path) -> None:
    """What is written reads back equal, tuples and all."""
    summary = summarise(starved())
    write_summary(tmp_path, summary)
    assert read_summary(tmp_path) == summary
    assert [path.name for path in tmp_path.iterdir()] == ["summary.json"]


@pytest.mark.parametrize("content", [None, b"{", b'{"format": 1}', b"\xff"])
def test_a_damaged_summary_is_one_line(tmp_path: Path, content: bytes | None) -> None:
    """Missing, cut short, incomplete, not text: always the same kind of error, never a traceback."""
    if content is not None:
        (tmp_path / "summary.json").write_bytes(content)
    with pytest.raises(RunDirectoryError, match=r"summary\.json") as caught:
        read_summary(tmp_path)
    assert "\n" not in str(caught.value)
