"""The measured window, its idle and busy time, and the figures made of them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trace_builder import MS, Pipeline, S, kernel_io, make_trace, run_record, step_row

from ioprof.analysis.bootstrap import utilization_ci95
from ioprof.analysis.host import cpu_utilization
from ioprof.analysis.kernel import cache_evidence, coverage
from ioprof.analysis.measured import RankSteps, measured_ranks
from ioprof.analysis.mlperf import mlperf_rates
from ioprof.analysis.summarise import summarise
from ioprof.report.terminal import render
from ioprof.trace.run_record import CacheRecord, EpochRecord
from ioprof.trace.schema import HOST


def ranks_of(steps: list[dict[str, object]], **changes: object) -> list[RankSteps]:
    """Return the ranks of plain step rows."""
    trace = make_trace(run_record(**changes), steps=steps)  # type: ignore[arg-type]
    return measured_ranks(trace.steps, trace.run)


def test_the_window_opens_where_the_last_warmup_step_ended() -> None:
    """Warm-up steps count nowhere; the wait after the last of them does."""
    steps = [step_row(0, 0, 50, 60), step_row(1, 60, 90, 100), step_row(2, 100, 105, 115)]
    (rank,) = ranks_of(steps, warmup_steps=1)
    assert (rank.first, rank.measured) == (1, 2)
    assert rank.idle_ns.tolist() == [0, 30, 5]
    assert rank.busy_ns.tolist() == [0, 10, 10]
    assert rank.window_ns == 115 - 60


def test_without_warmup_the_window_opens_with_the_first_wait() -> None:
    """The first step's predecessor is its own wait."""
    (rank,) = ranks_of([step_row(0, 7, 50, 60)])
    assert (rank.idle_ns.tolist(), rank.busy_ns.tolist(), rank.window_ns) == ([43], [10], 53)


def test_steps_are_ordered_by_rank_and_step() -> None:
    """The order of rows in the file does not matter."""
    rows = [step_row(1, 10, 12, 20), step_row(0, 0, 5, 10), step_row(0, 0, 3, 9, rank=1)]
    first, second = ranks_of(rows)
    assert first.idle_ns.tolist() == [5, 2]
    assert second.idle_ns.tolist() == [3]


def test_a_pause_between_epochs_is_neither_idle_nor_window() -> None:
    """Evicting the cache between epochs is ioprof's own doing."""
    steps = [step_row(0, 0, 5, 10), step_row(1, 1000, 1004, 1010, epoch=1)]
    epochs = [EpochRecord(epoch=0, start_ns=0, end_ns=12), EpochRecord(epoch=1, start_ns=1000, end_ns=1011)]
    (rank,) = ranks_of(steps, epochs=epochs)
    assert rank.idle_ns.tolist() == [5, 2 + 4]
    assert rank.tail_ns.tolist() == [0, 2]
    assert rank.window_ns == 10 + 2 + 10


def test_a_killed_run_without_epoch_records_assumes_the_pause_it_can_see() -> None:
    """With no record, the time from the last step to the next epoch's first wait is taken as the pause."""
    steps = [step_row(0, 0, 5, 10), step_row(1, 1000, 1004, 1010, epoch=1)]
    (rank,) = ranks_of(steps)
    assert rank.idle_ns.tolist() == [5, 4]


gaps = st.lists(st.tuples(st.integers(0, 99), st.integers(0, 99), st.booleans()), min_size=1, max_size=40)


@given(gaps, st.integers(0, 50), st.integers(0, 30))
@settings(max_examples=60, deadline=None)
def test_idle_and_busy_make_up_the_window_exactly(rows: list[tuple[int, int, bool]], warmup: int, pause: int) -> None:
    """Window = last end - window's opening - pauses, to the nanosecond."""
    now, epoch, steps, epochs, pauses = 0, 0, [], [[0, 0]], []
    for number, (waited, ran, turns) in enumerate(rows):
        if turns and number:
            epoch, now = epoch + 1, now + pause
            epochs.append([now, now])
            pauses.append((number, pause))
        steps.append(step_row(number, now, now + waited, now + waited + ran, epoch=epoch))
        now = epochs[-1][1] = now + waited + ran
    records = [EpochRecord(epoch=n, start_ns=low, end_ns=high) for n, (low, high) in enumerate(epochs)]
    (rank,) = ranks_of(steps, warmup_steps=warmup, epochs=records)
    opened = int(steps[rank.first - 1]["busy_end_ns"]) if rank.first else 0  # type: ignore[call-overload]
    in_window = sum(length for number, length in pauses if number >= rank.first)
    expected = now - opened - in_window if rank.measured else 0
    assert rank.window_ns == expected


def au_of(ranks: list[RankSteps], epochs: list[EpochRecord]) -> float | str:
    """Return MLPerf Storage's utilisation, or why there is none."""
    rates = mlperf_rates(ranks, epochs, 1)
    return rates if isinstance(rates, str) else rates.au


