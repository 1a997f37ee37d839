"""The kernel's accounting of one thread and one process, cheap enough for the hot path.

Readers keep their descriptors and open them where they are used: never carried across a fork, and not pickled.
"""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path
from threading import get_ident
from typing import NamedTuple

from ioprof.host.text import read_int

_generation = 0
"""Forks behind this process since the import; tells a descriptor of ours from an inherited one."""
_usage, _THREAD = resource.getrusage, resource.RUSAGE_THREAD
_TICK_NS = 10**9 // os.sysconf("SC_CLK_TCK")
_BLOCK_IO_FIELD = 42 - 3
"""Place of delayacct_blkio_ticks in /proc/PID/stat, counted from the field behind the program's name (proc(5))."""


def _after_fork() -> None:
    global _generation  # noqa: PLW0603 - comparing one integer is all the hot path can afford
    _generation += 1


os.register_at_fork(after_in_child=_after_fork)


class _OwnFile:
    """A file of /proc about the calling thread or its process, kept open."""

    __slots__ = ("_fd", "_generation", "_path", "_thread")

    def __init__(self, path: str) -> None:
        self._path = path
        self._fd = self._generation = self._thread = -1

    def content(self, most_bytes: int) -> bytes:
        """Return its beginning; nothing where there is no such file."""
        if self._generation != _generation or self._thread != get_ident():
            self._open()
        try:
            return os.pread(self._fd, most_bytes, 0)
        except OSError:
            return b""

    def _open(self) -> None:
        self.close()
        try:
            self._fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self._fd = -1
        self._generation, self._thread = _generation, get_ident()

    def close(self) -> None:
        """Close it; a forked child closes its own copy, which leaves the parent's alone."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = self._generation = -1


class ThreadReading(NamedTuple):
    """What the kernel has counted for a thread since it began; -1: not counted here."""

    on_cpu_ns: int
    run_queue_ns: int
    """Runnable, and waiting for a CPU."""
    minor_faults: int
    """Page faults whose page was in memory, or came fresh."""
    major_faults: int
    """Page faults that waited for the device or server."""
    voluntary_switches: int
    """Times it left the CPU because it had to wait."""
    involuntary_switches: int
    """Times another thread was given the CPU."""
    block_io_ns: int
    """Blocked for block I/O, in whole ticks of the kernel (10 ms): single differences are coarse, sums are not."""


class ThreadAccounting:
    """Where the calling thread's time went, and what it met; what is neither on CPU nor in the run queue, was blocked.

    Waiting for a CPU comes from /proc/thread-self/schedstat. Time on CPU comes from CLOCK_THREAD_CPUTIME_ID and not
    from the same file: for a thread that is running, the file lags by up to one scheduler tick (measured at
    250 Hz: a 3 ms spin showed as 0.02 to 2.9 ms), the clock by nothing. Time blocked for block I/O is counted
    only while the sysctl ``kernel.task_delayacct`` is 1, for threads that began after it was set.
    One reading costs about 3 µs, with block I/O twice that.
    """

    __slots__ = ("_proc", "_schedstat", "_stat")

    def __init__(self, *, proc: str = "/proc") -> None:
        """Prepare; only the sysctl is looked at before the first `read`."""
        self._proc = proc
        self._schedstat = _OwnFile(f"{proc}/thread-self/schedstat")
        self._stat = _OwnFile(f"{proc}/thread-self/stat") if counts_block_io(proc) else None

    def read(self) -> ThreadReading:
        """Return the counters of the calling thread."""
        usage = _usage(_THREAD)
        return ThreadReading(
            time.thread_time_ns(),
            self.run_queue_ns(),
            usage.ru_minflt,
            usage.ru_majflt,
            usage.ru_nvcsw,
            usage.ru_nivcsw,
            -1 if self._stat is None else _block_io_ns(self._stat.content(1024)),
        )

    def run_queue_ns(self) -> int:
        """Return this one counter; -1: not counted here."""
        # time on CPU, time in the run queue, time slices. A kernel that keeps none of them says 0 0 0.
        fields = self._schedstat.content(64).split()
        return int(fields[1]) if len(fields) == 3 and fields[2] != b"0" else -1

    def close(self) -> None:
        """Release the descriptors; the next `read` opens them again."""
        self._schedstat.close()
        if self._stat is not None:
            self._stat.close()

    def __reduce__(self) -> tuple[type[ThreadAccounting], tuple[()]]:
        return ThreadAccounting, ()


def counts_block_io(proc: str = "/proc") -> bool:
    """Tell whether the kernel counts the time that threads are blocked for block I/O."""
    return read_int(Path(proc) / "sys/kernel/task_delayacct") == 1


def _block_io_ns(stat: bytes) -> int:
    # The program's name, in parentheses, may hold anything, spaces and parentheses included.
    fields = stat.rpartition(b")")[2].split()
    return int(fields[_BLOCK_IO_FIELD]) * _TICK_NS if len(fields) > _BLOCK_IO_FIELD else -1


class IoCounters(NamedTuple):
    """What a process moved since it began, its ended threads and waited-for children included."""

    rchar: int
    """Bytes returned by read calls, from wherever; pages read through mmap are not in it."""
    read_bytes: int
    """Bytes the kernel fetched from a device or server for this process."""
    wchar: int
    """Bytes given to write calls."""
    write_bytes: int
    """Bytes this process made dirty for a device or server."""


class ProcessIo:
    """I/O counters of the own process from /proc/self/io; a reading costs 3 to 4 µs."""

    __slots__ = ("_io",)

    def __init__(self, *, proc: str = "/proc") -> None:
        """Prepare; nothing is opened before the first `read`."""
        self._io = _OwnFile(f"{proc}/self/io")

    def read(self) -> IoCounters | None:
        """Return the counters now; None where the kernel does not show them."""
        # rchar: N wchar: N syscr: N syscw: N read_bytes: N write_bytes: N cancelled_write_bytes: N
        fields = self._io.content(512).split()
        if len(fields) < 12:
            return None
        return IoCounters(int(fields[1]), int(fields[9]), int(fields[3]), int(fields[11]))

    def close(self) -> None:
        """Release the descriptor; the next `read` opens it again."""
        self._io.close()

    def __reduce__(self) -> tuple[type[ProcessIo], tuple[()]]:
        return ProcessIo, ()
