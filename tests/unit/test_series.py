"""A run over time: bins conserve what they sum, and keep extremes by name."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ioprof.analysis.lanes import lanes_around_longest_wait
from ioprof.analysis.measured import measured_ranks
from ioprof.analysis.series import HostSeries, host_rate, rates_over_time, step_bins, thinned
from ioprof.trace import schema
from ioprof.trace.kinds import Kind
from tests.unit.trace_builder import MS, Pipeline, make_trace, run_record, step_row, table

durations = st.lists(st.integers(1, 50), min_size=1, max_size=60)


@given(durations, st.integers(1, 80), st.integers(0, 3))
def test_bins_hold_all_of_every_step_and_the_longest_wait_by_name(fetch_ms: list[int], most: int, warmup: int) -> None:
    """Whatever the number of bins: busy, idle and steps add up, and the longest wait stands with its step."""
    trace = Pipeline(
        fetch=[ms * MS for ms in fetch_ms], prep=[0] * len(fetch_ms), compute=[5 * MS] * len(fetch_ms)
    ).trace(warmup_steps=warmup)
    ranks = measured_ranks(trace.steps, trace.run)
    found = step_bins(ranks, most)
    if not ranks[0].measured:
        assert found == []
        return
    (bins,) = found
    rank = ranks[0]
    assert len(bins.steps) == min(most, rank.measured)
    assert bins.steps.sum() == rank.measured
    assert bins.busy_s.sum() == pytest.approx(rank.busy_ns.sum() / 1e9)
    assert bins.idle_s.sum() == pytest.approx(rank.idle_ns.sum() / 1e9)
    longest = int(np.argmax(rank.idle_ns[rank.first :])) + rank.first
    place = int(np.argmax(bins.longest_wait_s))
    assert bins.longest_wait_s[place] == pytest.approx(rank.idle_ns[longest] / 1e9)
    assert rank.idle_ns[bins.longest_step[place]] == rank.idle_ns[longest]
    assert (np.diff(bins.start_s) > 0).all() and (bins.end_s >= bins.start_s).all()


def test_no_bins_hold_nothing() -> None:
    """It is refused rather than divided by."""
    with pytest.raises(ValueError, match="0 bins hold nothing"):
        step_bins([], 0)


@given(durations, st.integers(1, 20), st.integers(1, 4))
def test_rates_times_their_time_are_what_came(fetch_ms: list[int], bins: int, every: int) -> None:
    """Samples of all steps, and operations as often as spans stand for."""
    pipeline = Pipeline(fetch=[ms * MS for ms in fetch_ms], prep=[0] * len(fetch_ms), compute=[5 * MS] * len(fetch_ms))
    trace = pipeline.trace()
    ranks = measured_ranks(trace.steps, trace.run)
    ends = ranks[0].wait_end_ns.tolist()
    spans = table(
        schema.SPANS,
        [{"kind": int(Kind.READ), "start_ns": end - 10, "duration_ns": 5, "bytes": 7, "batch": 0} for end in ends],
    ).to_batches()
    rates = rates_over_time(ranks, spans, bins=bins, spans_every=every)
    assert rates is not None and rates.operations_per_s is not None and rates.read_bytes_per_s is not None
    width_s = (int(ranks[0].busy_end_ns[-1]) - int(ranks[0].wait_start_ns[0])) / 1e9 / bins
    assert (rates.samples_per_s * width_s).sum() == pytest.approx(ranks[0].samples.sum())
    assert (rates.operations_per_s * width_s).sum() == pytest.approx(every * len(ends))
    assert (rates.read_bytes_per_s * width_s).sum() == pytest.approx(7 * every * len(ends))


def _host(rows: list[tuple[int, str, float]], metric: str = "disk_read_bytes_total") -> pa.Table:
    return table(
        schema.HOST, [{"time_ns": at, "metric": metric, "device": device, "value": value} for at, device, value in rows]
    )


def test_a_counters_rate_is_its_growth_over_the_time_between_samples_all_devices_together() -> None:
    """Two disks: what both read between two looks."""
    second = 1_000 * MS
    host = _host(
        [
            (0, "a", 0.0),
            (0, "b", 100.0),
            (second, "a", 10.0),
            (second, "b", 130.0),
            (3 * second, "a", 30.0),
            (3 * second, "b", 130.0),
        ]
    )
    found = host_rate(host, "disk_read_bytes_total", 0, 3 * second)
    assert found is not None
    assert found.at_s.tolist() == [1.0, 3.0]
    assert found.value.tolist() == [40.0, 10.0]
    assert host_rate(host, "disk_read_bytes_total", 0, 0) is None
    assert host_rate(host, "psi_io_some_s_total", 0, 3 * second) is None


def test_thinned_series_keep_their_mean() -> None:
    """Neighbours are averaged, none is dropped."""
    series = HostSeries(at_s=np.arange(100.0), value=np.arange(100.0) ** 2)
    found = thinned(series, 10)
    assert len(found.value) == 10
    assert found.value.mean() == pytest.approx(series.value.mean())
    assert thinned(series, 200) is series


def test_the_lanes_are_drawn_around_the_longest_wait() -> None:
    """The batch that was waited for is among them, with its worker and stamps."""
    fetch = [10 * MS] * 40
    fetch[25] = 400 * MS
    trace = Pipeline(fetch=fetch, prep=[0] * 40, compute=[8 * MS] * 40).trace()
    found = lanes_around_longest_wait(measured_ranks(trace.steps, trace.run), trace.batches)
    assert not isinstance(found, str)
    assert found.step == 25
    assert 25 in found.batch.tolist()
    place = found.batch.tolist().index(25)
    assert found.fetch_end_s[place] - found.fetch_start_s[place] == pytest.approx(0.4)
    assert found.start_s <= found.received_s[place] <= found.end_s


def test_without_stamps_or_steps_the_lanes_say_why() -> None:
    """A loader that does not tell when it made its batches, and a run without steps."""
    trace = make_trace(run_record(), steps=[step_row(0, 0, 10, 20)])
    ranks = measured_ranks(trace.steps, trace.run)
    assert lanes_around_longest_wait(ranks, trace.batches) == "the loader does not say when its batches were made"
    assert lanes_around_longest_wait([], trace.batches) == "no step was measured"
