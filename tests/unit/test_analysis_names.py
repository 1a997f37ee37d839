"""Runs that read nothing: no coverage, no bandwidth, and a verdict of their own; writing has its rate."""

from __future__ import annotations

import pytest
from trace_builder import MS, S, kernel_io, make_trace, operation_row, run_record, step_row

from ioprof.analysis.summarise import summarise
from ioprof.analysis.summary import Summary
from ioprof.report.terminal import render
from ioprof.trace.kinds import Kind, Phase

STEPS = [step_row(step, step * S, step * S + MS, (step + 1) * S) for step in range(40)]
STATS = operation_row(Kind.STAT, [2000] * 8000)
CLOSING = Phase.CLOSING
CREATIONS = operation_row(Kind.CREATE, [30_000] * 1000)


def _summary(*operations: dict[str, object], rchar: int = 20_000) -> Summary:
    run = run_record(busy_ns=None, kernel_io=kernel_io(tapped=0, read=0, rchar=rchar))
    return summarise(make_trace(run, steps=STEPS, operations=operations))


def test_a_run_on_names_alone_is_bound_by_metadata() -> None:
    """The sentence names the operation that took most of the time, not the most frequent one."""
    summary = _summary(STATS, CREATIONS)
    assert summary.verdict.bound == "metadata"
    assert "65 % of their time was create (30 µs each, 1,000 of them)" in summary.verdict.sentence
    assert "Without an accelerator there is no demand" in summary.verdict.sentence


def test_latencies_of_names_do_not_wait_for_bytes() -> None:
    """What the tracing itself reads is no reading of the workload: coverage is null, and latencies are shown."""
    summary = _summary(STATS)
    assert summary.operations["stat"].latency_ns is not None
    assert summary.coverage.ratio is None
    assert summary.reasons["coverage.ratio"] == "no operation that reads was traced"
    assert summary.bandwidth_bytes_per_s is None
    assert summary.reasons["bandwidth_bytes_per_s"] == "no operation that reads was traced"
    assert not any("taps saw" in caveat for caveat in summary.caveats)


def test_a_loader_that_reads_behind_the_taps_is_still_found_out() -> None:
    """The kernel saw far more bytes than tracing needs: latencies would describe the wrong operations."""
    summary = _summary(STATS, rchar=10**9)
    assert summary.coverage.ratio == 0
    assert summary.operations["stat"].latency_ns is None


@pytest.mark.parametrize("kind", [Kind.READ, Kind.WRITE, Kind.PUT])
def test_a_run_that_moves_bytes_is_not_called_one_of_names(kind: Kind) -> None:
    """Its verdict is the ordinary one."""
    assert _summary(STATS, operation_row(kind, [1000] * 10, size=4096)).verdict.bound is None


def test_writing_has_a_rate_of_its_own() -> None:
    """Bytes of writes and puts over the window; reads do not count among them, nor they among reads."""
    rows = [operation_row(kind, [1000] * 10, size=size) for kind, size in ((Kind.WRITE, 4000), (Kind.PUT, 8000))]
    summary = _summary(*rows, operation_row(Kind.READ, [1000] * 10, size=100))
    assert summary.wall_s == pytest.approx(40.0)
    assert summary.write_bandwidth_bytes_per_s == pytest.approx(120_000 / 40)
    assert summary.bandwidth_bytes_per_s == pytest.approx(1000 / 40)
    shown = " ".join(line.plain for line in render(summary, run_record(busy_ns=None), 200))
    assert "25 B/s read and 2.93 KiB/s written in" in shown


def test_what_epochs_begin_with_is_counted_apart() -> None:
    """It is in no rate; its time and its errors are told."""
    walk = operation_row(Kind.LIST, [MS] * 50, phase=Phase.EPOCH_START, errors=1)
    summary = _summary(STATS, walk)
    assert "list" not in summary.operations
    assert summary.epoch_start is not None
    assert summary.epoch_start.seconds == pytest.approx(0.05)
    assert (summary.epoch_start.operations["list"].count, summary.epoch_start.operations["list"].per_s) == (50, None)
    assert "epoch_start.operations.list.per_s" in summary.reasons
    assert summary.errors["list"].count == 1
    shown = " ".join(line.plain for line in render(summary, run_record(busy_ns=None), 200))
    assert "50 list by the workers before their first batches; 50 ms in them" in " ".join(shown.split())


def test_without_such_a_start_there_is_a_reason() -> None:
    """As for every null."""
    summary = _summary(STATS)
    assert (summary.epoch_start, "epoch_start" in summary.reasons) == (None, True)
    assert (summary.closing, "closing" in summary.reasons) == (None, True)


def test_what_workers_hand_over_at_their_end_is_in_no_rate() -> None:
    """It is told, with its share of all that was written and what failed of it."""
    rows = [operation_row(Kind.PUT, [1000] * 10, size=4000), operation_row(Kind.PUT, [MS], size=10_000, phase=CLOSING)]
    failed = operation_row(Kind.RENAME, [MS], phase=CLOSING, errors=1)
    summary = _summary(*rows, failed)
    assert summary.operations["put"].bytes == 40_000
    assert summary.write_bandwidth_bytes_per_s == pytest.approx(1000)
    assert summary.closing is not None
    assert summary.closing.seconds == pytest.approx(0.002)
    assert summary.closing.operations["put"].bytes == 10_000
    assert "closing.operations.put.per_s" in summary.reasons
    assert any("9.77 KiB, 20.0 % of all that was written, went to the store after" in one for one in summary.caveats)
    assert any("1 operation failed when workers handed over" in one for one in summary.caveats)
    shown = " ".join(line.plain for line in render(summary, run_record(busy_ns=None), 200))
    assert "1 rename, 1 put by the workers after the last step; 2 ms in them" in " ".join(shown.split())


def test_an_end_of_a_few_bytes_needs_no_caveat() -> None:
    """Two empty blocks that end an archive say nothing about a rate."""
    rows = [
        operation_row(Kind.WRITE, [1000] * 10, size=10**6),
        operation_row(Kind.WRITE, [9], size=1024, phase=CLOSING),
    ]
    assert not any("after the last step" in one for one in _summary(*rows).caveats)
