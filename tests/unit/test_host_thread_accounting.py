"""Counters of the own thread and process, safe across forks, threads and pickling."""

from __future__ import annotations

import os
import pickle
import threading
import time
from pathlib import Path

from ioprof.host.thread_accounting import ProcessIo, SchedStat


def test_time_on_cpu_is_exact_to_far_less_than_a_scheduler_tick() -> None:
    """A spin of half a millisecond shows; the scheduler's own file would lag by up to 4 ms."""
    stat = SchedStat()
    first = stat.read()
    start_ns = time.thread_time_ns()
    while time.thread_time_ns() - start_ns < 500_000:
        pass
    last = stat.read()
    assert first is not None and last is not None
    assert last[0] - first[0] >= 500_000


def test_each_thread_is_told_of_itself() -> None:
    """A reader that wanders into a fresh thread does not report the old one's time."""
    stat = SchedStat()
    total = stat.read()
    seen: list[tuple[int, int] | None] = []
    thread = threading.Thread(target=lambda: seen.append(stat.read()))
    thread.start()
    thread.join()
    assert total is not None and seen[0] is not None
    assert seen[0][0] < total[0]


def in_fork(question: object) -> bytes:
    """Answer of a forked child to a callable."""
    assert callable(question)
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write_end, repr(question()).encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as pipe:
        return pipe.read()


def test_a_forked_child_reads_its_own_counters() -> None:
    """An inherited descriptor would go on telling of the parent."""
    io = ProcessIo()
    parent = io.read()
    answer = in_fork(lambda: (io.read() or (1 << 60,))[0] < 1 << 20)
    assert parent is not None and parent.rchar > 1 << 20
    assert answer == b"True"
    assert io.read() is not None


def test_read_calls_show_in_the_counters(tmp_path: Path) -> None:
    """The count rchar is what read calls return, cached or not."""
    path = tmp_path / "content"
    path.write_bytes(bytes(100_000))
    io = ProcessIo()
    before = io.read()
    path.read_bytes()
    after = io.read()
    assert before is not None and after is not None
    assert 100_000 <= after.rchar - before.rchar < 110_000


def test_a_kernel_without_the_files_gives_none(tmp_path: Path) -> None:
    """Not known is None, and asking again stays harmless."""
    stat, io = SchedStat(proc=str(tmp_path)), ProcessIo(proc=str(tmp_path))
    assert [stat.read(), io.read(), stat.read(), io.read()] == [None] * 4


def test_readers_travel_to_workers_without_their_descriptors() -> None:
    """Pickled with an open descriptor, they arrive closed and open their own."""
    stat, io = SchedStat(), ProcessIo()
    stat.read()
    io.read()
    other_stat, other_io = pickle.loads(pickle.dumps((stat, io)))  # noqa: S301 - our own bytes
    assert other_stat.read() is not None
    assert other_io.read() is not None


def test_closing_twice_is_harmless() -> None:
    """Cleaning up needs no bookkeeping, and a closed reader still answers."""
    stat = SchedStat()
    stat.read()
    stat.close()
    stat.close()
    assert stat.read() is not None
    stat.close()
