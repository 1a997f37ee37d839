"""Which files of data a process has mapped into its memory, by /proc/PID/maps: whoever mapped them, in any language.

Programs and their libraries are mapped as well, and so is what a runtime keeps beside them: those are told from data by
what else is mapped of them (a part that can be executed) and by where they lie.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import NamedTuple

_OF_PROGRAMS = (
    "/bin/", "/lib/", "/lib32/", "/lib64/", "/usr/bin/", "/usr/lib/", "/usr/lib32/", "/usr/lib64/", "/usr/libexec/",
    "/usr/local/lib/", "/usr/share/", "/proc/", "/sys/", "/SYSV", "/memfd:", "/anon_hugepage",
)  # fmt: skip
_SUFFIXES = (".so", ".pyc", ".ops")
"""Libraries; modules; and operations files, which are ioprof's own."""
_DELETED = " (deleted)"
"""How a name ends that is no longer there; the data is."""
_OF_A_FOLDER_IN_MEMORY = re.compile("shm/(?!pymp-)[^/]+/")
"""Shared memory lies flat in /dev/shm, but for that of Python's ``multiprocessing.Array``; what lies in another folder
there is somebody's data."""


class MappedFiles(NamedTuple):
    """Files of data that are mapped."""

    files: int
    mapped_bytes: int
    """Length of all their mappings; each byte may have been read, or not."""


def mapped_files(maps: str, *, but_below: str = "") -> MappedFiles:
    """Return the data files of a /proc/PID/maps.

    Args:
        maps: its text.
        but_below: a folder whose files are ioprof's own; "": none.
    """
    own = f"{but_below.rstrip('/')}/" if but_below else "//"
    lengths_bytes: dict[str, int] = {}
    programs: set[str] = set()
    for line in maps.splitlines():
        if "/" not in line:
            continue
        # address perms offset dev inode path (proc(5)); a path may hold spaces.
        fields = line.split(maxsplit=5)
        if len(fields) < 6 or not fields[5].startswith("/"):
            continue
        path = fields[5]
        if path.startswith(own):
            continue
        first, _, last = fields[0].partition("-")
        if "x" in fields[1]:
            programs.add(path)
        lengths_bytes[path] = lengths_bytes.get(path, 0) + int(last, 16) - int(first, 16)
    data = [size for path, size in lengths_bytes.items() if path not in programs and not is_of_a_program(path)]
    return MappedFiles(len(data), sum(data))


def own_mapped_files(proc: str = "/proc", *, but_below: str = "") -> MappedFiles | None:
    """Return those of this process; None where the kernel does not tell. Takes a millisecond in large programs."""
    try:
        return mapped_files(Path(f"{proc}/self/maps").read_text(errors="replace"), but_below=but_below)
    except OSError:
        return None


def is_of_a_program(path: str) -> bool:
    """Tell whether a mapped file is a program's, a library's or a runtime's, or memory that processes share."""
    path = path.removesuffix(_DELETED)
    if path.startswith((*_OF_PROGRAMS, f"{sys.prefix}/lib/", f"{sys.base_prefix}/lib/")):
        return True
    if path.startswith("/dev/") and not _OF_A_FOLDER_IN_MEMORY.match(path, len("/dev/")):
        return True
    return path.endswith(_SUFFIXES) or ".so." in path.rpartition("/")[2]
