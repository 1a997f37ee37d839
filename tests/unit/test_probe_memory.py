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
    watched = LevelMemory()
    watched.begin()
    left[0] = 700 - taken
    watched.look()
    left[0] = 700
    watched.end()
    assert watched.has_room() == has_room


@pytest.mark.parametrize(("room", "has_room"), [(400, True), (240, False), (None, True)])
def test_what_a_control_group_has_left_is_the_most(
    room: int | None, has_room: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hundred were taken, and the host has gigabytes; what the group uses already is not there a second time."""
    taken = [0]
    monkeypatch.setattr(memory, "memory_room_bytes", lambda: None if room is None else room - taken[0])
    watched = LevelMemory()
    watched.begin()
    taken[0] = 100
    watched.look()
    taken[0] = 0
    watched.end()
    assert watched.has_room() == has_room
