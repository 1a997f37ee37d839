"""I/O counters of single threads, for batches that are made in threads of one process: each counts what it read."""

from __future__ import annotations

import os

from ioprof.host.thread_accounting import IoCounters

_NOTHING = IoCounters(0, 0, 0, 0)


class ThreadIo:
    """The counters of the threads that it followed, one after the other; read from any thread, for 3 to 4 µs."""

    def __init__(self, *, proc: str = "/proc") -> None:
        """Prepare; `follow` says which thread is meant."""
        self._path = f"{proc}/thread-self/io"
        self._fd = -1
        self._before = _NOTHING
        """What those did that were followed earlier, less what the present one had done before."""
        self._last: IoCounters | None = None

    def follow(self) -> None:
        """Count the calling thread's I/O from now on, on top of what was counted before."""
        counted = self.read() or _NOTHING
        self.close()
        self._before = _NOTHING
        try:
            self._fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return  # a kernel without them shows nothing, here as elsewhere
        already = self.read() or _NOTHING
        self._before = IoCounters(*(one - other for one, other in zip(counted, already, strict=True)))

    def read(self) -> IoCounters | None:
        """Return the counters now, or as last seen of a thread that has ended; None where the kernel shows none."""
        try:
            fields = os.pread(self._fd, 512, 0).split()
        except OSError:
            return self._last
        # rchar: N wchar: N syscr: N syscw: N read_bytes: N write_bytes: N cancelled_write_bytes: N
        if len(fields) >= 12:
            now = (int(fields[1]), int(fields[9]), int(fields[3]), int(fields[11]))
            self._last = IoCounters(*(one + other for one, other in zip(now, self._before, strict=True)))
        return self._last

    def close(self) -> None:
        """Release the descriptor; safe to call twice."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
