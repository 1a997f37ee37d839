"""Lateness against the demand clock, and the steps that waited extremely long."""

from __future__ import annotations

import dataclasses

import numpy as np
from trace_builder import MS, make_trace, run_record, step_row, table

from ioprof.analysis.summarise import summarise
from ioprof.report.terminal import render
from ioprof.trace import schema
from ioprof.trace.kinds import Kind
from ioprof.trace.run_record import EpochRecord
from ioprof.trace.trace import Trace


def run_with(waits_ms: list[float], *, epochs: tuple[int, ...] = (), pause_ms: int = 0, **changes: object) -> Trace:
    """Return a run whose steps waited so long for their batch and then took 10 ms; a pause before each new epoch."""
    now, steps, records, epoch = 0, [], [[0, 0]], 0
    for step, wait_ms in enumerate(waits_ms):
        if step in epochs:
            epoch, now = epoch + 1, now + pause_ms * MS
            records.append([now, now])
        held = now + round(wait_ms * MS)
        steps.append(step_row(step, now, held, held + 10 * MS, epoch=epoch))
        now = records[-1][1] = held + 10 * MS
    spans = [EpochRecord(epoch=n, start_ns=low, end_ns=high) for n, (low, high) in enumerate(records)]
    return make_trace(run_record(epochs=spans, **changes), steps=steps)  # type: ignore[arg-type]


def test_lateness_adds_up_where_waits_do_not() -> None:
    """Four waits of 2 ms put the last batch 8 ms behind its schedule; no single wait shows that."""
    late = summarise(run_with([2, 2, 2, 2])).lateness
    assert late is not None
    assert (late.p50_ns, late.p99_ns, late.max_ns, late.half_from_steps) == (4 * MS, 8 * MS, 8 * MS, 2)


def test_one_pause_makes_all_after_it_late() -> None:
    """Ninety steps in time and one pause of a second: the median batch is late, and one step made it so."""
    late = summarise(run_with([0] * 20 + [1000] + [0] * 70)).lateness
    assert late is not None
    assert (late.p50_ns, late.max_ns, late.half_from_steps) == (1000 * MS, 1000 * MS, 1)


def test_the_demand_clock_stands_still_in_the_run_s_own_pauses() -> None:
    """Evicting caches between epochs makes nothing late."""
    late = summarise(run_with([1] * 8, epochs=(4,), pause_ms=500)).lateness
    assert late is not None
    assert late.max_ns == 8 * MS


def test_lateness_is_none_without_a_demand_clock() -> None:
    """With the reason; and a run that was never late says that."""
    summary = summarise(run_with([1, 1], busy_ns=None))
    assert (summary.lateness, "no demand clock" in summary.reasons["lateness"]) == (None, True)
    summary = summarise(run_with([0] * 30))
    assert summary.lateness is not None
    assert (summary.lateness.max_ns, summary.lateness.half_from_steps) == (0, None)
    assert "no batch came after it was due" in report_of(run_with([0] * 30))


def report_of(trace: Trace) -> str:
    """Return the report as one line."""
    return " ".join(" ".join(line.plain for line in render(summarise(trace), trace.run)).split())


def with_spans(trace: Trace, *spans: tuple[Kind, int, int, int]) -> Trace:
    """Return the run with spans of worker 0: kind, batch, start and duration in ms."""
    rows = [
        {"kind": int(kind), "batch": batch, "start_ns": start * MS, "duration_ns": length * MS}
        for kind, batch, start, length in spans
    ]
    return dataclasses.replace(trace, spans=lambda: iter(table(schema.SPANS, rows).to_batches()))


ONE_LONG = [1.0] * 50 + [900.0] + [1.0] * 50


def test_an_extreme_wait_is_named_with_what_its_worker_did() -> None:
    """The read that overlaps the wait is what the worker did; a read of another time is not."""
    trace = with_spans(run_with(ONE_LONG), (Kind.READ, 50, 600, 820), (Kind.OPEN, 50, 590, 10), (Kind.STAT, 3, 0, 400))
    found = summarise(trace).outliers
    assert found is not None
    (one,) = found.longest
    assert (found.steps, one.step, one.batch, one.worker, one.epoch) == (1, 50, 50, 0, 0)
    assert (one.wait_ns, one.at_s) == (900 * MS, 0.55)
    assert (one.worker_did, one.worker_did_ns) == ("read", 820 * MS)
    assert "step 50 waited 900 ms for batch 50 of worker 0, 820 ms of it in read" in report_of(trace)


def test_a_worker_outside_of_all_operations_is_told_only_where_all_spans_were_kept() -> None:
    """With spans of every batch it did nothing that is traced; with those of some batches nobody knows."""
    whole, sampled = (summarise(run_with(ONE_LONG, sample_every=every)) for every in (1, 4))
    longest = [one.outliers.longest[0] for one in (whole, sampled) if one.outliers is not None]
    assert [one.worker_did for one in longest] == ["between operations", None]
    for key in ("outliers.longest.worker_did", "outliers.longest.worker_did_ns"):
        assert key not in whole.reasons
        assert "not every span was kept" in sampled.reasons[key]


def test_without_spans_the_batch_tells_what_took_its_time() -> None:
    """A published run has no spans, but each batch's time in storage."""
    trace = run_with(ONE_LONG)
    batch = {"batch": 50, "worker": 0, "storage_ns": 850 * MS, "prep_ns": 3 * MS, "received_ns": 1, "samples": 64}
    trace = dataclasses.replace(trace, batches=table(schema.BATCHES, [batch]), has_spans=False)
    found = summarise(trace).outliers
    assert found is not None
    assert (found.longest[0].worker_did, found.longest[0].worker_did_ns) == ("fetch", 850 * MS)


def test_outliers_stay_in_the_figures() -> None:
    """Naming a step takes nothing away: the idle time is that of all steps."""
    summary = summarise(run_with(ONE_LONG))
    assert (summary.steps, summary.idle_s) == (101, 1.0)


def test_every_fourth_step_is_no_outlier_and_neither_is_a_short_wait() -> None:
    """What is usual in a run is not extreme, nor is what costs less than half a step."""
    in_order = [400.0 if step % 4 == 0 else 0.0 for step in range(100)]
    trifles = [0.01] * 99 + [3.0]
    for waits in (in_order, trifles, [5.0]):
        found = summarise(run_with(waits)).outliers
        assert found is not None
        assert (found.steps, found.longest) == (0, ())


def test_of_many_outliers_the_longest_are_named() -> None:
    """Ten in summary.json, longest first, with the count of all; three in the report; the start of an epoch is said."""
    waits = np.ones(1000)
    waits[20:40] = np.arange(1000, 1020)
    waits[500] = 5000
    trace = run_with(waits.tolist(), epochs=(500,))
    found = summarise(trace).outliers
    assert found is not None
    assert (found.steps, len(found.longest)) == (21, 10)
    assert [one.wait_ns // MS for one in found.longest[:3]] == [5000, 1019, 1018]
    assert (found.longest[0].opens_epoch, found.longest[1].opens_epoch) == (True, False)
    assert (
        "21 of 1,000 steps waited over 5.50 ms, 1 of them the first of an epoch (up to 5 s); step 39 waited 1.02"
        in report_of(trace)
    )
