"""Evicting real files: dirty ones go too, what stays is counted, and what is refused is told."""

from __future__ import annotations

import mmap
import os
from pathlib import Path

import pytest

from ioprof.errors import SpecError, StoreError
from ioprof.host.residency import CacheStat, Method
from ioprof.host.store_facts import store_facts
from ioprof.runner.plan import plan_run
from ioprof.spec.flags import raw_spec
from ioprof.spec.resolve import resolve
from ioprof.store.page_cache import COUNTING, drop_caches, drop_caches_refusal, evict

FILES = 5
PAGES = 3


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of files that were written a moment ago and are not on the device yet."""
    if store_facts(tmp_path)["is_memory"]:
        pytest.skip("files here live in memory: nothing can be evicted")
    for index in range(FILES):
        (tmp_path / str(index)).write_bytes(os.urandom(PAGES * mmap.PAGESIZE))
    return tmp_path


def cached_pages(folder: Path) -> int:
    """Return the cached pages of all files; skip where the kernel cannot tell."""
    found, way = 0, CacheStat()
    for index in range(FILES):
        with (folder / str(index)).open("rb") as file:
            pages = way.pages(file.fileno(), 0, 0)
        if pages < 0:
            pytest.skip("no cachestat(2) here")
        found += pages
    return found


@pytest.mark.parametrize("methods", [COUNTING, ("mincore",), ()])
def test_dirty_files_are_written_back_and_evicted(folder: Path, methods: tuple[Method, ...]) -> None:
    """However one looks, and also where nobody can: then what stayed is unknown, not 0."""
    assert cached_pages(folder) == FILES * PAGES
    told: list[int] = []
    done = evict(str(folder), str, FILES, told.append, methods=methods)
    assert cached_pages(folder) == 0
    looked = (FILES * PAGES, 0) if methods else (None, None)
    assert (done.objects, done.failed, done.checked_pages, done.resident_pages) == (FILES, 0, *looked)
    assert told == [FILES]


def test_mapped_pages_stay_and_are_counted(folder: Path) -> None:
    """The kernel does not evict what a process has mapped."""
    with (folder / "0").open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapping:
        assert mapping[0] >= 0
        assert mapping[mmap.PAGESIZE] >= 0
        done = evict(str(folder), str, FILES, lambda _: None)
    assert done.checked_pages == FILES * PAGES
    assert done.resident_pages in (2, PAGES)


def test_dropping_caches_writes_the_switch_or_says_why_not(tmp_path: Path) -> None:
    """Permitted, absent as in a container, and refused by the kernel."""
    switch = tmp_path / "sys/vm/drop_caches"
    assert drop_caches_refusal(tmp_path) == f"{switch} is not there"
    with pytest.raises(StoreError, match=r"--drop-caches: .*No such file.*run as root"):
        drop_caches(tmp_path)
    switch.parent.mkdir(parents=True)
    switch.write_text("0\n")
    assert drop_caches_refusal(tmp_path) is None
    drop_caches(tmp_path)
    assert switch.read_text() == "3\n"
    if os.geteuid():
        switch.chmod(0o400)
        assert "not writable for user" in str(drop_caches_refusal(tmp_path))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--drop-caches", "--cache", "warm"], "contradicts --cache warm"),
        (["--cache=asis", "--drop-caches=true"], "contradicts --cache asis"),
        (["--drop-caches", "--store", "memory://here"], "not a local path"),
    ],
)
def test_dropping_caches_is_refused_where_it_makes_no_sense(words: list[str], told: str) -> None:
    """Before anything is done, and the flag needs no value."""
    flags = [("store", words.pop())] if "--store" in words else []
    spec = resolve(raw_spec("small-files", flags, [], [word for word in words if word != "--store"]))
    assert spec.run.drop_caches
    with pytest.raises(SpecError, match=told):
        plan_run(spec)
