"""What fsspec's file systems fetch through sockets, call by call; real requests to a real server."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from pathlib import Path

import fsspec
import pytest
import torch
from fsspec.implementations.dirfs import DirFileSystem
from torch.utils.data import DataLoader

import ioprof
from ioprof.analysis.answer import verdict_alone
from ioprof.api import load
from ioprof.capture.objects import Fetched
from ioprof.trace.kinds import Kind
from tests.ranged_server import OBJECT_BYTES, AsyncObjects, LeadingObjects, RangedObjects, content, serving
from tests.unit.capture_ways import capturing
from tests.watched_loaders import Numbers


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """A server of objects of 50,000 bytes."""
    with serving() as found:
        yield found


def _whole(port: int) -> int:
    return len(RangedObjects(port).cat_file("a"))


def _ranges(port: int) -> int:
    return sum(map(len, RangedObjects(port).cat_ranges(["a", "b"], [0, 10_000], [10_000, 50_000])))


def _asynchronously(port: int) -> int:
    objects = AsyncObjects(port)
    found = objects.cat_ranges(["a", "b", "c"], [0, 0, 0], [20_000, 20_000, 10_000])
    assert found[0] == content(0, 20_000)
    return sum(map(len, found))


def _by_file(port: int) -> int:
    with RangedObjects(port).open("a", block_size=20_000, cache_type="readahead") as file:
        return sum(len(piece) for piece in iter(lambda: file.read(5_000), b""))


def _leading(port: int) -> int:
    with LeadingObjects(port).open("a", cache_type="none") as file:
        return len(file.read(25_000)) + len(file.read(25_000))


def _passed_on(port: int) -> int:
    return len(DirFileSystem("folder", RangedObjects(port)).cat_file("a"))


@pytest.mark.parametrize(
    ("read", "gets"),
    [(_whole, 1), (_ranges, 2), (_asynchronously, 3), (_by_file, 2), (_leading, 2), (_passed_on, 1)],
)
def test_each_request_is_one_get(read: Callable[[int], int], gets: int, port: int, tmp_path: Path) -> None:
    """Once, however many calls lead to it; with its bytes, which are none of a file's."""
    with capturing(tmp_path / "trace") as (_, seen):
        assert read(port) == OBJECT_BYTES
    assert seen[0].counts(Kind.GET) == (gets, OBJECT_BYTES, 0)
    assert (seen[0].io.object_bytes, seen[0].io.tapped_bytes) == (OBJECT_BYTES, 0)


def test_a_request_that_fails_is_an_error_and_fails_as_ever(port: int, tmp_path: Path) -> None:
    """The exception is the file system's own."""
    before = vars(RangedObjects)["cat_file"]
    with capturing(tmp_path / "trace") as (_, seen):
        assert RangedObjects.cat_file is not before
        with pytest.raises(FileNotFoundError, match="no such object"):
            RangedObjects(port).cat_file("missing")
    assert vars(RangedObjects)["cat_file"] is before
    assert seen[0].counts(Kind.GET) == (1, 0, 1)


def test_a_file_system_that_is_defined_later_is_seen(port: int, tmp_path: Path) -> None:
    """And is as it was written when the taps are gone; `__init_subclass__` too."""
    with capturing(tmp_path / "trace") as (_, seen):

        class Later(RangedObjects):
            protocol = "later"

            def cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: object) -> bytes:
                return super().cat_file(path, start, end)

        assert len(Later(port).cat_file("a")) == OBJECT_BYTES
    assert seen[0].counts(Kind.GET) == (1, OBJECT_BYTES, 0)
    assert not hasattr(vars(Later)["cat_file"], "__wrapped__")
    assert "__init_subclass__" not in vars(fsspec.AbstractFileSystem)


class KeptObjects(AsyncObjects):
    """Fsspec keeps one for each port."""

    protocol = "kept"
    cachable = True


def test_a_file_system_that_was_made_before_is_seen(port: int, tmp_path: Path) -> None:
    """Its ``cat_file`` is its own, which fsspec made of the class as it was; it has that back afterwards."""
    objects = KeptObjects(port)
    before = vars(objects)["cat_file"]
    with capturing(tmp_path / "trace") as (_, seen):
        assert KeptObjects(port) is objects
        assert len(objects.cat_file("a", 0, 9_000)) == 9_000
    assert vars(objects)["cat_file"] is before
    assert objects.cat_file("a", 5, 10) == content(5, 10)
    assert seen[0].counts(Kind.GET) == (1, 9_000, 0)
    KeptObjects.clear_instance_cache()


def test_local_files_are_seen_once_and_as_files(tmp_path: Path) -> None:
    """The local disk is no object store, though it be read by way of fsspec."""
    (tmp_path / "a").write_bytes(bytes(9_000))
    with capturing(tmp_path / "trace") as (_, seen):
        assert len(fsspec.filesystem("file").cat_file(str(tmp_path / "a"))) == 9_000
    assert seen[0].counts(Kind.GET) == (0, 0, 0)
    assert seen[0].counts(Kind.READ)[1] == seen[0].io.rchar_bytes == 9_000


def test_a_child_forked_while_a_fetch_is_counted_counts_its_own(port: int, tmp_path: Path) -> None:
    """The thread that counted is not in the child; nobody there would wait for it."""
    with capturing(tmp_path / "trace"):
        with Fetched.lock:
            child = multiprocessing.get_context("fork").Process(target=_whole, args=(port,))
            child.start()
        child.join(60)
        assert child.exitcode == 0
        child.close()


class Objects(Numbers):
    """Sample i is a range of an object."""

    def __init__(self, port: int, count: int = 12) -> None:
        super().__init__(count)
        self.port = port

    def __getitem__(self, index: int) -> torch.Tensor:
        return torch.tensor(len(RangedObjects(self.port).cat_file("a", index, index + 10_000)))


def test_a_watched_loader_over_objects_has_latencies_and_says_why_no_coverage(port: int, tmp_path: Path) -> None:
    """Each request was timed; nobody but the library counts what comes through sockets."""
    loader = DataLoader(Objects(port), batch_size=2, num_workers=1)
    with ioprof.watch(loader, results=tmp_path, warmup=1) as watched:
        assert [int(size) for batch in watched for size in batch] == [10_000] * 12
    summary = load(watched.directory, verdict_alone).summary
    assert (summary.operations["get"].count, summary.operations["get"].bytes) == (10, 100_000)
    assert summary.operations["get"].latency_ns is not None
    assert summary.coverage.ratio is summary.cache.client_hit_ratio is None
    assert "came through sockets, by calls that were timed" in summary.reasons["coverage.ratio"]
