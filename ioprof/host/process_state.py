"""What a process is doing at this moment, by /proc."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from ioprof.host.text import read_text

_PROC = Path("/proc")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_WORDS = {"R": "running", "S": "waiting", "D": "blocked in I/O", "T": "stopped", "t": "stopped", "I": "idle"}
_GONE = ("Z", "X", "x")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessState:
    """One look at a process."""

    word: str
    """Of its main thread: running, waiting (for a lock, a pipe, a socket), blocked in I/O, stopped."""
    cpu_s: float
    """CPU time of all its threads so far."""


def process_state(pid: int, proc: Path = _PROC) -> ProcessState | None:
    """Return what a process is doing; None: it has ended.

    Args:
        pid: its number.
        proc: root of procfs.
    """
    _, _, rest = (read_text(proc / str(pid) / "stat") or "").rpartition(")")
    words = rest.split()
    if len(words) < 13 or words[0] in _GONE:
        return None
    cpu_s = (int(words[11]) + int(words[12])) / _TICKS_PER_S
    return ProcessState(word=_WORDS.get(words[0], words[0]), cpu_s=cpu_s)
