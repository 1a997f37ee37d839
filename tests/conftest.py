"""Shared by all tests: hypothesis without a database, the root mark, and proof that nothing is left behind."""

from __future__ import annotations

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
    """Fail a test that leaves processes, shared memory of this or a child process, or open descriptors."""
    before, descriptors = _children(), len(os.listdir("/proc/self/fd"))
    segments = set(os.listdir("/dev/shm"))
    yield
    assert _children() <= before, "processes are left"
    pids = {str(os.getpid())}
    left = {name for name in set(os.listdir("/dev/shm")) - segments if pids & set(name.split("_"))}
    assert not left, "shared memory is left"
    assert len(os.listdir("/proc/self/fd")) <= descriptors, "descriptors are left open"


@pytest.fixture
def trace_dir(tmp_path: Path) -> Path:
    """A folder for raw trace files."""
    path = tmp_path / "trace"
    path.mkdir()
    return path
