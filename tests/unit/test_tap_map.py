"""Mapped files: the right bytes, their page faults, and files that are not as long as they should be."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ioprof.errors import StoreError
from ioprof.store.fsspec_store import FsspecStore
from ioprof.store.local import LocalStore
from ioprof.store.open_files import OpenFiles
from ioprof.store.page_cache import evict
from ioprof.store.tap_file import ShortReadError
from ioprof.trace.kinds import SHORT_READ, Kind
from ioprof.trace.raw import page_faults, raw_processes
from tests.recorded_taps import counts, errors, recorded_bytes, tapped

PAGES = 64
SIZE = PAGES * 4096
CONTENT = os.urandom(SIZE)


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    """Return a store with one file, synced so that it can be evicted."""
    made = LocalStore(str(tmp_path / "store"))
    made.make_dir("")
    made.write("tokens", CONTENT, sync=True)
    return made


def _evict(store: LocalStore) -> int:
    """Evict the file and return how many of its pages stayed; skip where the kernel cannot tell."""
    done = evict(store.local_root or "", lambda _: "tokens", 1, lambda _: None)
    if done.resident_pages is None:
        pytest.skip("this kernel has no cachestat(2)")
    return done.resident_pages


def _evicted(store: LocalStore) -> None:
    if _evict(store):
        pytest.skip("this file system keeps its files in memory")


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(offset=st.integers(0, SIZE), size_bytes=st.integers(0, SIZE))
def test_a_mapped_range_holds_the_files_bytes(
    offset: int, size_bytes: int, tmp_path_factory: pytest.TempPathFactory, store: LocalStore
) -> None:
    """Any range inside of the file; the bytes that were copied are counted, and as mapped ones."""
    length = min(size_bytes, SIZE - offset)
    trace_dir = tmp_path_factory.mktemp("trace")
    with tapped(store, trace_dir) as tap, tap.map_file("tokens", 3, SIZE, "normal") as mapped:
        assert mapped.read_at(offset, length) == CONTENT[offset : offset + length]
        assert (tap.tapped_bytes, tap.mapped_bytes) == (length, length)
    assert counts(trace_dir) == {Kind.OPEN: 1, Kind.MAP: 1, Kind.CLOSE: 1, Kind.TOUCH: 1}
    assert recorded_bytes(trace_dir, Kind.TOUCH) == length


def test_major_faults_wait_for_the_device_and_minor_ones_do_not(store: LocalStore, trace_dir: Path) -> None:
    """Out of the page cache each page of a range read at random costs a major fault; in it, none does."""
    _evicted(store)
    with tapped(store, trace_dir) as tap, tap.map_file("tokens", 0, SIZE, "random") as mapped:
        for page in (5, 9, 30):
            mapped.read_at(page * 4096, 4096)
    with tapped(store, trace_dir, worker=1) as tap, tap.map_file("tokens", 0, SIZE, "random") as mapped:
        for page in (5, 9, 30):
            mapped.read_at(page * 4096, 4096)
    cold, warm = page_faults(raw_processes(trace_dir)[0])
    assert (cold.worker, cold.phase, cold.major, cold.waiting_touches) == (0, "steady", 3, 3)
    assert (warm.worker, warm.major, warm.waiting_touches) == (1, 0, 0)
    assert warm.minor >= 1


def test_pages_that_are_mapped_stay_and_those_given_back_go(store: LocalStore, trace_dir: Path) -> None:
    """Eviction says how many pages stayed; after `unmap` none do, and the next touch maps the file anew."""
    _evicted(store)
    with tapped(store, trace_dir) as tap:
        tap.kept = OpenFiles(4, lambda obj: tap.map_file("tokens", obj, SIZE, "random"))
        tap.kept.file(0).read_at(0, SIZE)
        assert _evict(store) > 0
        tap.unmap()
        assert _evict(store) == 0
        assert tap.kept.file(0).read_at(0, SIZE) == CONTENT
    assert counts(trace_dir) == {Kind.OPEN: 2, Kind.MAP: 2, Kind.CLOSE: 2, Kind.TOUCH: 2}


def test_a_file_cut_short_is_refused_when_it_is_mapped(store: LocalStore, trace_dir: Path) -> None:
    """Touching it would kill the process: it is an error of kind map, every time it is tried."""
    os.truncate(Path(store.local_root or "") / "tokens", SIZE - 1)
    with tapped(store, trace_dir) as tap, tap.map_file("tokens", 0, SIZE, "normal") as mapped:
        for _ in range(2):
            with pytest.raises(ShortReadError, match=f"object 0 has {SIZE - 1} bytes, not {SIZE}"):
                mapped.read_at(0, 100)
    assert errors(trace_dir) == {(Kind.MAP, SHORT_READ): 2}


def test_a_range_beyond_the_end_and_a_missing_file_are_counted(store: LocalStore, trace_dir: Path) -> None:
    """A short read of kind touch, and an open that failed."""
    with tapped(store, trace_dir) as tap:
        with tap.map_file("tokens", 0, SIZE, "normal") as mapped, pytest.raises(ShortReadError):
            mapped.read_at(SIZE - 10, 11)
        with tap.map_file("missing", 1, SIZE, "normal") as mapped, pytest.raises(FileNotFoundError):
            mapped.read_at(0, 1)
    assert errors(trace_dir) == {(Kind.TOUCH, SHORT_READ): 1, (Kind.OPEN, errno.ENOENT): 1}


def test_an_empty_file_cannot_be_mapped_and_says_so(store: LocalStore, trace_dir: Path) -> None:
    """Nothing is there: a short read, not a crash."""
    store.write("tokens", b"")
    with (
        tapped(store, trace_dir) as tap,
        tap.map_file("tokens", 0, SIZE, "normal") as mapped,
        pytest.raises(ShortReadError),
    ):
        mapped.read_at(0, 1)
    assert errors(trace_dir) == {(Kind.MAP, SHORT_READ): 1}


def test_remote_objects_cannot_be_mapped(trace_dir: Path) -> None:
    """One line that names the store."""
    with tapped(FsspecStore("memory://tap-map"), trace_dir) as tap, pytest.raises(StoreError, match="memory://tap-map"):
        tap.map_file("tokens", 0, SIZE, "normal")
