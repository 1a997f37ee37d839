"""How much memory a level took, so that the next one, twice as large, does not take what is not there."""

from __future__ import annotations

import psutil

from ioprof.host.cgroup import memory_room_bytes

_MORE_THAN_TWICE = 2.5
"""The next level may take so many times as much: twice the processes, and some room."""


class LevelMemory:
    """Watches the memory that is left while levels are measured."""

    def __init__(self) -> None:
        self._before_bytes = self._least_bytes = _available_bytes()
        self._taken_bytes = 0

    def begin(self) -> None:
        """A level begins."""
        self._before_bytes = self._least_bytes = _available_bytes()

    def look(self) -> None:
        """Take note of what is left now."""
        self._least_bytes = min(self._least_bytes, _available_bytes())

    def end(self) -> None:
        """The level is over."""
        self._taken_bytes = max(0, self._before_bytes - self._least_bytes)

    def has_room(self) -> bool:
        """Tell whether there is memory for twice the processes of the last level."""
        return self._taken_bytes * _MORE_THAN_TWICE <= _available_bytes()


def _available_bytes() -> int:
    """Return what is left on this host, or in its control group if that is less."""
    room = memory_room_bytes()
    available = int(psutil.virtual_memory().available)
    return available if room is None else min(available, room)
