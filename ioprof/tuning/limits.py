"""What this host allows: which settings would not fit, and why. Pure arithmetic; `ioprof.tuning.room` asks the host."""

from __future__ import annotations

from dataclasses import dataclass

from ioprof.tuning.setting import Setting
from ioprof.units import format_bytes, format_count

SPARE_FILES = 64
"""Descriptors that libraries open while a run goes on."""
FILES_PER_WORKER = 8
"""Pipes, queues and sentinels that the consumer holds for each worker."""
USED_AT_MOST = 0.9
"""Share of free memory, and of free shared memory, that a setting may take: others live there too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What is free on this host; None: no limit, or not known."""

    cores: float
    """CPUs that this process may use: by affinity, and by the control group's quota."""
    cores_told: str
    """Where that number is from."""
    memory_bytes: int | None
    shm_bytes: int | None
    """Free in /dev/shm; None: there is no such place."""
    open_files: int | None
    """Descriptors a process may hold."""
    open_files_now: int
    """Those it holds already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What a loader takes of it."""

    batch_bytes: int | None = None
    """Bytes of a batch; None: not known yet."""
    worker_bytes: int | None = None
    """Memory that one worker has for itself; None: not known yet."""
    shares_memory: bool = True
    """Batches travel through /dev/shm, and each tensor of one holds a descriptor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Which settings fit."""

    room: Room
    needs: Needs
    most_workers: int
    """What was asked for at most."""
    asked_by: str = "--max-workers "
    """How that is asked for, the number to follow."""

    def refusal(self, setting: Setting) -> str | None:
        """Return why a setting does not fit here; None: it does."""
        if setting.workers > self.most_workers:
            return f"{self.asked_by}{self.most_workers}"
        if setting.workers == 0:
            return None
        return self._shared_memory(setting) or self._memory(setting) or self._open_files(setting)

    def _in_flight_bytes(self, setting: Setting) -> int:
        return setting.in_flight * (self.needs.batch_bytes or 0)

    def _shared_memory(self, setting: Setting) -> str | None:
        if not self.needs.shares_memory:
            return None
        if self.room.shm_bytes is None:
            return "shared memory: there is no /dev/shm to hand batches over in"
        need = self._in_flight_bytes(setting)
        if need <= USED_AT_MOST * self.room.shm_bytes:
            return None
        return (
            f"shared memory: {setting.in_flight} batches in flight take {format_bytes(need)}, and "
            f"{format_bytes(self.room.shm_bytes)} of /dev/shm are free"
        )

    def _memory(self, setting: Setting) -> str | None:
        room = self.room.memory_bytes
        own = setting.workers * (self.needs.worker_bytes or 0)
        need = own + self._in_flight_bytes(setting)
        if room is None or need <= USED_AT_MOST * room:
            return None
        return (
            f"memory: workers take {format_bytes(own)} and batches in flight {format_bytes(need - own)}, and "
            f"{format_bytes(room)} are available"
        )

    def _open_files(self, setting: Setting) -> str | None:
        if self.room.open_files is None:
            return None
        held = setting.in_flight if self.needs.shares_memory else 0
        need = self.room.open_files_now + SPARE_FILES + FILES_PER_WORKER * setting.workers + held
        if need <= self.room.open_files:
            return None
        return (
            f"open files: about {format_count(need)} are needed, one for each tensor in flight among them, and "
            f"{format_count(self.room.open_files)} are allowed (ulimit -n)"
        )
