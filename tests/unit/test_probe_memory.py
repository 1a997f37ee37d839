"""A climb does not take memory that is not there."""

from __future__ import annotations

import pytest

from ioprof.probe import memory
from ioprof.probe.memory import LevelMemory


@pytest.mark.parametrize(("taken", "has_room"), [(0, True), (200, True), (350, False)])
def test_there_must_be_room_for_twice_what_the_last_level_took(
    taken: int, has_room: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a level took is the least that was left during it; its end gives it back."""
    left = [700]
    monkeypatch.setattr(memory, "_available_bytes", lambda: left[0])
    monkeypatch.setattr(memory, "memory_limit_bytes", lambda: None)
    watched = LevelMemory()
    watched.begin()
    left[0] = 700 - taken
    watched.look()
    left[0] = 700
    watched.end()
    assert watched.has_room() == has_room


def test_half_of_a_groups_limit_is_the_most(monkeypatch: pytest.MonkeyPatch) -> None:
    """A control group is not told how much of its own is left."""
    left = [10_000]
    monkeypatch.setattr(memory, "_available_bytes", lambda: left[0])
    monkeypatch.setattr(memory, "memory_limit_bytes", lambda: 400)
    watched = LevelMemory()
    watched.begin()
    left[0] -= 100
    watched.look()
    watched.end()
    assert not watched.has_room()
