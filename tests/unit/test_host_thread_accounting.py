"""Counters of the own thread and process, safe across forks, threads and pickling."""

from __future__ import annotations

import os
import pickle
import subprocess
import threading
import time
from pathlib import Path

from ioprof.host.family_io import FamilyIo
from ioprof.host.thread_accounting import ProcessIo, ThreadAccounting, ThreadReading
from ioprof.trace.batch_account import account_of


def test_time_on_cpu_is_exact_to_far_less_than_a_scheduler_tick() -> None:
    """A spin of half a millisecond shows; the scheduler's own file would lag by up to 4 ms."""
    stat = ThreadAccounting()
    first = stat.read()
    start_ns = time.thread_time_ns()
    while time.thread_time_ns() - start_ns < 500_000:
        pass
    last = stat.read()
    assert last.on_cpu_ns - first.on_cpu_ns >= 500_000


def test_each_thread_is_told_of_itself() -> None:
    """A reader that wanders into a fresh thread does not report the old one's time."""
    stat = ThreadAccounting()
    total = stat.read()
    seen: list[ThreadReading] = []
    thread = threading.Thread(target=lambda: seen.append(stat.read()))
    thread.start()
    thread.join()
    assert seen[0].on_cpu_ns < total.on_cpu_ns


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
    """Not known is never 0, asking again stays harmless, and what needs no file is known all the same."""
    stat, io = ThreadAccounting(proc=str(tmp_path)), ProcessIo(proc=str(tmp_path))
    for _ in range(2):
        reading = stat.read()
        assert (reading.run_queue_ns, reading.block_io_ns, io.read()) == (-1, -1, None)
        assert reading.on_cpu_ns > 0 and reading.minor_faults > 0


def threads_files(proc: Path, *, schedstat: str, delayacct: str, ticks: int) -> ThreadAccounting:
    """Return the reader of a thread with an awkward name, of which the kernel says this."""
    (proc / "thread-self").mkdir()
    (proc / "sys/kernel").mkdir(parents=True)
    (proc / "thread-self/schedstat").write_text(schedstat)
    (proc / "thread-self/stat").write_text(f"7 (a) b (c) S {' '.join(map(str, range(4, 42)))} {ticks} 43 44\n")
    (proc / "sys/kernel/task_delayacct").write_text(f"{delayacct}\n")
    return ThreadAccounting(proc=str(proc))


def test_block_io_is_read_where_the_kernel_counts_it(tmp_path: Path) -> None:
    """The count stands behind the program's name, which may hold anything, in ticks."""
    reading = threads_files(tmp_path, schedstat="5000 70 3\n", delayacct="1", ticks=42).read()
    assert reading.block_io_ns == 42 * 10**9 // os.sysconf("SC_CLK_TCK")
    assert reading.run_queue_ns == 70


def test_counters_that_the_kernel_does_not_keep_are_not_known(tmp_path: Path) -> None:
    """With the sysctl off, and without scheduler statistics, the files stand there and say 0."""
    reading = threads_files(tmp_path, schedstat="0 0 0\n", delayacct="0", ticks=0).read()
    assert (reading.block_io_ns, reading.run_queue_ns) == (-1, -1)


def test_stages_are_told_apart_by_where_the_readings_were_taken() -> None:
    """Fetch ends where the second one was taken; what is not known at one of them is not known between them."""
    begun = ThreadReading(100, 10, 1, 0, 2, 0, 0)
    fetched = ThreadReading(140, 25, 5, 3, 4, 1, 20_000_000)
    joined = ThreadReading(190, 26, 6, 3, 4, 2, 30_000_000)
    account = account_of(begun, fetched, joined)
    assert (account.on_cpu_ns, account.run_queue_ns) == (90, 16)
    assert (account.fetch_on_cpu_ns, account.fetch_run_queue_ns, account.block_io_delay_ns) == (40, 15, 20_000_000)
    assert account[4:8] == (5, 3, 2, 2)
    unknown = account_of(begun._replace(run_queue_ns=-1), fetched, joined._replace(run_queue_ns=-1))
    assert (unknown.run_queue_ns, unknown.fetch_run_queue_ns, unknown.on_cpu_ns) == (-1, -1, 90)


def test_readers_travel_to_workers_without_their_descriptors() -> None:
    """Pickled with an open descriptor, they arrive closed and open their own."""
    stat, io = ThreadAccounting(), ProcessIo()
    stat.read()
    io.read()
    other_stat, other_io = pickle.loads(pickle.dumps((stat, io)))  # noqa: S301 - our own bytes
    assert other_stat.read().run_queue_ns >= 0
    assert other_io.read() is not None


def test_closing_twice_is_harmless() -> None:
    """Cleaning up needs no bookkeeping, and a closed reader still answers."""
    stat = ThreadAccounting()
    stat.read()
    stat.close()
    stat.close()
    assert stat.read().run_queue_ns >= 0
    stat.close()


def test_what_children_read_counts_while_they_live_and_after(tmp_path: Path) -> None:
    """A helper that reads a megabyte for its parent is seen at once, and its bytes stay when it has ended."""
    (tmp_path / "content").write_bytes(bytes(1 << 20))
    family, alone = FamilyIo(), ProcessIo()
    before, own_before = family.read(), alone.read()
    script = f"read -r _; cat {tmp_path}/content >/dev/null; echo done; read -r _"
    with subprocess.Popen(["/bin/sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as helper:
        assert helper.stdin is not None and helper.stdout is not None
        helper.stdin.write(b"\n")
        helper.stdin.flush()
        helper.stdout.readline()
        living, own_living = family.read(), alone.read()
    after = family.read()
    assert before and own_before and living and own_living and after
    assert living.rchar - before.rchar >= 1 << 20 > own_living.rchar - own_before.rchar
    assert after.rchar >= living.rchar
    family.close()


def test_what_an_orphan_read_stays_counted(tmp_path: Path) -> None:
    """Its parent ended before it: it is nobody's child of ours, and nobody of ours is given its counters at its end."""
    (tmp_path / "content").write_bytes(bytes(1 << 20))
    reads = f"cat {tmp_path}/content >/dev/null; echo done"
    script = f"(read -r _ <&3; {reads}; read -r _ <&3; {reads}; read -r _ <&3) & echo begun"
    family = FamilyIo()
    before = family.read()
    told_end, tell_end = os.pipe()
    with subprocess.Popen(
        ["/bin/sh", "-c", f"exec 3</dev/fd/{told_end}; {script}; read -r _"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=[told_end],
    ) as parent:  # fmt: skip
        os.close(told_end)
        assert parent.stdin is not None and parent.stdout is not None and before is not None
        assert parent.stdout.readline() == b"begun\n"
        family.read()
        parent.stdin.close()
        parent.wait()
        seen = []
        for _ in range(2):
            os.write(tell_end, b"\n")
            assert parent.stdout.readline() == b"done\n"
            seen.append(family.read())
        os.close(tell_end)
        assert parent.stdout.read() == b""  # the orphan has ended: nobody holds its output any more
    last = family.read()
    assert seen[0] and seen[1] and last
    assert seen[0].rchar - before.rchar >= 1 << 20
    assert seen[1].rchar - seen[0].rchar >= 1 << 20
    assert last.rchar >= seen[1].rchar
    family.close()


def test_a_process_without_counters_has_no_family_counters(tmp_path: Path) -> None:
    """Not known is never 0."""
    assert FamilyIo(proc=str(tmp_path)).read() is None
