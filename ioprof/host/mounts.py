"""The mount table: which file system holds a path, and where the control groups are. Format: proc(5)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ioprof.host.text import read_text

_ESCAPE = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """One line of /proc/self/mountinfo."""

    device_number: str
    """MAJOR:MINOR."""
    root: str
    """Directory of the file system that is mounted; not ``/`` for bind mounts."""
    mount_point: str
    filesystem: str
    """Type, such as ext4 or nfs4."""
    source: str
    """Device or server."""
    options: str
    """Options of the mount and of the file system."""


def mounts(proc: Path = Path("/proc")) -> list[Mount]:
    """Return the mount table in the kernel's order; empty where it cannot be read."""
    lines = (read_text(proc / "self" / "mountinfo") or "").splitlines()
    parsed = (_parse(line) for line in lines)
    return [mount for mount in parsed if mount is not None]


def mount_of(path: str, table: list[Mount]) -> Mount | None:
    """Return the mount that holds an absolute path: the longest match, the latest among equals."""
    holding = [mount for mount in table if _holds(mount.mount_point, path)]
    # Listed later means mounted on top, and max() keeps the first of equals.
    return max(reversed(holding), key=lambda mount: len(mount.mount_point), default=None)


def _parse(line: str) -> Mount | None:
    # 36 35 98:0 /root /mnt rw,noatime master:1 - ext3 /dev/root rw,errors=continue
    before, separator, after = line.partition(" - ")
    fields, rest = before.split(" "), after.split(" ")
    if not separator or len(fields) < 6 or len(rest) < 2:
        return None
    options = dict.fromkeys(fields[5].split(",") + (rest[2].split(",") if len(rest) > 2 else []))
    return Mount(
        device_number=fields[2],
        root=_unescape(fields[3]),
        mount_point=_unescape(fields[4]),
        filesystem=rest[0],
        source=_unescape(rest[1]),
        options=_unescape(",".join(options)),
    )


def _unescape(text: str) -> str:
    """Undo the kernel's octal escapes of blanks, tabs, newlines and backslashes."""
    return _ESCAPE.sub(lambda match: chr(int(match[1], 8)), text)


def _holds(mount_point: str, path: str) -> bool:
    return path == mount_point or path.startswith(mount_point.rstrip("/") + "/")
