"""Shared by all tests: hypothesis without a database, the root mark, and proof that nothing is left behind."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from ioprof.store.compiled import VARIABLE, is_built
from tests.children import children
from tests.shared_memory import segments, segments_left
from tests.turns import turn

settings.register_profile("ioprof", database=None, deadline=None)
settings.load_profile("ioprof")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip tests that need root where there is none."""
    if os.geteuid() != 0:
        for item in items:
            if "root" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="needs root"))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Return what ``-n auto`` means: one process more than CPUs, as many tests wait rather than compute."""
    return len(os.sched_getaffinity(0)) + 1


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Let a test marked ``alone`` have the machine to itself where several run side by side."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return (yield)
    with turn(Path(item.config.getoption("basetemp")).parent, alone=item.get_closest_marker("alone") is not None):
        return (yield)


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what is remembered between commands out of the user's own cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(params=["compiled", "python"])
def reads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return which loop reads whole objects in this test: it is made with each of both."""
    if request.param == "compiled" and not is_built():
        pytest.skip("the compiled reader was not built: no C compiler, or no headers of Python's")
    monkeypatch.setenv(VARIABLE, request.param)
    return str(request.param)


@pytest.fixture
def python_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let whole objects be read by the loop in Python: functions of `os` that a test replaces are seen by it alone."""
    monkeypatch.setenv(VARIABLE, "python")


@pytest.fixture
def nothing_left() -> Iterator[None]:
    """Fail a test that leaves processes, or shared memory whose maker is gone or is this process."""
    before, present = children(), segments()
    yield
    assert children() <= before, "processes are left"
    assert not segments_left(present), "shared memory is left"


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
