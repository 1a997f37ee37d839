"""Limits that control groups put on this process, version 1 and 2.

A limit may stand at any level above the process, so all levels are read and the smallest counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from ioprof.host.mounts import Mount, mounts
from ioprof.host.text import read_int, read_text

_UNLIMITED_BYTES = 1 << 60
"""Version 1 writes 'no limit' as the largest multiple of a page."""


def cpu_quota_cores(proc: Path = Path("/proc"), sys: Path = Path("/sys")) -> float | None:
    """Return how many CPUs' worth of time the group may use; None where there is no quota."""
    return _smallest("cpu", _quota_v1, _quota_v2, proc, sys)


def memory_limit_bytes(proc: Path = Path("/proc"), sys: Path = Path("/sys")) -> int | None:
    """Return how much memory the group may use, page cache included; None where there is no limit."""
    limit = _smallest("memory", _memory_v1, _memory_v2, proc, sys)
    return None if limit is None else int(limit)


def memory_room_bytes(proc: Path = Path("/proc"), sys: Path = Path("/sys")) -> int | None:
    """Return how much more memory the group may take; None where there is no limit, or its use is not told.

    What its page cache has not used for a while gives way, and counts as room.
    """
    rooms = [_room_v1(level) for level in _levels("memory", proc, sys)]
    rooms += [_room_v2(level) for level in _levels("", proc, sys)]
    return min((room for room in rooms if room is not None), default=None)


def _room_v1(level: Path) -> int | None:
    return _room(level, _memory_v1(level), "memory.usage_in_bytes", "total_inactive_file")


def _room_v2(level: Path) -> int | None:
    return _room(level, _memory_v2(level), "memory.current", "inactive_file")


def _room(level: Path, limit: float | None, usage: str, reclaimable: str) -> int | None:
    used = read_int(level / usage)
    if limit is None or used is None:
        return None
    return max(0, int(limit) - max(0, used - int(_words(level / "memory.stat").get(reclaimable, 0))))


def cpu_throttled_ns(proc: Path = Path("/proc"), sys: Path = Path("/sys")) -> int | None:
    """Return how long the quota of the group, or of one above it, has stood its processes still, in ns in all.

    The longest of all levels; None where none has a quota, or none tells.
    """
    if cpu_quota_cores(proc, sys) is None:
        return None
    levels = [*_levels("cpu", proc, sys), *_levels("", proc, sys)]
    return max((stood for level in levels if (stood := _throttled_ns(level)) is not None), default=None)


def _throttled_ns(level: Path) -> int | None:
    words = _words(level / "cpu.stat")
    if "throttled_usec" in words:
        return int(words["throttled_usec"]) * 1000
    return int(words["throttled_time"]) if "throttled_time" in words else None


def _words(path: Path) -> dict[str, str]:
    """Return a file of lines that name a counter and its value."""
    return dict(line.split(maxsplit=1) for line in (read_text(path) or "").splitlines() if " " in line)


Reader = Callable[[Path], float | None]


def _smallest(controller: str, v1: Reader, v2: Reader, proc: Path, sys: Path) -> float | None:
    limits = [v1(level) for level in _levels(controller, proc, sys)]
    limits += [v2(level) for level in _levels("", proc, sys)]
    return min((limit for limit in limits if limit is not None), default=None)


def _levels(controller: str, proc: Path, sys: Path) -> Iterator[Path]:
    """Yield the process's directory in the hierarchy of ``controller`` ('' is version 2) and all above it."""
    group = _own_group(controller, proc)
    mount = next((one for one in mounts(proc) if _carries(one, controller)), None)
    if group is None or mount is None:
        return
    # Inside a container the mount shows only a part of the tree, and the group is named from the whole of it.
    inside = PurePosixPath(group)
    if mount.root != "/" and inside.is_relative_to(mount.root):
        inside = inside.relative_to(mount.root)
    top = PurePosixPath(mount.mount_point)
    base = sys / top.relative_to("/sys") if top.is_relative_to("/sys") else Path(top)
    parts = [part for part in inside.parts if part not in ("/", "..")]
    for depth in range(len(parts), -1, -1):
        yield base.joinpath(*parts[:depth])


def _own_group(controller: str, proc: Path) -> str | None:
    for line in (read_text(proc / "self" / "cgroup") or "").splitlines():
        fields = line.split(":", 2)
        if len(fields) == 3 and controller in fields[1].split(","):
            return fields[2]
    return None


def _carries(mount: Mount, controller: str) -> bool:
    if not controller:
        return mount.filesystem == "cgroup2"
    return mount.filesystem == "cgroup" and controller in mount.options.split(",")


def _quota_v1(level: Path) -> float | None:
    quota, period = read_int(level / "cpu.cfs_quota_us"), read_int(level / "cpu.cfs_period_us")
    return quota / period if quota is not None and quota > 0 and period else None


def _quota_v2(level: Path) -> float | None:
    words = (read_text(level / "cpu.max") or "max").split()
    return None if words[0] == "max" or len(words) < 2 else int(words[0]) / int(words[1])


def _memory_v1(level: Path) -> float | None:
    limit = read_int(level / "memory.limit_in_bytes")
    return limit if limit is not None and limit < _UNLIMITED_BYTES else None


def _memory_v2(level: Path) -> float | None:
    return read_int(level / "memory.max")
