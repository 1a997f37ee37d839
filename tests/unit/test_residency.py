"""Each way to ask for cached pages, on real files: what was read is there, what was evicted is not."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ioprof.host.residency import METHODS, PAGE_BYTES, Method, first_answer
from ioprof.host.store_facts import store_facts

PAGES = 64


@pytest.fixture
def descriptor(tmp_path: Path) -> Iterator[int]:
    """Yield a file of 64 pages, cached and on the device, that nothing reads ahead."""
    if store_facts(tmp_path)["is_memory"]:
        pytest.skip("files here live in memory: nothing can be evicted")
    (tmp_path / "file").write_bytes(os.urandom(PAGES * PAGE_BYTES))
    fd = os.open(tmp_path / "file", os.O_RDWR)
    os.fsync(fd)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
    yield fd
    os.close(fd)


@pytest.mark.parametrize("method", METHODS)
def test_each_way_counts_the_pages_of_a_range(descriptor: int, method: Method) -> None:
    """All of a cached file, both pages that two bytes lie in, and the two that were read after it was evicted."""
    answer = first_answer(descriptor, methods=[method])
    if answer is None:
        pytest.skip(f"{method} does not work here")
    way, cached = answer
    assert cached == PAGES
    whole = (way.pages(descriptor, 0, 0), way.pages(descriptor, 0, PAGES * PAGE_BYTES))
    assert (*whole, way.pages(descriptor, PAGE_BYTES - 1, 2)) == (PAGES, PAGES, 2)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.pread(descriptor, 2 * PAGE_BYTES, 0)
    assert way.method == method
    # The third way may find a page that it made the kernel read a moment ago.
    assert way.pages(descriptor, 0, 3 * PAGE_BYTES) in ((2, 3) if method == "rwf_nowait" else (2,))


def test_the_first_way_that_answers_is_kept(descriptor: int) -> None:
    """In the order of the list; where none is allowed, or the file is not there, there is none."""
    first = first_answer(descriptor)
    assert first is not None
    others = [method for method in METHODS if method != first[0].method]
    second = first_answer(descriptor, methods=others)
    assert second is not None
    assert (second[0].method, second[1]) == (others[0], PAGES)
    assert first_answer(descriptor, methods=[]) is None
    assert first_answer(-1) is None


@pytest.fixture
def overlay(tmp_path: Path) -> Iterator[Path]:
    """Yield an overlay over directories of this file system."""
    for name in ("low", "up", "work", "merged"):
        (tmp_path / name).mkdir()
    options = f"lowerdir={tmp_path}/low,upperdir={tmp_path}/up,workdir={tmp_path}/work"
    mount, umount = shutil.which("mount"), shutil.which("umount")
    command = [str(mount), "-t", "overlay", "overlay", "-o", options, str(tmp_path / "merged")]
    if (
        os.geteuid()
        or mount is None
        or umount is None
        or subprocess.run(command, check=False, capture_output=True).returncode
    ):
        pytest.skip("no overlay can be mounted here")
    yield tmp_path / "merged"
    subprocess.run([umount, str(tmp_path / "merged")], check=True)


def test_on_an_overlay_the_pages_of_the_file_below_are_counted(overlay: Path) -> None:
    """Asked about the overlay's own file, cachestat(2) would call every warm read a cold one."""
    (overlay / "file").write_bytes(os.urandom(PAGES * PAGE_BYTES))
    descriptor = os.open(overlay / "file", os.O_RDONLY)
    try:
        answer = first_answer(descriptor)
        assert answer is not None
        assert (answer[0].method, answer[1]) == ("mincore", PAGES)
        assert first_answer(descriptor, methods=["cachestat"]) is None
    finally:
        os.close(descriptor)
