"""I/O counters of a process together with those it started: a loader may leave its reading to helpers of its own.

The kernel adds a child's counters to its parent's when it has ended and was waited for. Until then they are its own. A
process whose parent ended before it is nobody's child of ours any more: it is remembered, and so is what it had read
when it was seen last, because nobody of ours will be given its counters.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from ioprof.host.process_tree import children_of
from ioprof.host.text import read_text
from ioprof.host.thread_accounting import IoCounters, ProcessIo

_START_FIELD = 22 - 3
"""Place of starttime in /proc/PID/stat, counted from the field behind the program's name (proc(5))."""
_NOTHING = IoCounters(0, 0, 0, 0)


class FamilyIo:
    """The counters of this process and all its descendants, ended ones included; a reading costs 0.1 ms or so.

    They never fall. What is done between the last look at a process and its end is missed where nobody waits for it.
    """

    def __init__(self, *, proc: str = "/proc") -> None:
        """Prepare; nothing is opened before the first `read`."""
        self._proc = proc
        self._own = ProcessIo(proc=proc)
        self._started: dict[int, str] = {}
        """When each process that lived at the last look began: a number may come again."""
        self._orphans: dict[int, IoCounters] = {}
        """Processes of ours whose parent has gone, as they were seen last."""
        self._left = _NOTHING
        """What orphans had done that have ended."""
        self._most = _NOTHING

    def read(self) -> IoCounters | None:
        """Return the counters now; None where the kernel does not show this process its own."""
        own = self._own.read()
        if own is None:
            return None
        family = set(self._below(os.getpid()))
        family |= self._orphaned(family)
        self._remember(family | self._orphans.keys())
        counters = [own, self._left, *self._orphans.values()]
        counters += [one for pid in family if (one := self._of(pid)) is not None]
        # A process that ended between two looks shows in its parent's counters only once that has waited for it.
        self._most = IoCounters(*map(max, self._most, _sum(counters)))
        return self._most

    def _below(self, top: int) -> Iterator[int]:
        """Yield the descendants of a process that live now."""
        queue, seen = children_of(top, self._proc), set[int]()
        while queue:
            pid = queue.pop()
            if pid not in seen:
                seen.add(pid)
                queue.extend(children_of(pid, self._proc))
                yield pid

    def _orphaned(self, family: set[int]) -> set[int]:
        """Look after those who went from the family since the last time; return what lives below the orphans."""
        gone = self._started.keys() - family
        ended = {pid for pid in gone if self._began(pid) != self._started[pid]}
        for pid in ended:
            del self._started[pid]
            self._left = _sum([self._left, self._orphans.pop(pid, _NOTHING)])
        below = {one for pid in gone - ended for one in self._below(pid)}
        for pid in gone - ended - below:
            self._orphans[pid] = self._of(pid) or self._orphans.get(pid, _NOTHING)
        return below

    def _remember(self, pids: set[int]) -> None:
        for pid in pids - self._started.keys():
            if (began := self._began(pid)) is not None:
                self._started[pid] = began

    def _began(self, pid: int) -> str | None:
        """Return when a process began, in ticks after boot; None: there is none of that number, or it has ended."""
        fields = (read_text(Path(f"{self._proc}/{pid}/stat")) or "").rpartition(")")[2].split()
        return fields[_START_FIELD] if len(fields) > _START_FIELD and fields[0] != "Z" else None

    def _of(self, pid: int) -> IoCounters | None:
        """Return the counters of another process; None if it has ended, or is not ours to look at."""
        try:
            lines = Path(f"{self._proc}/{pid}/io").read_text().splitlines()
        except OSError:
            return None
        values = {name: int(value) for name, _, value in (line.partition(":") for line in lines)}
        return IoCounters(**{name: values.get(name, 0) for name in IoCounters._fields})

    def close(self) -> None:
        """Release the descriptor; the next `read` opens it again."""
        self._own.close()


def _sum(counters: list[IoCounters]) -> IoCounters:
    return IoCounters(*map(sum, zip(*counters, strict=True)))
