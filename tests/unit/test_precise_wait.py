"""Waiting for a moment: never short of it, and other threads run meanwhile."""

from __future__ import annotations

import threading
import time

from ioprof.host.precise_wait import PreciseWait, set_timer_slack


def test_a_wait_never_ends_early_and_keeps_its_margin_within_bounds() -> None:
    """Whatever waking up took before: too short for a sleep, long enough for one, or past already."""
    wait = PreciseWait()
    for ahead_ns in (-1_000_000, 0, 5_000, 300_000) * 20:
        moment_ns = time.perf_counter_ns() + ahead_ns
        wait.until(moment_ns)
        assert time.perf_counter_ns() >= moment_ns
        assert 10_000 <= wait.margin_ns <= 120_000


def test_other_threads_run_while_one_waits() -> None:
    """It sleeps outside the interpreter's lock: else the other thread would not get as far before the wait ends."""
    waited = threading.Event()

    def other() -> None:
        waiter.until(begun_ns + 300_000_000)
        waited.set()

    waiter, begun_ns, turns = PreciseWait(), time.perf_counter_ns(), 0
    thread = threading.Thread(target=other)
    thread.start()
    while not waited.is_set():
        turns += 1
    thread.join()
    assert turns > 1000


def test_timers_of_a_thread_can_be_made_precise() -> None:
    """Linux lets every thread set its own slack."""
    assert set_timer_slack(1)
    assert set_timer_slack(50_000)
