"""Where the steady part begins, how long blocks must be, and how steady a run was: series of known truth."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from trace_builder import MS, make_trace, run_record, step_row

from ioprof.analysis.block_length import block_length
from ioprof.analysis.bootstrap import StepTimes, rate_ci95, utilization_ci95
from ioprof.analysis.measured import counted_ranks, measured_ranks
from ioprof.analysis.start_up import LEAST_STEPS, start_up_steps
from ioprof.analysis.summarise import summarise
from ioprof.trace.run_record import CalibrationRecord, RunRecord
from ioprof.trace.trace import Trace


def noisy(count: int, seed: int = 1) -> NDArray[np.float64]:
    """Return independent step times around 10 ms."""
    return np.random.default_rng(seed).lognormal(0, 0.3, count) * 10 * MS


def as_ns(times: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return whole nanoseconds."""
    return times.astype(np.int64)


def autoregressive(strength: float, count: int) -> NDArray[np.float64]:
    """Return values of which each is so much like the one before."""
    noise, values = np.random.default_rng(2).normal(0, 1, count), np.zeros(count)
    for index in range(1, count):
        values[index] = strength * values[index - 1] + noise[index]
    return values


@pytest.mark.parametrize("factor", [0.3, 2.5])
def test_start_up_is_found_to_the_group_of_five(factor: float) -> None:
    """Forty steps that are slower, or faster, than the rest are the start-up."""
    times = noisy(300)
    times[:40] *= factor
    assert start_up_steps(as_ns(times)) in (40, 45)


def test_a_start_that_slowly_gets_better_is_found() -> None:
    """Times that fall from fourfold to normal over 60 steps: most of the fall is cut, nothing beyond it by far."""
    times = noisy(400)
    times[:60] *= np.linspace(4, 1, 60)
    found = start_up_steps(as_ns(times))
    assert found is not None
    assert 30 <= found <= 75


def test_one_very_slow_step_in_the_middle_is_no_start_up() -> None:
    """Outliers are named, never cut: the rule on plain times would drop all before it."""
    times = noisy(200)
    times[90] *= 400
    assert start_up_steps(as_ns(times)) == 0


def test_the_slow_first_step_of_every_epoch_is_no_start_up() -> None:
    """Ten epochs of twenty steps: what returns with each epoch belongs to the run."""
    times = noisy(200)
    times[::20] *= 30
    assert start_up_steps(as_ns(times)) == 0


def test_workers_in_order_have_no_start_up() -> None:
    """One long wait and three short ones, again and again, is a steady state."""
    times = np.where(np.arange(200) % 4 == 0, 40.0, 0.1) * noisy(200)
    assert start_up_steps(as_ns(times)) == 0


def test_a_run_that_never_settles_has_no_known_start_up() -> None:
    """Faster and faster to the end: no half of it is steady. Nor is anything said of very short runs."""
    times = noisy(200) * np.geomspace(6, 1, 200)
    assert start_up_steps(as_ns(times)) is None
    assert start_up_steps(as_ns(times[: LEAST_STEPS - 1])) is None


@given(st.lists(st.integers(0, 10**12), max_size=150))
@settings(deadline=None, max_examples=60)
def test_start_up_is_never_more_than_half(times: list[int]) -> None:
    """Whatever the times, half of the steps are left."""
    found = start_up_steps(np.array(times, np.int64))
    assert found is None or 0 <= found <= len(times) / 2


def test_scaling_all_times_leaves_the_start_up() -> None:
    """A machine that is ten times slower has the same one."""
    times = noisy(200)
    times[:30] *= 3
    assert start_up_steps(as_ns(times)) == start_up_steps(as_ns(times * 10))


def test_blocks_grow_with_what_neighbours_have_in_common() -> None:
    """Independent values need hardly any; of an AR(1) with coefficient a it is (1.5 (2a / (1 - a^2))^2 n)^(1/3)."""
    independent, alike = block_length(autoregressive(0.0, 4000)), block_length(autoregressive(0.8, 4000))
    assert independent <= 6
    assert alike == pytest.approx((1.5 * (2 * 0.8 / 0.36) ** 2 * 4000) ** (1 / 3), rel=0.4)


@given(st.lists(st.floats(-1e12, 1e12), max_size=80))
@settings(deadline=None, max_examples=60)
def test_any_values_have_a_block_length(values: list[float]) -> None:
    """At least 1, and at most a third of the values."""
    assert 1 <= block_length(np.array(values, np.float64)) <= max(1, len(values) / 3)


def test_the_interval_of_a_rate_that_keeps_changing_is_wider_than_that_of_noise() -> None:
    """Shuffling the same steps takes away what neighbours have in common, and with it the width."""
    times = as_ns(10 * MS * np.exp(0.3 * autoregressive(0.9, 500)))
    samples = np.full(500, 64)
    low, high = rate_ci95(StepTimes(samples=samples, step_ns=times)) or (0.0, 0.0)
    shuffled = np.random.default_rng(3).permutation(times)
    near, far = rate_ci95(StepTimes(samples=samples, step_ns=shuffled)) or (0.0, 0.0)
    assert high - low > 2 * (far - near) > 0
    assert low < 64 * 500 / (times.sum() / 1e9) < high


