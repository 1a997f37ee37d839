"""The sampler's own process: reads the kernel's counters at a fixed rate and appends them to a file.

Started by `ioprof.host.sampler.HostSampler`; imports the standard library only. It ends when its standard
input says so or closes, and when the process that started it is gone, however that one ended.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import os
import select
import sys
import time
from collections.abc import Callable

from ioprof.host.proc_values import (
    Values,
    cpu_values,
    disk_values,
    load_values,
    memory_values,
    network_values,
    pressure_values,
    whole_device_test,
)
from ioprof.host.process_tree import ProcessTree
from ioprof.host.raw_format import RawWriter, Series
from ioprof.host.spin import EVERY_NS, METRIC, Spinner

_REFRESH_NS = 1_000_000_000
"""How often new processes of the tree are looked for."""


class KernelFile:
    """A file below /proc, kept open and parsed anew at each read."""

    def __init__(self, path: str, parse: Callable[[bytes], Values]) -> None:
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._parse = parse

    def read(self) -> Values:
        """Return the values now."""
        # One read may give only a page of a long file, so read on to the end.
        parts: list[bytes] = []
        offset = 0
        while part := os.pread(self._fd, 1 << 16, offset):
            parts.append(part)
            offset += len(part)
        return self._parse(b"".join(parts))


class Gatherer:
    """All sources of one host; a source that is missing or turns unreadable is noted once and left out."""

    def __init__(
        self,
        watch_pid: int,
        note: Callable[[str, str], object],
        *,
        proc: str = "/proc",
        sys_root: str = "/sys",
    ) -> None:
        self._note = note
        self._readers: dict[str, Callable[[], Values]] = {}
        is_whole = whole_device_test(f"{sys_root}/block")
        self._open("cpu_*, core_*, procs_*, context_switches_total", f"{proc}/stat", cpu_values)
        self._open("load_average_1min", f"{proc}/loadavg", load_values)
        self._open("memory_*, page_cache_bytes", f"{proc}/meminfo", memory_values)
        self._open("disk_*", f"{proc}/diskstats", functools.partial(disk_values, is_whole=is_whole))
        self._open("net_*", f"{proc}/net/dev", network_values)
        for resource in ("cpu", "io", "memory"):
            parse = functools.partial(pressure_values, resource)
            self._open(f"psi_{resource}_*", f"{proc}/pressure/{resource}", parse)
        self._tree = ProcessTree(watch_pid, proc=proc, exclude=frozenset({os.getpid()}))
        self._refresh_at_ns = 0
        if os.path.exists(f"{proc}/thread-self/children"):
            self._readers["tree_*"] = self._tree.read
        else:
            note("tree_*", "the kernel does not list children (CONFIG_PROC_CHILDREN)")
        self._readers["dev_shm_used_bytes"] = dev_shm_values
        self._spinner = Spinner()
        self._readers[METRIC] = self._spinner.read

    def read(self, now_ns: int) -> Values:
        """Return every value that can be read now."""
        if now_ns >= self._refresh_at_ns:
            self._refresh_at_ns = now_ns + _REFRESH_NS
            self._tree.refresh()
        values: Values = {}
        for name in list(self._readers):
            try:
                values.update(self._readers[name]())
            except (OSError, ValueError, IndexError, KeyError) as error:
                self._note(name, f"unreadable: {error!r}")
                del self._readers[name]
        values["sampler_cpu_s_total", ""] = time.process_time_ns() / 1e9
        return values

    def spin(self) -> None:
        """Time the CPU whose turn it is; what cannot be done is noted once."""
        if METRIC in self._readers:
            try:
                self._spinner.turn()
            except OSError as error:
                self._note(METRIC, f"unreadable: {error!r}")
                del self._readers[METRIC]

    def _open(self, name: str, path: str, parse: Callable[[bytes], Values]) -> None:
        try:
            self._readers[name] = KernelFile(path, parse).read
        except OSError as error:
            self._note(name, f"{path}: {error.strerror}")


def dev_shm_values() -> Values:
    """Return the bytes in use on /dev/shm, where DataLoader workers leave batches; all users of the host."""
    space = os.statvfs("/dev/shm")  # noqa: S108 - asked for its size, nothing is written
    return {("dev_shm_used_bytes", ""): float((space.f_blocks - space.f_bfree) * space.f_frsize)}


class Recorder:
    """Writes one tick per call, and the names again whenever the set of series changed."""

    def __init__(self, writer: RawWriter, gatherer: Gatherer) -> None:
        self._writer = writer
        self._gatherer = gatherer
        self._series: tuple[Series, ...] = ()

    def between(self) -> None:
        """Do what is done more often than ticks are written."""
        self._gatherer.spin()

    def tick(self) -> None:
        """Read everything and append it."""
        now_ns = time.perf_counter_ns()
        values = self._gatherer.read(now_ns)
        series = tuple(values)
        if series != self._series:
            # Ticks without their names would be read under the wrong ones.
            if not self._writer.names(series):
                return
            self._series = series
        self._writer.tick(now_ns, list(values.values()))


class Parent:
    """The process that started this one: waits for its word or its end."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._poll = select.poll()
        self._poll.register(sys.stdin.fileno(), select.POLLIN | select.POLLHUP)
        # Not PR_SET_PDEATHSIG: that fires when the *thread* that started us ends, which may be long before
        # its process does. And not end-of-file alone: forked workers hold copies of the pipe's other end.
        with contextlib.suppress(OSError, AttributeError):
            self._poll.register(os.pidfd_open(pid), select.POLLIN)

    def says_stop(self, wait_ns: int) -> bool:
        """Wait up to ``wait_ns``; True as soon as the parent said stop, closed the pipe or is gone."""
        events = self._poll.poll(max(0, wait_ns) / 1e6)
        return bool(events) or os.getppid() != self._pid


def sample(recorder: Recorder, parent: Parent, interval_ns: int) -> None:
    """Tick every ``interval_ns`` on a fixed grid until told to stop; one more tick on the way out."""
    due_ns = time.perf_counter_ns()
    recorder.tick()
    os.write(sys.stdout.fileno(), b"r")
    while True:
        # After a pause (a suspended machine) skip what was missed rather than catch up in a burst.
        due_ns = max(due_ns + interval_ns, time.perf_counter_ns())
        while (left_ns := due_ns - time.perf_counter_ns()) > EVERY_NS:
            if parent.says_stop(min(left_ns, EVERY_NS)):
                recorder.tick()
                return
            recorder.between()
        if parent.says_stop(left_ns):
            break
        recorder.tick()
    recorder.tick()


def main(arguments: list[str]) -> None:
    """Run until the parent stops or ends: ``PATH PARENT_PID WATCH_PID INTERVAL_NS``."""
    path, parent_pid, watch_pid, interval_ns = arguments
    gc.disable()
    parent = Parent(int(parent_pid))
    writer = RawWriter(path)
    gatherer = Gatherer(int(watch_pid), writer.note)
    with contextlib.suppress(BrokenPipeError):
        sample(Recorder(writer, gatherer), parent, int(interval_ns))
    writer.close()
