"""Intervals of rates, and the universal scalability law: known curves are found again, bounds are kept."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ioprof.probe.rates import half_width_ratio, rate_ci95, ratio_ci95
from ioprof.probe.scalability import Curve, fitted, scalability
from tests.unit.test_probe_climb import level

LEVELS = np.array([1.0, 2, 4, 8, 16, 32])


@given(
    one=st.floats(0.1, 1e6),
    contention=st.floats(0, 0.9),
    coherency=st.floats(0, 0.1),
)
def test_a_curve_without_noise_is_found_again(one: float, contention: float, coherency: float) -> None:
    """Whatever its parameters, zero included."""
    truth = Curve(one_per_s=one, contention=contention, coherency=coherency)
    found = fitted(LEVELS, truth.rate_per_s(LEVELS))
    assert found.one_per_s == pytest.approx(one, rel=1e-6)
    assert (found.contention, found.coherency) == pytest.approx((contention, coherency), abs=1e-7)


@given(
    rates=st.lists(st.floats(10, 1000), min_size=6, max_size=6),
    other=st.tuples(st.floats(1, 1000), st.floats(0, 2), st.floats(0, 1)),
)
def test_no_other_curve_within_the_bounds_fits_better(rates: list[float], other: tuple[float, float, float]) -> None:
    """Also of rates that follow no such curve, such as those that grow faster than the processes."""
    measured = np.array(rates)

    def error(curve: Curve) -> float:
        return float(np.sum((1 - measured / curve.rate_per_s(LEVELS)) ** 2))

    found = fitted(LEVELS, measured)
    assert min(found.contention, found.coherency) >= 0
    assert error(found) <= error(Curve(one_per_s=other[0], contention=other[1], coherency=other[2])) * (1 + 1e-6)


def test_the_law_comes_with_intervals_that_hold_what_it_was_made_of() -> None:
    """Windows spread by a few per cent around a true curve: the true parameters lie within."""
    truth = Curve(one_per_s=1000, contention=0.05, coherency=0.002)
    levels = [level(int(n), float(truth.rate_per_s(np.array([n]))[0]), spread=0.02) for n in LEVELS]
    law = scalability(levels)
    assert law is not None
    assert law.samples_per_s_of_one_ci95[0] <= 1000 <= law.samples_per_s_of_one_ci95[1]
    assert law.contention_ci95[0] <= 0.05 <= law.contention_ci95[1]
    assert law.coherency_ci95[0] <= 0.002 <= law.coherency_ci95[1]
    assert law.error_ratio < 0.01
    assert scalability(levels[:2]) is None


def test_an_interval_is_students() -> None:
    """Four windows: three degrees of freedom, t = 3.182; three at least are needed."""
    mean, error = 100.0, math.sqrt(20 / 3) / 2
    assert rate_ci95([98.0, 99.0, 101.0, 102.0]) != (mean, mean)
    low, high = rate_ci95([97.0, 99.0, 101.0, 103.0]) or (0.0, 0.0)
    assert (low, high) == pytest.approx((mean - 3.182 * error, mean + 3.182 * error))
    assert half_width_ratio([97.0, 99.0, 101.0, 103.0]) == pytest.approx(3.182 * error / mean)
    assert rate_ci95([97.0, 103.0]) is None
    assert half_width_ratio([97.0, 103.0]) == math.inf


def test_a_ratio_of_rates_is_surer_the_less_they_spread() -> None:
    """Equal rates are 1 to each other, within an interval that noise widens; unknown ones could be anything."""
    steady, noisy = [99.0, 100.0, 101.0, 100.0], [60.0, 140.0, 90.0, 110.0]
    narrow, wide = ratio_ci95(steady, steady), ratio_ci95(noisy, steady)
    assert wide[0] < narrow[0] < 1 < narrow[1] < wide[1]
    assert ratio_ci95([200.0, 202.0, 198.0, 200.0], steady)[0] > 1.9
    assert ratio_ci95([100.0], steady) == (0.0, math.inf)