def run_of(times: NDArray[np.float64], run: RunRecord | None = None) -> Trace:
    """Return the trace of a run without accelerator whose steps took these times."""
    ends = np.cumsum(as_ns(times)).tolist()
    steps = [step_row(k, start, end, end) for k, (start, end) in enumerate(zip([0, *ends], ends, strict=False))]
    return make_trace(run or run_record(busy_ns=None, warmup_steps=5), steps=steps)


def slow_start() -> NDArray[np.float64]:
    """Return 40 slow steps, then 260 that are not."""
    times = noisy(300)
    times[:40] *= 3
    return times


def told(trace: Trace, word: str) -> list[str]:
    """Return the caveats that hold a word."""
    return [caveat for caveat in summarise(trace).caveats if word in caveat]


def test_a_start_up_that_stayed_in_the_figures_is_told() -> None:
    """With what the rate would be without it, and the flag that leaves it out."""
    summary = summarise(run_of(slow_start()))
    assert summary.steady is not None
    assert summary.steady.start_up_steps in (40, 45)
    assert summary.samples_per_s is not None
    assert summary.steady.samples_per_s is not None
    assert summary.steady.samples_per_s > 1.15 * summary.samples_per_s
    (caveat,) = told(run_of(slow_start()), "start-up")
    assert "only 5 were left out" in caveat
    assert f"--warmup {summary.steady.start_up_steps}" in caveat


def test_warmup_auto_leaves_the_start_up_out_of_rates_but_not_of_operations() -> None:
    """Workers count operations as they go: they only know the steps that are left out in any case."""
    run = run_record(busy_ns=None, warmup_steps=5, spec={"run": {"warmup": "auto"}})
    trace = run_of(slow_start(), run)
    ranks = measured_ranks(trace.steps, run)
    assert ranks[0].first in (40, 45)
    assert counted_ranks(ranks, trace.steps, run, trace.checkpoints)[0].first == 5
    summary = summarise(trace)
    assert summary.warmup_steps == ranks[0].first
    assert summary.steady is not None
    assert summary.samples_per_s == pytest.approx(summary.steady.samples_per_s)
    assert "operations" in told(trace, "start-up")[0]


def test_warmup_auto_of_a_steady_run_is_the_least_warmup() -> None:
    """Where nothing is found, five steps are left out, as ever, and nothing is said."""
    run = run_record(busy_ns=None, warmup_steps=5, spec={"run": {"warmup": "auto"}})
    trace = run_of(noisy(300), run)
    assert (measured_ranks(trace.steps, run)[0].first, told(trace, "start-up")) == (5, [])


def test_a_rate_that_falls_for_good_is_no_steady_state() -> None:
    """The second half is 30 % slower, the caveat says by how much, and a steady run has no such caveat."""
    times = noisy(400)
    times[200:] *= 1.3
    (caveat,) = told(run_of(times), "No steady state")
    assert "slower than the first" in caveat
    assert told(run_of(noisy(400)), "No steady state") == []


def test_a_rate_that_is_known_badly_says_how_many_steps_it_takes() -> None:
    """Forty uneven steps are not enough; four thousand are."""
    wild = np.random.default_rng(4).lognormal(0, 1, 4000) * 10 * MS
    (caveat,) = told(run_of(wild[:45]), "are known to")
    asked = re.search(r"40 steps are too few .* About ([\d,]+) would", caveat)
    assert asked is not None
    assert 300 <= int(asked[1].replace(",", "")) <= 4000
    assert told(run_of(wild), "are known to") == []


@pytest.mark.parametrize(("after_ns", "words"), [(150, "1.5 times slower"), (50, "2.0 times faster"), (110, None)])
def test_a_machine_whose_speed_changed_is_told(after_ns: int, words: str | None) -> None:
    """In both directions; a tenth is within the loop's own scatter."""
    calibration = CalibrationRecord(before_ns=100, after_ns=after_ns)
    trace = run_of(noisy(300), run_record(busy_ns=None, calibration=calibration))
    summary = summarise(trace)
    assert summary.steady is not None
    assert summary.steady.speed_ratio == 100 / after_ns
    assert [words in caveat for caveat in told(trace, "This machine changed") if words] == [True] * (words is not None)
    assert bool(told(trace, "This machine changed")) == (words is not None)


def test_the_speed_of_a_run_that_ended_early_is_not_known() -> None:
    """One of the two values is no comparison."""
    summary = summarise(run_of(noisy(300), run_record(calibration=CalibrationRecord(before_ns=100))))
    assert summary.steady is not None
    assert (summary.steady.speed_ratio, "both ends" in summary.reasons["steady.speed_ratio"]) == (None, True)


def test_the_interval_of_a_few_blocks_goes_beyond_what_any_of_them_did() -> None:
    """Twenty steps, the first half fast and the second slow: three blocks say little of what other runs will do."""
    step_ns = np.repeat(np.array([1_000_000, 2_000_000]), 10)
    low, high = rate_ci95(StepTimes(samples=np.full(20, 64), step_ns=step_ns)) or (0.0, 0.0)
    assert 0 <= low < 32_000
    assert high > 64_000
    idle = np.repeat(np.array([0, 900]), 10)
    least, most = utilization_ci95(np.full(20, 1000), idle) or (0.0, 0.0)
    assert 0 <= least < 1000 / 1900
    assert most == 1.0
