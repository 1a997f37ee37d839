"""The climb: how far it goes, what it calls the ceiling, and what it says was the limit."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from probe_levels import probe_level as level
from probe_levels import probe_record

from ioprof.probe.climb import ceiling_of, climb
from ioprof.trace.probe_record import LevelRecord


def store(
    per_process: float, most: float, asked: list[int], *, spread: float = 0.01
) -> Callable[[int], LevelRecord | None]:
    """Return the measurements of a store that gives each process so much, and all together no more than ``most``."""

    def measure(processes: int) -> LevelRecord:
        asked.append(processes)
        return level(processes, min(most, per_process * processes), spread=spread)

    return measure


def test_a_climb_ends_where_twice_the_processes_bring_no_more() -> None:
    """One level that surely did not grow is enough; its predecessor is what the ceiling needs."""
    asked: list[int] = []
    ceiling = ceiling_of(climb(store(100, 800, asked), first=1, most=128))
    assert asked == [1, 2, 4, 8, 16]
    assert ceiling is not None
    assert (ceiling.samples_per_s, ceiling.processes_needed) == (800, 8)
    assert (ceiling.limited_by, ceiling.is_lower_bound) == ("store", False)


def test_noise_that_hides_whether_a_level_grew_costs_one_more_level() -> None:
    """With wide intervals, no level is shown not to have grown: two that look so must agree."""
    asked: list[int] = []
    climbed = climb(store(100, 400, asked, spread=0.3), first=1, most=128)
    assert asked == [1, 2, 4, 8, 16]
    assert not climbed.still_grew


def test_a_climb_that_begins_in_the_middle_measures_fewer_processes_at_its_end() -> None:
    """Beside a run, its own number of workers comes first: time may end before one process had its turn."""
    asked: list[int] = []
    climb(store(100, 800, asked), first=4, most=128)
    assert asked == [4, 8, 16, 2, 1]


def test_a_climb_that_is_cut_short_says_that_the_store_may_give_more() -> None:
    """Neither by the most processes allowed nor by a budget is the store's limit found."""
    asked: list[int] = []
    for climbed in (
        climb(store(100, 1e9, asked), first=1, most=4),
        climb(_until(store(100, 1e9, asked), 3), first=1, most=99),
    ):
        ceiling = ceiling_of(climbed)
        assert ceiling is not None
        assert (ceiling.limited_by, ceiling.is_lower_bound) == ("unknown", True)
    assert asked == [1, 2, 4, 1, 2, 4]


def _until(measure: Callable[[int], LevelRecord | None], levels: int) -> Callable[[int], LevelRecord | None]:
    left = [levels]

    def limited(processes: int) -> LevelRecord | None:
        left[0] -= 1
        return measure(processes) if left[0] >= 0 else None

    return limited


@pytest.mark.parametrize(
    "busy",
    [
        {"on_cpu_ratio": 0.95},
        {"host_cpu_ratio": 0.97, "run_queue_ratio": None},
        {"run_queue_ratio": 0.6, "blocked_ratio": 0.3},
    ],
)
def test_a_host_without_free_cpus_is_not_taken_for_a_slow_store(busy: dict[str, float]) -> None:
    """Used by the probe, used by others, or seen in the queue for a CPU: the ceiling is the client's."""
    ceiling = ceiling_of(climb(lambda n: level(n, 500.0, **busy), first=1, most=8))
    assert ceiling is not None
    assert (ceiling.limited_by, ceiling.is_lower_bound) == ("client", True)


def test_a_crowded_host_leaves_open_whose_limit_it_was() -> None:
    """Processes that waited for the store, but half as long for a CPU too, would have got more with free ones."""
    crowded = climb(lambda n: level(n, 500.0, run_queue_ratio=0.35, blocked_ratio=0.45), first=1, most=8)
    ceiling = ceiling_of(crowded)
    assert ceiling is not None
    assert (ceiling.limited_by, ceiling.is_lower_bound) == ("unknown", True)


def test_nothing_read_is_no_ceiling_of_zero() -> None:
    """Without a level, or with levels that read nothing, there is no ceiling."""
    assert ceiling_of(climb(lambda _: None, first=1, most=8)) is None
    assert ceiling_of(climb(lambda n: level(n, 0.0), first=1, most=8)) is None


def test_a_level_that_saw_no_sample_end_is_not_what_the_store_gives() -> None:
    """A verdict that compares a run with it would say that the store gives so many processes nothing."""
    record = probe_record([level(4, 100.0), level(8, 0.0)])
    assert record.level(4) is not None
    assert record.level(8) is None


def test_the_most_that_is_allowed_is_the_last_level() -> None:
    """A step that is less than twofold shows growth, never that there is none."""
    asked: list[int] = []
    climbed = climb(store(100, 1e9, asked), first=1, most=6)
    assert asked == [1, 2, 4, 6]
    assert (climbed.ended, climbed.still_grew) == ("most", True)
    assert climb(store(100, 400, asked), first=1, most=5).ended == "most"


@pytest.mark.parametrize(
    ("rates", "most", "told"),
    [
        ([100, 200, 400], 4, "the rate still grew at 4 processes, the most that it was allowed"),
        ([100, 200, 400], 99, "the rate still grew at 4 processes, where the probe had to end"),
        ([100, 200, 150], 99, "no more than 4 processes were tried, where the probe had to end"),
        ([100], 1, "only 1 process could be tried, the most that it was allowed"),
    ],
)
def test_the_evidence_says_why_a_climb_ended(rates: list[float], most: int, told: str) -> None:
    """A rate that fell at the end, or was measured once, is not said to have grown."""
    levels = iter([level(2**step, rate, spread=0.3) for step, rate in enumerate(rates)])
    ceiling = ceiling_of(climb(lambda _: next(levels, None), first=1, most=most))
    assert ceiling is not None
    assert ceiling.evidence.startswith(told)
    assert ceiling.is_lower_bound
