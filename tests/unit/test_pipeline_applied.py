"""From a measured run to the load of its replay."""

from __future__ import annotations

import numpy as np
import pytest

from ioprof.analysis.pipeline.applied import layout_of, load_of
from ioprof.analysis.pipeline.basis import Measured, Setting
from ioprof.analysis.pipeline.change import Change
from ioprof.analysis.pipeline.notes import Notes
from ioprof.analysis.pipeline.pieces import Stage
from ioprof.analysis.pipeline.recipe import Recipe
from ioprof.analysis.pipeline.store_curve import StoreCurve
from ioprof.analysis.pipeline.transport import Transport

MS = 1e6
SETTING = Setting(
    workers=2, prefetch=2, batch_size=8, in_order=True, pin=False, cores=2.0, ranks_per_host=1, hosts=1
)  # fmt: skip


def measured(held_ratio: float) -> Measured:
    """Return a run whose batches spend 10 ms in storage operations, 2 of them on a CPU."""
    columns = {
        name: np.zeros(20)
        for name in Recipe.__dataclass_fields__
        if name.endswith("_ns") and not name.startswith("storage")
    }
    recipe = Recipe(
        rank=0, samples=np.full(20, 8), epoch=np.zeros(20, np.int64), worker=np.arange(20) % 2,
        storage_cpu_ns=np.full(20, 2 * MS), storage_blocked_ns=np.full(20, 8 * MS), size_bytes=np.zeros(20),
        waits=0.0, hit_ratio=None, is_accounted=True, run_queue_ratio=0.0, **columns,
    )  # fmt: skip
    free = Transport(
        send_ns=0.0, send_wait_ns=0.0, after_ns=0.0, unwrap_ns=0.0, unwrap_wait_ns=0.0, handover_ns=0.0,
        received_ns=None, inline_ns=0.0, wake_ns=0.0, between_ns=0.0,
    )  # fmt: skip
    return Measured(
        recipe=recipe, transport=free, shares={Stage.OPEN: 0.25, Stage.READ: 0.75}, curve=StoreCurve(),
        setting=SETTING, asked_busy_ns=None, is_busy_drawn=False, other_load=0.0, held_ratio=held_ratio,
    )  # fmt: skip


def storage_ms(held_ratio: float, change: Change) -> float:
    """Return how long storage operations of a batch last alone, in ms: on a CPU and waiting."""
    run = measured(held_ratio)
    load, layout = load_of(run, SETTING, change, Notes()), layout_of(run, SETTING, change, Notes())
    return float(load.cpu_ns[0] + load.store_ns[0] * layout.slowdown(1.0)) / MS


@pytest.mark.parametrize(
    ("change", "expected"),
    [(Change(), 10.0), (Change(store_latency_factor=2.0), 20.0), (Change(stage_factors={Stage.OPEN: 3.0}), 15.0)],
)
def test_what_a_held_operation_computes_makes_it_no_longer(change: Change, expected: float) -> None:
    """A throttle that asks for twice the latency gets it: the CPU time lies within."""
    assert storage_ms(1.0, change) == pytest.approx(expected)


def test_what_a_held_operation_lasts_beyond_what_was_asked_stays() -> None:
    """Of 10 ms asked for were 9: twice the latency is 18, and 1 beside it."""
    assert storage_ms(0.9, Change(store_latency_factor=2.0)) == pytest.approx(19.0)


def test_computing_in_an_operation_of_a_real_store_is_not_its_latency() -> None:
    """8 ms were waited for, and are twice as long; 2 were computed."""
    assert storage_ms(0.0, Change(store_latency_factor=2.0)) == pytest.approx(18.0)


def test_a_store_whose_lone_operations_wait_longer_gives_as_much_at_its_ceiling() -> None:
    """Six requests at 4 times the lone 1 ms are 1,500 per s; if the lone one waits for 2 ms, they still are."""
    curve = StoreCurve(concurrency=(1.0, 1.5, 6.0), slowdowns=(1.0, 1.0, 4.0), lone_s=1e-3, is_ceiling=True)
    slower = curve.waited_alone(2e-3)
    assert [6 / (one.lone_s * one.slowdown(6.0)) for one in (curve, slower) if one.lone_s] == [1500.0, 1500.0]
    assert slower.slowdown(1.0) == 1.0


def test_on_faster_cpus_only_what_computes_takes_less() -> None:
    """Of 10 ms in storage operations 2 are computed: at twice the speed they last 9, and held back ones still 10."""
    twice = Change(cpu_speed_factor=2.0)
    assert storage_ms(0.0, twice) == pytest.approx(9.0)
    assert storage_ms(1.0, twice) == pytest.approx(10.0)
