"""Which settings fit a host, and what is said of those that do not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ioprof.tuning.limits import Limits, Needs, Room
from ioprof.tuning.room import room
from ioprof.tuning.setting import Setting, settings, worker_counts
from tests.tuned_curves import ROOM, limits


@pytest.mark.parametrize(
    ("lacking", "setting", "told"),
    [
        ({"shm_bytes": 64 << 20}, Setting(16, 4), "shared memory: 64 batches in flight take 64 MiB, and 64 MiB"),
        ({"shm_bytes": None}, Setting(1, 1), "shared memory: there is no /dev/shm"),
        ({"memory_bytes": 512 << 20}, Setting(16, 1), "memory: workers take 512 MiB and batches in flight 16 MiB"),
        ({"open_files": 256}, Setting(16, 4), "open files: about 276 are needed"),
    ],
)
def test_what_does_not_fit_is_told_with_its_numbers(lacking: dict[str, int], setting: Setting, told: str) -> None:
    """One smaller setting fits, and no workers at all always do."""
    held = limits(room=replace(ROOM, **lacking))
    assert (held.refusal(setting) or "").startswith(told)
    assert held.refusal(Setting(0, None)) is None
    assert limits().refusal(setting) is None


def test_what_fits_shrinks_with_every_worker_and_every_batch_ahead() -> None:
    """Beyond a setting that does not fit, none does."""
    held = limits(room=replace(ROOM, shm_bytes=20 << 20, memory_bytes=600 << 20, open_files=300))
    for setting in settings(worker_counts(1, 32), (1, 2, 4)):
        if held.refusal(setting) is not None:
            assert held.refusal(Setting(setting.workers + 1, setting.prefetch)) is not None
            assert held.refusal(Setting(setting.workers, (setting.prefetch or 1) + 1)) is not None


def test_a_loader_that_moves_nothing_needs_no_shared_memory() -> None:
    """Its batches stay where they are."""
    stays = Limits(
        room=replace(ROOM, shm_bytes=None), needs=Needs(batch_bytes=1 << 20, shares_memory=False), most_workers=8
    )
    assert stays.refusal(Setting(8, 8)) is None
    assert stays.refusal(Setting(9, 1)) == "--max-workers 8"


def test_this_host_has_room() -> None:
    """The real host: CPUs, memory and descriptors are known."""
    found: Room = room()
    assert found.cores > 0 and found.memory_bytes and found.open_files_now >= 3
    assert "CPU" in found.cores_told


def test_worker_counts_are_all_up_to_eight_and_then_four_to_an_octave() -> None:
    """Both ends are among them, whatever they are."""
    assert worker_counts(0, 32) == [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32]
    assert worker_counts(1, 11) == [1, 2, 3, 4, 5, 6, 7, 8, 10, 11]
    assert worker_counts(0, 0) == [0]
    assert Setting(0, None) < Setting(1, 8) < Setting(2, 1) < Setting(2, 2)
