"""A process and all its descendants, read as one. Standard library only: the sampler is light."""

from __future__ import annotations

import contextlib
import os

from ioprof.host.proc_values import Values

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class ProcessTree:
    """Sums of /proc/PID/stat over a process and its descendants.

    Resident memory counts a shared page once per process that maps it (the exact share needs a walk of all
    page tables, which would disturb the run). CPU time includes children that ended and were waited for; it
    never falls, so the time of a descendant that ends unwaited stays counted until the rest has caught up.
    """

    def __init__(self, pid: int, *, proc: str = "/proc", exclude: frozenset[int] = frozenset()) -> None:
        """Watch ``pid``; ``exclude`` and what it started are left out."""
        self._pid = pid
        self._proc = proc
        self._exclude = exclude
        self._stat_fds: dict[int, int] = {}
        self._cpu_s = 0.0

    def refresh(self) -> None:
        """Look for processes that came since the last call; those that went are noticed by `read`."""
        found, queue = set(), [self._pid]
        while queue:
            pid = queue.pop()
            if pid not in found and pid not in self._exclude:
                found.add(pid)
                queue.extend(children_of(pid, self._proc))
        for pid in found - self._stat_fds.keys():
            try:
                self._stat_fds[pid] = os.open(f"{self._proc}/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
            except OSError:  # it ended between the two looks
                continue

    def read(self) -> Values:
        """Return the sums now; nothing when the watched process is gone."""
        stats = {pid: stat for pid in list(self._stat_fds) if (stat := self._stat(pid)) is not None}
        if self._pid not in stats:
            return {}
        # Fields as numbered in proc(5), less the three before the state: 11-14 CPU, 17 threads, 21 pages.
        self._cpu_s = max(self._cpu_s, sum(sum(map(int, s[11:15])) for s in stats.values()) * _TICK_S)
        values: Values = {
            ("tree_processes", ""): float(len(stats)),
            ("tree_cpu_s_total", ""): self._cpu_s,
            ("tree_threads", ""): float(sum(int(s[17]) for s in stats.values())),
            ("tree_rss_bytes", ""): float(sum(int(s[21]) for s in stats.values()) * _PAGE_BYTES),
            ("tree_major_faults_total", ""): float(sum(int(s[9]) + int(s[10]) for s in stats.values())),
        }
        counts = [self._open_files(pid) for pid in stats]
        known = [count for count in counts if count is not None]
        if len(known) == len(counts):
            values["tree_open_fds", ""] = float(sum(known))
        return values

    def _stat(self, pid: int) -> list[bytes] | None:
        try:
            content = os.pread(self._stat_fds[pid], 4096, 0)
        except ProcessLookupError:
            content = b""
        if not content:
            os.close(self._stat_fds.pop(pid))
            return None
        # The name is in brackets and may hold spaces and brackets itself.
        return content[content.rindex(b")") + 2 :].split()

    def _open_files(self, pid: int) -> int | None:
        path = f"{self._proc}/{pid}/fd"
        try:
            # Linux 6.2 and later give the count as the directory's size; older ones give 0.
            return os.stat(path).st_size or len(os.listdir(path))
        except FileNotFoundError:
            return 0
        except OSError:
            return None


def children_of(pid: int, proc: str = "/proc") -> list[int]:
    """Return the children of every thread of a process; a DataLoader may start its workers from any of them."""
    try:
        threads = os.listdir(f"{proc}/{pid}/task")
    except OSError:  # it ended between the two looks
        return []
    children: list[int] = []
    for thread in threads:
        with (
            contextlib.suppress(OSError),
            open(f"{proc}/{pid}/task/{thread}/children", "rb") as file,
        ):
            children.extend(map(int, file.read().split()))
    return children
