"""The search: the same choice as trying everything, in few runs; and what it does where things fail."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ioprof.errors import RunError
from ioprof.tuning.choose import NEAR_RATIO, Next
from ioprof.tuning.predictor import Corrected, Forecast, Interpolation, Predicted
from ioprof.tuning.remarks import unmeasured_told
from ioprof.tuning.replay import between
from ioprof.tuning.search import choice
from ioprof.tuning.setting import Setting
from ioprof.tuning.tunable import Measured
from tests.tuned_curves import Curve, Oracle, Rate, all_settings, saturating, searched


def exhaustive(rate: Rate, most_workers: int = 32) -> Setting:
    """Return the smallest setting within 2 % of the best of all."""
    rates = {one: rate(one) for one in all_settings(most_workers)}
    return min(one for one, found in rates.items() if found >= NEAR_RATIO * max(rates.values()))


curves = st.builds(
    saturating,
    st.floats(50, 500),
    st.floats(100, 4000),
    slowed=st.sampled_from([0.0, 0.02, 0.1]),
    without=st.floats(0.2, 6.0),
)


@settings(max_examples=30, deadline=None)
@given(curves, st.floats(0.7, 1.4), st.floats(0.995, 1.005))
def test_with_a_fair_model_the_choice_is_that_of_trying_everything(rate: Rate, scale: float, drift: float) -> None:
    """A model off by a constant, that drifts by up to half a percent per worker, costs runs but not the answer."""
    tunable = Curve(rate)
    error = lambda one: scale * drift ** min(one.workers, 12)  # noqa: E731
    search = searched(tunable, Corrected(Oracle(rate, error, spread=0.05)))
    found = choice(search.known())
    assert found is not None
    top = max(rate(one) for one in all_settings(32))
    assert rate(found[0].setting) >= NEAR_RATIO**2 * top
    assert len(tunable.runs) <= len(all_settings(32)) / 4
    assert len(set(tunable.runs)) == len(tunable.runs)


@settings(max_examples=30, deadline=None)
@given(curves, st.floats(0.7, 1.4), st.floats(0.98, 1.02))
def test_however_wrong_the_model_a_quarter_of_the_settings_is_run_at_most(
    rate: Rate, scale: float, drift: float
) -> None:
    """A model that drifts by two percent per worker can cost the answer, but no more time; what was left is known."""
    tunable = Curve(rate)
    error = lambda one: scale * drift ** min(one.workers, 12)  # noqa: E731
    search = searched(tunable, Corrected(Oracle(rate, error, spread=0.05)))
    assert len(tunable.runs) <= search.most_runs == len(all_settings(32)) // 4
    assert choice(search.known()) is not None
    assert search.unmeasured is None or not search.has_runs_left(search.unmeasured)


@settings(max_examples=30, deadline=None)
@given(curves)
def test_without_a_model_what_is_chosen_was_run_and_beats_all_that_was(rate: Rate) -> None:
    """Bent lines are a poor model; the answer still rests on runs alone, and on few of them."""
    tunable = Curve(rate)
    search = searched(tunable, Corrected(Interpolation()))
    found = choice(search.known())
    assert found is not None and found[0].setting in tunable.runs
    assert rate(found[0].setting) >= NEAR_RATIO * max(map(rate, tunable.runs))
    assert len(tunable.runs) <= 20


def test_a_perfect_model_needs_the_first_runs_the_winner_and_what_is_smaller() -> None:
    """Six runs in place of seventy."""
    rate = saturating(100, 1000)
    tunable = Curve(rate)
    found = choice(searched(tunable, Oracle(rate)).known())
    assert found is not None
    assert found[0].setting == exhaustive(rate)
    assert len(tunable.runs) <= 6


def test_no_workers_win_where_moving_batches_costs_more_than_reading_them() -> None:
    """A warm cache: the smallest of all settings is the best, and nothing smaller is left to try."""
    rate = saturating(100, 150, slowed=0.1, without=5.0)
    found = choice(searched(Curve(rate), Corrected(Interpolation())).known())
    assert found is not None
    assert found[0].setting == Setting(0, None)


def test_a_setting_that_fails_is_a_finding_and_larger_ones_are_left_alone() -> None:
    """Out of shared memory from 8 workers on: the search goes on below."""
    tunable = Curve(saturating(100, 3000), fails=lambda one: one.in_flight > 16)
    search = searched(tunable, Corrected(Interpolation()))
    found = choice(search.known())
    assert found is not None and found[0].setting.in_flight <= 16
    assert search.failed
    assert all(one.in_flight <= 16 or one in search.failed for one in tunable.runs)


def test_where_nothing_can_be_run_the_first_failures_are_told() -> None:
    """Two failures and no success: it is not the setting."""
    tunable = Curve(saturating(100, 1000), fails=lambda _: True)
    with pytest.raises(RunError, match="no setting could be measured: 4 workers, prefetch 2: a worker was killed"):
        searched(tunable, Corrected(Interpolation()))
    assert len(tunable.runs) == 2


def test_a_budget_that_ends_leaves_a_choice_of_what_was_run_and_says_what_was_left() -> None:
    """Each run takes a second."""
    tunable = Curve(saturating(100, 3000))
    search = searched(tunable, Corrected(Interpolation()), budget_s=3.5)
    found = choice(search.known())
    assert found is not None and found[0].setting in tunable.runs
    assert len(tunable.runs) <= 4
    assert search.unmeasured is not None
    assert search.has_runs_left(search.unmeasured)
    assert "a longer budget" in unmeasured_told(search.unmeasured, search.known())


def test_what_is_left_when_the_runs_are_used_up_is_told_with_their_number() -> None:
    """No longer budget would help there."""
    told = unmeasured_told(Next(setting=Setting(4, 2), why="best"), {}, 16)
    assert told == "16 runs, all that a search may take, ended before 4 workers, prefetch 2 was measured"


def test_one_worker_at_most_and_one_cpu() -> None:
    """Small hosts have something to tune too."""
    rate = saturating(100, 1000, without=0.5)
    tunable = Curve(rate)
    found = choice(searched(tunable, Corrected(Interpolation()), most_workers=1).known())
    assert found is not None and found[0].setting.workers == 1
    assert {one.workers for one in tunable.runs} == {0, 1}


def test_between_two_replayed_worker_counts_the_line_is_straight_over_their_logarithm() -> None:
    """With the same prefetch only, and not beyond either end."""
    rates = {
        Setting(2, 2): Predicted(samples_per_s=100.0, samples_per_s_ci95=(90.0, 110.0), accelerator_utilization=0.2),
        Setting(8, 2): Predicted(samples_per_s=300.0, samples_per_s_ci95=(280.0, 320.0), accelerator_utilization=0.6),
        Setting(0, None): Predicted(samples_per_s=50.0, samples_per_s_ci95=None),
    }
    found = between(rates, Setting(4, 2))
    assert found is not None
    assert (found.samples_per_s, found.accelerator_utilization) == pytest.approx((200.0, 0.4))
    assert found.samples_per_s_ci95 == pytest.approx((185.0, 215.0))
    for outside in (Setting(1, 2), Setting(10, 2), Setting(4, 4), Setting(0, None)):
        assert between(rates, outside) is None


def test_what_is_off_where_it_was_run_is_moved_nearby_and_less_far_away() -> None:
    """A model that promises twice the rate at eight workers alone."""
    rates = {Setting(1, 2): 100.0, Setting(2, 2): 200.0, Setting(8, 2): 400.0}
    runs = [Measured(setting=one, samples_per_s=rate, seconds=1.0) for one, rate in rates.items()]
    oracle = Oracle(lambda one: rates.get(one, 800.0), lambda one: 2.0 if one == Setting(8, 2) else 1.0)
    found = Corrected(oracle).forecast(runs, [Setting(2, 2), Setting(7, 2), Setting(8, 2), Setting(32, 2)]).predicted
    assert found[Setting(2, 2)].samples_per_s == pytest.approx(200.0, rel=0.01)
    assert found[Setting(8, 2)].samples_per_s == pytest.approx(400.0, rel=0.01)
    assert found[Setting(7, 2)].samples_per_s < found[Setting(32, 2)].samples_per_s < 800.0


@pytest.mark.parametrize("known", [None, 0.5])
def test_where_nothing_used_the_batches_no_utilisation_is_predicted(known: float | None) -> None:
    """A replay makes some of the little time between them."""

    class Replaying:
        def forecast(self, measured: Sequence[Measured], settings: Sequence[Setting]) -> Forecast:
            one = Predicted(samples_per_s=100.0, samples_per_s_ci95=None, accelerator_utilization=0.5)
            return Forecast(by="replay", predicted=dict.fromkeys(settings, one))

    runs = [Measured(setting=Setting(1, 2), samples_per_s=100.0, seconds=1.0, accelerator_utilization=known)]
    found = Corrected(Replaying()).forecast(runs, [Setting(2, 2)]).predicted
    assert found[Setting(2, 2)].accelerator_utilization == known


def test_what_is_far_below_the_best_is_not_run() -> None:
    """Without workers a slow store gives half at most: no run has to show it; where it comes near, it is run."""
    for without, is_run in ((1.0, False), (4.0, True)):
        tunable = Curve(saturating(100, 500, without=without))
        searched(tunable, Oracle(tunable.rate))
        assert (Setting(0, None) in tunable.runs) == is_run


def test_noise_that_promises_another_winner_each_time_does_not_go_on_for_long() -> None:
    """Every prediction is twice what a run gives: what was run decides after two of them were in vain."""

    def falling(one: Setting) -> float:
        return 100.0 - one.workers

    tunable = Curve(falling)
    found = choice(searched(tunable, Oracle(falling, lambda one: 2.0 + 0.05 * one.workers)).known())
    assert found is not None and found[0].setting in tunable.runs
    assert len(tunable.runs) <= 7


def test_predictions_are_part_of_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five seconds for each round of them leave no time for as many runs of one second."""
    clock = iter(range(0, 10_000, 5))
    monkeypatch.setattr("ioprof.tuning.search.time.monotonic", lambda: float(next(clock)))
    tunable = Curve(saturating(100, 3000))
    search = searched(tunable, Corrected(Interpolation()), budget_s=12.0)
    assert search.spent_s == 6.0 * len(tunable.runs)
    assert len(tunable.runs) <= 3
    assert search.unmeasured is not None