def test_mlperf_au_matches_a_block_worked_by_hand() -> None:
    """Three steps of 10 s with waits of 4, 1 and 2 s and a tail of 3 s: (10 + 10) / (40 - 14) = 0.769..."""
    steps = [
        step_row(0, 0, 4 * S, 14 * S),
        step_row(1, 14 * S, 15 * S, 25 * S),
        step_row(2, 25 * S, 27 * S, 37 * S),
    ]
    epochs = [EpochRecord(epoch=0, start_ns=0, end_ns=40 * S)]
    assert au_of(ranks_of(steps), epochs) == pytest.approx(20 / 26)


def test_mlperf_au_is_the_mean_over_epochs_and_needs_three_steps_in_each() -> None:
    """Ratios are averaged, as theirs are; a short epoch gives a reason, not a number."""
    steps = [step_row(k, k * 20, k * 20 + 10, k * 20 + 20, epoch=k // 3) for k in range(6)]
    epochs = [EpochRecord(epoch=0, start_ns=0, end_ns=60), EpochRecord(epoch=1, start_ns=60, end_ns=140)]
    assert au_of(ranks_of(steps), epochs) == pytest.approx((20 / 40 + 20 / 60) / 2)
    assert au_of(ranks_of(steps[:5]), epochs) == "epoch 1 has 2 steps; their formula needs 3"
    assert au_of(ranks_of(steps), epochs[:1]) == "epoch 1 did not end"


def test_the_interval_covers_the_truth_about_95_times_in_100() -> None:
    """For independent steps the bootstrap interval is neither far too narrow nor far too wide."""
    rng = np.random.default_rng(7)
    busy = np.full(400, 1000)
    hits = 0
    for _ in range(100):
        low, high = utilization_ci95(busy, rng.exponential(1000, 400).astype(np.int64)) or (1.0, 0.0)
        hits += low <= 0.5 <= high
    assert 88 <= hits <= 100


def test_an_interval_needs_twenty_steps_and_is_always_the_same() -> None:
    """Too few steps give none; the same trace gives the same one."""
    busy, idle = np.arange(1, 51), np.arange(50, 0, -1)
    assert utilization_ci95(busy[:19], idle[:19]) is None
    assert utilization_ci95(busy, idle) == utilization_ci95(busy, idle)
    low, high = utilization_ci95(busy, idle) or (1.0, 0.0)
    assert low < 0.5 < high


def test_the_cache_ratio_counts_what_the_device_did_not_deliver() -> None:
    """A quarter of the bytes fetched means three quarters from the page cache; readahead adds nothing."""
    evidence, reason = cache_evidence(run_record(kernel_io=kernel_io(tapped=4000, read=1000)))
    assert (evidence.client_hit_ratio, evidence.cold_achieved, reason) == (0.75, False, None)
    evidence, _ = cache_evidence(run_record(kernel_io=kernel_io(tapped=4000, read=9000)))
    assert (evidence.client_hit_ratio, evidence.cold_achieved) == (0.0, None)
    assert "readahead" in evidence.evidence


def test_small_files_are_compared_with_the_kernel_in_whole_pages() -> None:
    """512 B files, 7 in 8 from memory: the kernel fetched as many bytes as were read, but an eighth of the pages."""
    read = kernel_io(tapped=8 * 512 * 100, pages=8 * 4096 * 100, read=4096 * 100)
    evidence, reason = cache_evidence(run_record(kernel_io=read))
    assert (evidence.client_hit_ratio, evidence.cold_achieved, reason) == (0.875, False, None)
    assert "in whole pages, compared with" in evidence.evidence
    read = kernel_io(tapped=8 * 512 * 100, pages=8 * 4096 * 100, read=8 * 4096 * 100)
    assert cache_evidence(run_record(kernel_io=read))[0].cold_achieved is True


@pytest.mark.parametrize(("fetched", "cold"), [(100, None), (82, None), (77, False)])
def test_records_that_begin_inside_pages_leave_the_cache_ratio_unknown(fetched: int, cold: bool | None) -> None:
    """82 MB of pages are theirs, 154 MB they reach into: 82 MB fetched may be all of the one and half of the other."""
    found = [
        io.model_copy(update={"touched_page_bytes": 77_000_000})
        for io in kernel_io(tapped=82_000_000, pages=82_000_000, read=fetched * 1_000_000)
    ]
    evidence, reason = cache_evidence(run_record(kernel_io=found, cache=CacheRecord(requested="cold")))
    assert (evidence.client_hit_ratio, evidence.cold_achieved) == (None, cold)
    assert reason is not None
    assert "inside pages" in reason
    run = run_record(kernel_io=found, cache=CacheRecord(requested="cold", evictions=1))
    summary = summarise(make_trace(run, steps=[step_row(0, 0, 5, 10)]))
    assert summary.reasons["cache.client_hit_ratio"] == reason
    served = any("page cache served part of what was read" in caveat for caveat in summary.caveats)
    shown = " ".join(line.plain.strip() for line in render(summary, run))
    told = "not achieved (how much was cached is not known)" in shown
    assert served is told is (cold is False)


@pytest.mark.parametrize(("touched", "fetched", "ratio"), [(154, 154, 0.0), (84, 82, 0.0), (154, 0, 1.0)])
def test_bounds_that_agree_give_a_cache_ratio(touched: int, fetched: int, ratio: float) -> None:
    """All that was reached into came from the device, or nothing; or hardly a page was shared."""
    found = [
        io.model_copy(update={"touched_page_bytes": touched * 500_000})
        for io in kernel_io(tapped=82_000_000, pages=82_000_000, read=fetched * 1_000_000)
    ]
    evidence, reason = cache_evidence(run_record(kernel_io=found, cache=CacheRecord(requested="cold")))
    assert (evidence.client_hit_ratio, evidence.cold_achieved, reason) == (ratio, ratio == 0, None)


def test_an_eviction_that_left_nothing_proves_cold_for_records_inside_pages() -> None:
    """What the pages cannot tell is known from looking: no hit was left to hide."""
    found = [
        io.model_copy(update={"touched_page_bytes": 77_000_000})
        for io in kernel_io(tapped=82_000_000, pages=82_000_000, read=100_000_000)
    ]
    looked = CacheRecord(requested="cold", evictions=1, evicted_objects=1, checked_pages=1000, resident_pages=0)
    evidence, _ = cache_evidence(run_record(kernel_io=found, cache=looked))
    assert (evidence.client_hit_ratio, evidence.cold_achieved) == (0.0, True)


def test_a_worker_without_page_counts_makes_the_comparison_one_of_bytes() -> None:
    """An older run: within 1 % the bytes tell cold; a surplus hides hits, but what is a hit stays one."""
    assert cache_evidence(run_record(kernel_io=kernel_io(tapped=4000, read=4040)))[0].cold_achieved is True
    one, other = kernel_io(tapped=4000)
    uneven = [one.model_copy(update={"read_bytes": 0}), other.model_copy(update={"read_bytes": 90_000})]
    evidence, _ = cache_evidence(run_record(kernel_io=uneven))
    assert (evidence.client_hit_ratio, evidence.cold_achieved) == (0.5, False)


@pytest.mark.parametrize(
    "changes",
    [
        {"kernel_io": None},
        {"kernel_io": kernel_io(tapped=0)},
        {"kernel_io": kernel_io(), "store": {"url": "s3://bucket"}},
        {"kernel_io": kernel_io(), "store": {"url": "memory", "is_memory": True}},
    ],
)
def test_an_unknowable_cache_ratio_is_none_with_a_reason(changes: dict[str, object]) -> None:
    """No counters, no reads, a remote store, a file system in memory: no number, and why."""
    evidence, reason = cache_evidence(run_record(cache=CacheRecord(requested="cold"), **changes))  # type: ignore[arg-type]
    assert evidence.client_hit_ratio is None
    assert evidence.cold_achieved is None
    assert reason


def test_coverage_is_taps_over_kernel() -> None:
    """Half of what the workers read passed the taps."""
    seen, reason = coverage(run_record(kernel_io=kernel_io(tapped=4000, rchar=8000)))
    assert (seen.ratio, seen.tapped_bytes, seen.kernel_bytes, reason) == (0.5, 4000, 8000, None)


def test_cpu_utilization_is_interpolated_and_cut_to_the_window() -> None:
    """Two cores: 1.5 busy CPU seconds in 1 s are 75 %; samples outside the window do not count."""
    rows = [
        {"time_ns": time * S, "metric": "cpu_busy_s_total", "device": "", "value": value}
        for time, value in ((0, 0.0), (1, 0.0), (3, 3.0), (4, 99.0))
    ]
    rows += [{"time_ns": 0, "metric": "core_busy_s_total", "device": f"cpu{n}", "value": 0.0} for n in range(2)]
    host = pa.Table.from_pylist(rows, schema=HOST)
    assert cpu_utilization(host, 1500 * MS, 2500 * MS) == pytest.approx(0.75)
    assert isinstance(cpu_utilization(host, 9 * S, 10 * S), str)
    assert isinstance(cpu_utilization(None, 0, S), str)


@given(st.integers(1, 1000))
@settings(max_examples=60, deadline=None)
def test_scaling_every_time_leaves_the_utilisation(scale: int) -> None:
    """Utilisation has no unit: a clock ten times faster sees the same."""
    base = Pipeline(fetch=[30, 20, 10, 40], prep=[5] * 4, compute=[10] * 4)
    steps, _ = base.rows()
    scaled = [{k: v * scale if k.endswith("_ns") else v for k, v in row.items()} for row in steps]  # type: ignore[operator]
    (one,), (other,) = ranks_of(steps), ranks_of(scaled)
    assert other.busy_ns.sum() / other.window_ns == pytest.approx(one.busy_ns.sum() / one.window_ns)
