"""Tests that run beside others: what they share is told apart, and some have the machine to themselves."""

from __future__ import annotations

import fcntl
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path

import pytest

from tests.shared_memory import segments, segments_left
from tests.turns import turn


def free(lock: Path, *, alone: bool) -> bool:
    """Return whether a lock could be had at once."""
    with lock.open() as file:
        try:
            fcntl.flock(file, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


@pytest.mark.parametrize("alone", [False, True])
def test_a_turn_is_shared_unless_it_is_one_alone(tmp_path: Path, alone: bool) -> None:
    """Two can run side by side, nothing beside one that is alone; afterwards all is free, also after a failure."""
    running = tmp_path / "running.lock"
    with pytest.raises(ZeroDivisionError), turn(tmp_path, alone=alone):
        assert free(running, alone=True) is False
        assert free(running, alone=False) is not alone
        assert free(tmp_path / "next.lock", alone=True)
        _ = 1 / 0
    assert free(running, alone=True)


def test_shared_memory_that_stays_is_found() -> None:
    """And only as long as it is there."""
    before = segments()
    held = SharedMemory(create=True, size=10)
    assert segments_left(before, patience_s=0.1) == {held.name}
    held.close()
    held.unlink()
    assert segments_left(before) == set()
