"""The queue that processes share: exact in sum, free again after any death, gone with its last user."""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import signal
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ioprof.store.device_clock import DeviceClock, device_clock, state_path

pytestmark = [
    pytest.mark.usefixtures("nothing_left", "no_descriptor_left"),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]
FAR_NS = 10**15
OPERATION_NS = 1000
FORK = multiprocessing.get_context("fork")
_KEPT: list[DeviceClock] = []


@pytest.fixture
def name() -> Iterator[str]:
    """A device of its own, whose state is gone in the end."""
    fresh = f"test {uuid4()}"
    yield fresh
    assert not state_path(fresh).exists()


def _asked(name: str, times: int) -> None:
    clock = device_clock(name)
    for _ in range(times):
        clock.served_ns(FAR_NS, OPERATION_NS, 10 * OPERATION_NS)


def _asked_and_kept(name: str) -> None:
    _KEPT.append(device_clock(name))
    _KEPT[0].served_ns(FAR_NS, OPERATION_NS, 0)


def _holding(name: str, ready: Connection) -> None:
    """Take the queue's lock and never give it back."""
    clock = device_clock(name)
    fcntl.lockf(clock._descriptor, fcntl.LOCK_EX)
    ready.send(None)
    signal.pause()


def test_operations_of_all_processes_queue_behind_each_other(name: str) -> None:
    """Four processes of 500 operations each take the device 2,000 operations' time, none of them lost or doubled."""
    clock = device_clock(name)
    others = [FORK.Process(target=_asked, args=(name, 500)) for _ in range(4)]
    for one in others:
        one.start()
    for one in others:
        one.join()
        assert one.exitcode == 0
    assert clock.served_ns(0, OPERATION_NS, 1) == FAR_NS + 2000 * 10 * OPERATION_NS + 1


def test_a_worker_that_ends_still_holding_the_queue_gives_it_up(name: str) -> None:
    """Workers end without tidying up their variables; the last one leaves nothing behind."""
    worker = FORK.Process(target=_asked_and_kept, args=(name,))
    worker.start()
    worker.join()
    assert worker.exitcode == 0
    worker.close()
    assert not state_path(name).exists()


def test_one_that_is_killed_holding_the_queue_does_not_stop_the_others(name: str) -> None:
    """The kernel takes its lock back."""
    clock = device_clock(name)
    ours, theirs = FORK.Pipe()
    other = FORK.Process(target=_holding, args=(name, theirs))
    other.start()
    ours.recv()
    os.kill(other.pid or 0, signal.SIGKILL)
    assert clock.served_ns(FAR_NS, OPERATION_NS, 0) == FAR_NS
    other.join()
    for end in (ours, theirs, other):
        end.close()


def test_a_queue_whose_users_were_killed_begins_anew(name: str) -> None:
    """Else a run would wait for what another one, long gone, had asked for."""
    path = state_path(name)
    path.write_bytes(b"\x7f" * 64)
    clock = device_clock(name)
    assert clock.served_ns(5, OPERATION_NS, 7) == 12
    assert device_clock(name) is clock


def test_the_state_stays_as_long_as_anybody_uses_it(name: str) -> None:
    """A second user finds what the first one asked for."""
    first = device_clock(name)
    assert first.served_ns(FAR_NS, OPERATION_NS, 5) == FAR_NS + 5
    second = FORK.Process(target=_asked, args=(name, 1))
    second.start()
    second.join()
    assert first.served_ns(FAR_NS, OPERATION_NS, 1) == FAR_NS + 5 + 10 * OPERATION_NS + 1
    path = state_path(name)
    assert path.exists()
    del first
    assert not path.exists()


@given(asked=st.lists(st.integers(0, 10**9), min_size=1), operation_ns=st.integers(1, 10**8))
def test_a_device_never_does_more_operations_than_it_can(
    tmp_path_factory: pytest.TempPathFactory, asked: list[int], operation_ns: int
) -> None:
    """Whenever they are asked for: n operations take n - 1 turns, short of 2 ms that late clients are given back."""
    clock = DeviceClock(tmp_path_factory.mktemp("clock") / "state")
    served = [clock.served_ns(at_ns, operation_ns, 0) for at_ns in sorted(asked)]
    assert all(done >= at_ns for done, at_ns in zip(served, sorted(asked), strict=True))
    assert served[-1] - served[0] >= (len(served) - 1) * operation_ns - 2_000_000


@given(pieces=st.lists(st.tuples(st.integers(0, 10**9), st.integers(1, 10**7)), min_size=1))
def test_a_link_carries_one_transfer_at_a_time(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[tuple[int, int]]
) -> None:
    """Each begins when it is asked for and the one before has ended, whichever is later."""
    clock, free_ns = DeviceClock(tmp_path_factory.mktemp("clock") / "state"), 0
    for asked_ns, transfer_ns in pieces:
        free_ns = max(asked_ns, free_ns) + transfer_ns
        assert clock.served_ns(asked_ns, 0, transfer_ns) == free_ns


def test_a_state_that_cannot_be_kept_is_told(tmp_path: Path) -> None:
    """In one line, with the place."""
    with pytest.raises(Exception, match="queue cannot be kept there: No such file") as caught:
        DeviceClock(tmp_path / "missing" / "state")
    assert str(tmp_path) in str(caught.value)
