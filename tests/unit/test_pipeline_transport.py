"""What moving a batch costs, read off waits: overtaken batches, batches that lay ready, and those waited for."""

from __future__ import annotations

import numpy as np
import pytest

from ioprof.analysis.pipeline.transport import Waits

MS = 1_000_000
COUNT = 200


def waits(made_ms: list[float], wait_ms: list[float], step_ms: float = 10.0) -> Waits:
    """Return steps of one length; batches are made so long before (below 0) or after their wait begins."""
    start = np.arange(len(made_ms)) * int(step_ms * MS)
    return Waits(
        made=start + np.array(made_ms) * MS, start=start, end=start + (np.array(wait_ms) * MS).astype(np.int64)
    )


def test_a_batch_that_was_received_while_another_was_waited_for_costs_only_its_hand_over() -> None:
    """Every second batch is made long before the one ahead of it, which is waited for: the two costs are told apart."""
    seen = waits([3.0, -15.0] * (COUNT // 2), [5.0, 0.4] * (COUNT // 2))
    assert seen.handover_ns() == pytest.approx(0.4 * MS)
    assert seen.delivered_ns() == pytest.approx(2.0 * MS)
    assert seen.ready_ns(4, None) is None


def test_batches_that_lay_ready_between_late_ones_tell_what_receiving_takes() -> None:
    """Of three batches one is late, one overtook it, and one was made 5 ms before its turn: that one is received."""
    seen = waits([3.0, -15.0, -5.0] * 40, [5.0, 0.4, 1.3] * 40)
    assert seen.ready_ns(4, moved_ns=9.9 * MS) == pytest.approx(1.3 * MS)


def test_of_few_ready_batches_the_loader_fed_from_memory_knows_better() -> None:
    """Ten of them are fewer than thousands that the baseline moved; without it they are all that is known."""
    seen = waits([3.0, -15.0, -5.0] * 10, [5.0, 0.4, 1.3] * 10)
    assert seen.ready_ns(4, moved_ns=1.5 * MS) == 1.5 * MS
    assert seen.ready_ns(4, None) == pytest.approx(1.3 * MS)


def test_of_a_well_fed_run_every_wait_counts() -> None:
    """All batches lay ready: what overtook others and what did not cost so much together, and the mean is told."""
    seen = waits([-20.0, -35.0] * (COUNT // 2), [2.0, 0.4] * (COUNT // 2))
    assert seen.ready_ns(4, None) == pytest.approx(1.2 * MS)
