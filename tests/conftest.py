"""Shared by all tests: hypothesis without a database, the root mark, and proof that nothing is left behind."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from hypothesis import settings

settings.register_profile("ioprof", database=None, deadline=None)
settings.load_profile("ioprof")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip tests that need root where there is none."""
    if os.geteuid() != 0:
        for item in items:
            if "root" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="needs root"))


def _children() -> set[int]:
    # multiprocessing's own servants outlive their users by design, until this process ends.
    servants = ("resource_tracker", "forkserver")
    return {
        child.pid
        for child in psutil.Process().children(recursive=True)
        if child.status() != psutil.STATUS_ZOMBIE and not any(word in " ".join(child.cmdline()) for word in servants)
    }


@pytest.fixture
def nothing_left() -> Iterator[None]:
    """Fail a test that leaves processes, or shared memory whose maker is gone or is this process."""
    before, segments = _children(), set(os.listdir("/dev/shm"))
    yield
    assert _children() <= before, "processes are left"
    left = {name for name in set(os.listdir("/dev/shm")) - segments if not _made_by_another(name)}
    # Other programs on this host make and unlink some within a moment (semaphores).
    assert not {name for name in left if os.path.lexists(f"/dev/shm/{name}")}, "shared memory is left"


def _made_by_another(segment: str) -> bool:
    """Whether a live process that is none of ours maps a segment or is named in its name (torch: ``torch_PID_...``)."""
    pids = [int(part) for part in segment.split("_") if part.isdigit()]
    return any(pid != os.getpid() and psutil.pid_exists(pid) for pid in pids) or _mapped_by_another(segment)


def _mapped_by_another(segment: str) -> bool:
    # By its inode: the name in the map of a semaphore is one that it had while it was made.
    try:
        inode = os.stat(f"/dev/shm/{segment}").st_ino
    except FileNotFoundError:
        return False
    ours = {os.getpid()} | {child.pid for child in psutil.Process().children(recursive=True)}
    for pid in set(psutil.pids()) - ours:
        with contextlib.suppress(OSError):  # it has ended
            maps = Path(f"/proc/{pid}/maps").read_text().splitlines()
            if any(f" {inode} " in line and "/dev/shm/" in line for line in maps):
                return True
    return False


@pytest.fixture
def no_descriptor_left() -> Iterator[None]:
    """Fail a test that leaves descriptors open."""
    before = set(os.listdir("/proc/self/fd"))
    yield
    assert len(os.listdir("/proc/self/fd")) <= len(before), "descriptors are left open"


@pytest.fixture
def trace_dir(tmp_path: Path) -> Path:
    """A folder for raw trace files."""
    path = tmp_path / "trace"
    path.mkdir()
    return path
