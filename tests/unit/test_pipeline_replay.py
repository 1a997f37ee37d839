"""The replay of batches through a pipeline: rates that follow from arithmetic alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ioprof.analysis.pipeline.load import Layout, Load
from ioprof.analysis.pipeline.replay import replay

MS = 1e6


def load(count: int = 400, **ms: float) -> Load:
    """Return equal batches of 10 samples; durations in ms by the names of `Load`, without ``_ns``."""
    names = (
        "store", "cpu", "blocked", "send", "send_wait", "after", "unwrap", "unwrap_wait", "handover", "pin", "transfer",
        "busy", "before",
    )  # fmt: skip
    columns = {f"{name}_ns": np.full(count, ms.get(name, 0.0) * MS) for name in names}
    return Load(samples=np.full(count, 10), opens=np.arange(count) == 0, **columns)


LAYOUT = Layout(
    workers=2, prefetch=2, in_order=True, pin=False, cores=64.0, other_load=0.0, ranks=1, hosts=1,
    slowdown=lambda _: 1.0, wake_ns=0.0, parts=1,
)  # fmt: skip


def step_ms(work: Load, layout: Layout) -> float:
    """Return how long a step takes once the pipeline is full, in ms."""
    ends = replay(work, layout).busy_end_ns
    return float(ends[-41] - ends[39]) / (len(ends) - 80) / MS


@pytest.mark.parametrize(("workers", "expected"), [(0, 13.0), (1, 8.0), (2, 5.0), (3, 5.0)])
def test_the_slower_of_workers_and_accelerator_sets_the_pace(workers: int, expected: float) -> None:
    """Workers need 8 ms a batch, consumer and accelerator 5 ms; without workers both follow each other."""
    work = load(store=6, cpu=2, unwrap=1, busy=4)
    assert step_ms(work, replace(LAYOUT, workers=workers)) == pytest.approx(expected, rel=1e-6)


def test_work_that_does_not_fit_the_cpus_is_done_at_their_speed() -> None:
    """Four workers of 4 ms computing, on two CPUs: a batch each 2 ms, not each 1 ms."""
    assert step_ms(load(cpu=4), replace(LAYOUT, workers=4, cores=2.0)) == pytest.approx(2.0, rel=0.01)


def test_other_programs_take_their_share_of_the_cpus() -> None:
    """One worker of 60 ms beside another program on one CPU takes 120 ms: each has its turns."""
    layout = replace(LAYOUT, workers=1, cores=1.0, other_load=1.0)
    assert 105 < step_ms(load(cpu=60), layout) < 125


def test_a_store_at_its_ceiling_gives_no_more_to_more_workers() -> None:
    """A store that serves four requests at once, 8 ms each: eight workers get no more than four."""
    layout = replace(LAYOUT, slowdown=lambda requests: max(1.0, requests / 4))
    four, eight = (step_ms(load(store=8), replace(layout, workers=workers)) for workers in (4, 8))
    assert four == pytest.approx(2.0, rel=0.01)
    assert eight == pytest.approx(2.0, rel=0.01)


def test_hosts_share_the_store_and_nothing_else() -> None:
    """Two hosts of four workers are eight at the store, and each has its own CPUs."""
    layout = replace(LAYOUT, workers=4, slowdown=lambda requests: max(1.0, requests / 4))
    assert step_ms(load(store=8), replace(layout, hosts=2)) == pytest.approx(4.0, rel=0.01)
    assert step_ms(load(cpu=8), replace(layout, hosts=2)) == pytest.approx(2.0, rel=0.01)


def test_out_of_order_delivery_never_waits_for_one_slow_batch() -> None:
    """Every tenth batch takes ten times as long: in order the others wait for it, out of order they do not."""
    slow = np.where(np.arange(400) % 10 == 0, 10.0, 1.0) * 4 * MS
    work = replace(load(busy=1), store_ns=slow)
    layout = replace(LAYOUT, workers=4)
    assert step_ms(work, replace(layout, in_order=False)) < 0.9 * step_ms(work, layout)


def test_ranks_take_each_step_when_the_last_of_them_can() -> None:
    """Four ranks whose batches vary are slower than one: each step waits for the slowest."""
    drawn = np.random.default_rng(7).exponential(6 * MS, 400)
    work = replace(load(busy=2), store_ns=drawn)
    assert step_ms(work, replace(LAYOUT, ranks=4)) > 1.1 * step_ms(work, LAYOUT)


def test_every_batch_is_delivered_once() -> None:
    """Epochs, pinning and out-of-order delivery lose nothing and repeat nothing."""
    work = replace(load(count=60, store=3, send=1, unwrap=1, pin=1), opens=np.arange(60) % 20 == 0)
    work = replace(work, samples=np.arange(60))
    for in_order in (True, False):
        steps = replay(work, replace(LAYOUT, workers=3, in_order=in_order, pin=True))
        assert sorted(steps.samples.tolist()) == list(range(60))


def test_waiting_for_a_cpu_is_told_apart_from_work() -> None:
    """Four workers of 4 ms computing on two CPUs wait as long as they compute; two of them never wait."""
    crowded = replay(load(cpu=4), replace(LAYOUT, workers=4, cores=2.0))
    assert crowded.cpu_ns == pytest.approx(8 * MS, rel=0.02)
    assert replay(load(cpu=4), replace(LAYOUT, cores=2.0)).cpu_ns == pytest.approx(4 * MS, abs=1.0)


def test_a_batch_that_came_early_still_has_to_be_handed_over() -> None:
    """Of each pair the second arrives first and is received meanwhile: its turn costs the hand-over alone."""
    uneven = np.where(np.arange(400) % 2 == 0, 20.0, 1.0) * MS
    work = replace(load(unwrap=2, handover=1, busy=1), store_ns=uneven)
    # The slow worker needs 20 ms for each of its batches; the other one's cost nothing of that.
    assert step_ms(work, LAYOUT) == pytest.approx(10.0, rel=0.02)
    assert step_ms(replace(work, store_ns=np.zeros(400)), LAYOUT) == pytest.approx(4.0, rel=0.01)


def test_what_sending_takes_once_a_batch_is_on_its_way_holds_up_nobody_but_the_cpus() -> None:
    """With CPUs to spare it costs nothing; on one CPU it takes its turn there."""
    work = load(store=4, send=1, after=3, busy=1)
    assert step_ms(work, LAYOUT) == pytest.approx(2.0, rel=0.02)
    assert step_ms(work, replace(LAYOUT, cores=1.0)) == pytest.approx(4.0, rel=0.02)
