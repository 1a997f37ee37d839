"""The gate that lets the pipelines of a mixed run start together."""

from __future__ import annotations

from collections.abc import Iterator

from ioprof.contract import Batch
from ioprof.runner.gate import held_at


def batches(events: list[str], count: int) -> Iterator[Batch]:
    """Make batches one by one, and say so."""
    for number in range(count):
        events.append(f"made {number}")
        yield Batch(data=None, number=number, worker=0, samples=1, size_bytes=1)


def test_only_the_first_batch_is_held_and_the_duration_begins_after_it() -> None:
    """It is made before the gate is asked; all others pass as they come, in order."""
    events: list[str] = []
    passed = held_at(lambda: events.append("gate"), batches(events, 3), lambda: events.append("opened"), events.append)
    assert events == []
    for batch in passed:
        events.append(f"used {batch.number}")
    assert events == ["made 0", "gate", "opened", "used 0", "made 1", "used 1", "made 2", "used 2"]


def test_without_a_batch_the_gate_is_never_asked() -> None:
    """Nobody waits for a pipeline that has nothing to deliver."""
    events: list[str] = []
    assert list(held_at(lambda: events.append("gate"), batches(events, 0), lambda: None, events.append)) == []
    assert events == []
