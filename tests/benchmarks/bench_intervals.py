"""How often a 95 % interval holds the truth, and how well start-up is found: simulated runs of known rate.

Run: python tests/benchmarks/bench_intervals.py [runs per case]
Prints, for each kind of series and number of steps, the share of intervals that hold the true rate with their median
half-width, the share of runs in which a start-up is found though there is none, and the share in which one of 40
steps is found (cut between step 30 and 60). Exit code 1 where a goal is missed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ioprof.analysis.bootstrap import StepTimes, rate_ci95
from ioprof.analysis.start_up import start_up_steps

Series = Callable[[np.random.Generator, int], NDArray[np.float64]]
COUNTS = (40, 100, 400, 2000)
LEAST_COVERAGE = {100: 0.80, 400: 0.85, 2000: 0.88}
SHORT_OF_EVENTS = {"bursty": 2000, "rare pauses": 400}
"""Below so many steps a run holds too few of the events for any interval to know of them: no goal there."""
MOST_FALSE = 0.05
STEP_NS = 10_000_000
START_UP = 40


def independent(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Lognormal times with a coefficient of variation of 0.5, each for itself."""
    return rng.lognormal(0, 0.47, count)


def correlated(strength: float) -> Series:
    """Times whose logarithm is autoregressive of first order."""

    def series(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
        noise = rng.normal(0, 0.47 * np.sqrt(1 - strength**2), count)
        level, found = rng.normal(0, 0.47), np.empty(count)
        for index in range(count):
            level = found[index] = strength * level + noise[index]
        return np.exp(found)

    return series


def in_order(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Four workers in order: one long wait, then three batches that are there already."""
    long = np.arange(count) % 4 == rng.integers(4)
    return np.where(long, rng.lognormal(0, 0.3, count) * 3.7, 0.1)


def bursty(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    """A server that is three times slower for some twenty steps, then well again for some sixty."""
    slow, found = bool(rng.random() < 0.25), np.empty(count)
    leaves = {True: 1 / 20, False: 1 / 60}
    for index in range(count):
        found[index] = 3.0 if slow else 1.0
        slow ^= bool(rng.random() < leaves[slow])
    return found * rng.lognormal(0, 0.2, count)


def rare(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    """One step in a hundred takes fifty times as long as the others."""
    return np.where(rng.random(count) < 0.01, 50.0, 1.0) * rng.lognormal(0, 0.1, count)


SERIES: dict[str, Series] = {
    "independent": independent, "AR(1) 0.5": correlated(0.5), "AR(1) 0.8": correlated(0.8), "in order": in_order,
    "bursty": bursty, "rare pauses": rare,
}  # fmt: skip


def main() -> int:
    """Simulate, print, judge."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 400
    rng = np.random.default_rng(7)
    print(f"{runs} runs per case; coverage (median half-width), start-up found where there is none / is one")
    missed = []
    for name, series in SERIES.items():
        truth = 1 / (np.mean([series(rng, 4000).mean() for _ in range(100)]) * STEP_NS) * 64e9
        for count in COUNTS:
            made = [series(rng, count) for _ in range(runs)]
            share, width = _coverage(made, float(truth))
            false, found = _found(made, 1.0)[0], _found(made, 2.0)[1]
            print(f"  {name:<12} {count:>5} steps  {share:6.1%} (± {width:5.1%})  {false:5.1%} / {found:5.1%}")
            if share < LEAST_COVERAGE.get(count, 0.0) and count >= SHORT_OF_EVENTS.get(name, 0):
                missed.append(f"{name}, {count} steps: {share:.1%} of the intervals hold the truth")
            if false > MOST_FALSE and count >= SHORT_OF_EVENTS.get(name, 0):
                missed.append(f"{name}, {count} steps: start-up found in {false:.1%} of the runs without")
    print("\n".join(missed) or "all goals met")
    return 1 if missed else 0


def _coverage(made: list[NDArray[np.float64]], truth: float) -> tuple[float, float]:
    held, widths = 0, []
    for times in made:
        steps = StepTimes(samples=np.full(len(times), 64, np.int64), step_ns=(times * STEP_NS).astype(np.int64))
        low, high = rate_ci95(steps) or (0.0, 0.0)
        held += low <= truth <= high
        widths.append((high - low) / 2 / truth)
    return held / len(made), float(np.median(widths))


def _found(made: list[NDArray[np.float64]], factor: float) -> tuple[float, float]:
    """Return the shares of runs in which any start-up, and in which the right one is found."""
    start = np.ones(max(map(len, made)))
    start[:START_UP] = factor
    cuts = [start_up_steps((times * start[: len(times)] * STEP_NS).astype(np.int64)) for times in made]
    any_found = sum(cut != 0 and len(times) >= 60 for cut, times in zip(cuts, made, strict=True))
    right = sum(cut is not None and 30 <= cut <= 60 for cut in cuts)
    return any_found / len(made), right / len(made)


if __name__ == "__main__":
    sys.exit(main())
