"""Traced operations: every one leaves its kind, bytes and outcome, and a sample that failed is left out."""

from __future__ import annotations

import errno
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import fsspec
import pytest

from ioprof.store.local import LocalStore
from ioprof.store.local_tap import LocalTap, tap_store
from ioprof.store.open_store import open_store
from ioprof.store.tap import Tap
from ioprof.store.tap_file import LocalTapFile, ShortReadError
from ioprof.store.whole_read import PAGE_MASK
from ioprof.trace.kinds import SHORT_READ, UNNAMED_ERROR, Kind, Phase, error_name
from ioprof.trace.opsfile import SINGLES
from ioprof.trace.raw import raw_processes, raw_spans
from ioprof.trace.recorder import Recorder

CONTENT = {0: b"a" * 4096, 1: b"", 2: b"c" * 100, 3: b"d" * 7}
OBJECTS = list(CONTENT)
Row = tuple[Kind, int, int, int]
"""Kind, object, bytes, error."""


class Bench:
    """A store with four objects, its tap, and what was recorded."""

    def __init__(self, url: str, trace_dir: Path) -> None:
        self.store = open_store(url)
        self.store.make_dir("")
        for obj, content in CONTENT.items():
            self.store.write(str(obj), content)
        self.trace_dir = trace_dir
        self.recorder = Recorder(str(trace_dir), rank=0, worker=0, span_budget=10**6)
        self.recorder.begin(int(Phase.STEADY), batch=0)
        self.tap = tap_store(self.store, self.recorder)

    def read(self) -> dict[int, bytes]:
        """Read all objects as a workload's reader does."""
        paths = [f"{self.tap.root}{obj}" for obj in OBJECTS]
        contents = self.tap.read_objects(paths, [len(CONTENT[obj]) for obj in OBJECTS], OBJECTS)
        objects = {content: obj for obj, content in CONTENT.items()}
        return {objects[content]: content for content in contents}

    def _rows(self) -> list[dict[str, int]]:
        self.recorder.end()
        rows = [row for chunk in raw_spans(raw_processes(self.trace_dir)[0]) for row in chunk.to_pylist()]
        rows.sort(key=lambda row: (row["start_ns"], row["kind"]))
        assert all(row["duration_ns"] >= 0 for row in rows)
        return rows

    def recorded(self) -> list[Row]:
        """Return the operations in the order of their start."""
        return [(Kind(row["kind"]), row["object"], row["bytes"], row["error"]) for row in self._rows()]

    def noted(self, obj: int) -> list[tuple[str, int | None, bool | None]]:
        """Return kind, offset and whether it was opened around the page cache, of the operations of one object."""
        rows = sorted((row for row in self._rows() if row["object"] == obj), key=lambda row: row["start_ns"])
        return [(Kind(row["kind"]).label, row["offset"], row["direct"]) for row in rows]


@pytest.fixture
def local(tmp_path: Path, trace_dir: Path) -> Bench:
    """Objects on a path."""
    return Bench(str(tmp_path / "store"), trace_dir)


@pytest.fixture
def either(tmp_path: Path, trace_dir: Path, reads: str) -> Bench:
    """The same, once for each of the two loops that read whole objects."""
    return Bench(str(tmp_path / "store"), trace_dir)


@pytest.fixture(params=["file", "memory"])
def remote(request: pytest.FixtureRequest, tmp_path: Path, trace_dir: Path) -> Iterator[Bench]:
    """Objects behind fsspec."""
    name = uuid.uuid4().hex
    yield Bench(f"file://{tmp_path}/store" if request.param == "file" else f"memory://{name}", trace_dir)
    if request.param == "memory":
        fsspec.filesystem("memory").rm(f"/{name}", recursive=True)


def _whole(obj: int) -> list[Row]:
    return [(Kind.OPEN, obj, 0, 0), (Kind.READ, obj, len(CONTENT[obj]), 0), (Kind.CLOSE, obj, 0, 0)]


def test_a_local_read_is_an_open_a_read_and_a_close(either: Bench) -> None:
    """Object by object, with the bytes of each."""
    assert either.read() == CONTENT
    assert either.recorded() == [row for obj in OBJECTS for row in _whole(obj)]
    assert (either.tap.tapped_bytes, either.tap.failed_samples) == (sum(map(len, CONTENT.values())), 0)


def test_a_remote_read_is_a_get(remote: Bench) -> None:
    """One operation per object: what the client does inside is not seen."""
    assert remote.read() == CONTENT
    assert remote.recorded() == [(Kind.GET, obj, len(CONTENT[obj]), 0) for obj in OBJECTS]
    assert remote.tap.tapped_bytes == sum(map(len, CONTENT.values()))


def test_a_missing_file_is_an_error_of_open_and_its_sample_is_left_out(either: Bench) -> None:
    """The others are not hurt."""
    either.store.unlink("2")
    assert either.read() == {obj: content for obj, content in CONTENT.items() if obj != 2}
    assert either.recorded() == [*_whole(0), *_whole(1), (Kind.OPEN, 2, 0, errno.ENOENT), *_whole(3)]
    assert either.tap.failed_samples == 1


def test_a_batch_with_thousands_of_missing_files_keeps_the_reads_among_them(either: Bench) -> None:
    """Failures alone would fill a half: what was read before and after them is recorded all the same."""
    missing = [f"{either.tap.root}absent"] * SINGLES
    there = f"{either.tap.root}0"
    objects = [0, *range(1, SINGLES + 1), SINGLES + 1]
    contents = either.tap.read_objects([there, *missing, there], [4096] * len(objects), objects)
    assert len(contents) == 2
    rows = either.recorded()
    assert [row for row in rows if row[0] == Kind.READ] == [(Kind.READ, 0, 4096, 0), (Kind.READ, SINGLES + 1, 4096, 0)]
    assert sum(row[3] == errno.ENOENT for row in rows) == SINGLES


def test_a_missing_object_is_an_error_of_get(remote: Bench) -> None:
    """With the errno where the client gives one."""
    remote.store.unlink("2")
    assert remote.read() == {obj: content for obj, content in CONTENT.items() if obj != 2}
    failed = [row for row in remote.recorded() if row[3]]
    assert [row[:3] for row in failed] == [(Kind.GET, 2, 0)]
    assert failed[0][3] in (errno.ENOENT, UNNAMED_ERROR)
    assert remote.tap.failed_samples == 1


@pytest.mark.parametrize("left", [0, 1, 99])
def test_a_truncated_file_is_a_short_read_and_its_sample_is_left_out(either: Bench, left: int) -> None:
    """The bytes that came are counted; so is the error."""
    either.store.write("2", b"c" * left)
    assert 2 not in either.read()
    found = [row for row in either.recorded() if row[1] == 2]
    assert found == [(Kind.OPEN, 2, 0, 0), (Kind.READ, 2, left, SHORT_READ), (Kind.CLOSE, 2, 0, 0)]
    assert either.tap.failed_samples == 1
    assert either.tap.tapped_bytes == 4096 + 7 + left


def test_an_object_of_another_size_is_a_short_read_of_get(remote: Bench) -> None:
    """Shorter or longer than the manifest says."""
    remote.store.write("2", b"c" * 99)
    remote.store.write("3", b"d" * 8)
    assert set(remote.read()) == {0, 1}
    failed = {row for row in remote.recorded() if row[3]}
    assert failed == {(Kind.GET, 2, 99, SHORT_READ), (Kind.GET, 3, 8, SHORT_READ)}
    assert remote.tap.failed_samples == 2


def test_a_directory_in_a_files_place_is_an_error_of_read(either: Bench, no_descriptor_left: None) -> None:
    """Opening works, reading does not; the descriptor is closed all the same."""
    either.store.unlink("2")
    either.store.make_dir("2")
    assert 2 not in either.read()
    found = [row for row in either.recorded() if row[1] == 2]
    assert found == [(Kind.OPEN, 2, 0, 0), (Kind.READ, 2, 0, errno.EISDIR), (Kind.CLOSE, 2, 0, 0)]


def test_a_read_that_comes_in_parts_is_one_read_of_the_whole(
    python_reads: None, local: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel caps one read at 2 GiB; networked filesystems may give less."""
    real = os.read
    monkeypatch.setattr(os, "read", lambda descriptor, size: real(descriptor, min(size, 30)))
    assert local.read() == CONTENT
    assert local.recorded() == [row for obj in OBJECTS for row in _whole(obj)]
    assert local.tap.tapped_bytes == sum(map(len, CONTENT.values()))


def test_a_read_that_fails_after_its_first_part_is_an_error_of_read(
    python_reads: None, local: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that goes away in the middle of a file costs that sample, not the run."""
    real = os.read

    def failing(descriptor: int, size: int) -> bytes:
        if size == 70:
            raise OSError(errno.EIO, "gone")
        return real(descriptor, min(size, 30) if size == 100 else size)

    monkeypatch.setattr(os, "read", failing)
    assert 2 not in local.read()
    assert (Kind.READ, 2, errno.EIO) in {(kind, obj, error) for kind, obj, _, error in local.recorded()}


def test_listing_and_stat_are_recorded_with_their_errors(local: Bench) -> None:
    """The caller sees the error, and so does the trace."""
    assert {entry.name for entry in local.tap.list("")} == {"0", "1", "2", "3"}
    assert local.tap.stat("2", 2).size_bytes == 100
    with pytest.raises(FileNotFoundError):
        local.tap.list("absent")
    with pytest.raises(FileNotFoundError):
        local.tap.stat("absent")
    assert local.recorded() == [
        (Kind.LIST, -1, 0, 0),
        (Kind.STAT, 2, 0, 0),
        (Kind.LIST, -1, 0, errno.ENOENT),
        (Kind.STAT, -1, 0, errno.ENOENT),
    ]


def test_decoding_is_recorded_with_the_bytes_it_was_given(local: Bench) -> None:
    """And is no storage operation."""
    assert local.tap.decode(bytes.upper, b"abc", 5) == b"ABC"
    assert local.recorded() == [(Kind.DECODE, 5, 3, 0)]


def test_a_read_that_is_broken_off_leaves_what_it_read(local: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal's exception may strike between any two objects: stamps and the objects they belong to stay in step."""
    paths = [f"{local.tap.root}{obj}" for obj in OBJECTS]
    closed = []

    def close(descriptor: int) -> None:
        os.close(descriptor)
        closed.append(descriptor)
        if len(closed) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(local.tap, "calls", SimpleNamespace(open=os.open, read=os.read, close=close))
    with pytest.raises(KeyboardInterrupt):
        local.tap.read_objects(paths, [len(CONTENT[obj]) for obj in OBJECTS], OBJECTS)
    assert local.recorded() == [row for obj in (0, 1) for row in _whole(obj)]
    assert local.tap.tapped_bytes == len(CONTENT[0]) + len(CONTENT[1])


def test_a_local_write_is_its_calls_and_the_file_is_there(local: Bench) -> None:
    """Open, write, fsync where it was asked for, and close; the bytes belong to the write."""
    local.tap.write("new", b"x" * 5000, 9, sync=True)
    local.tap.write("new", b"", 9)
    assert local.store.read("new") == b""
    durable = [(Kind.OPEN, 9, 0, 0), (Kind.WRITE, 9, 5000, 0), (Kind.FSYNC, 9, 0, 0), (Kind.CLOSE, 9, 0, 0)]
    assert local.recorded() == [*durable, (Kind.OPEN, 9, 0, 0), (Kind.CLOSE, 9, 0, 0)]


def test_a_write_that_comes_in_parts_is_recorded_with_what_each_part_took(
    local: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel may take less than it was given: the bytes of all parts are those of the content."""
    real = os.write
    monkeypatch.setattr("ioprof.store.local_tap.os.write", lambda descriptor, part: real(descriptor, part[:100]))
    local.tap.write("new", b"n" * 250, 9)
    monkeypatch.undo()
    assert local.store.read("new") == b"n" * 250
    assert [row[2] for row in local.recorded() if row[0] == Kind.WRITE] == [100, 100, 50]


def test_a_remote_write_is_a_put(remote: Bench) -> None:
    """One request, durable when it returns."""
    remote.tap.write("new", b"abc", 9, sync=True)
    assert remote.store.read("new") == b"abc"
    assert remote.recorded() == [(Kind.PUT, 9, 3, 0)]


def test_names_are_changed_and_counted_under_their_kinds(local: Bench) -> None:
    """Directories and files; a failure is counted and seen by the caller."""
    local.tap.make_dir("d/e")
    local.tap.rename("0", "d/e/0", 0)
    local.tap.unlink("d/e/0", 0)
    local.tap.remove_dir("d/e")
    with pytest.raises(FileNotFoundError):
        local.tap.unlink("0", 0)
    assert local.recorded() == [
        (Kind.MKDIR, -1, 0, 0),
        (Kind.RENAME, 0, 0, 0),
        (Kind.UNLINK, 0, 0, 0),
        (Kind.RMDIR, -1, 0, 0),
        (Kind.UNLINK, 0, 0, errno.ENOENT),
    ]


def test_the_tap_is_chosen_by_where_the_store_is(tmp_path: Path, trace_dir: Path) -> None:
    """Os calls where they reach it, the store's client elsewhere; local paths get the root in front."""
    recorder = Recorder(str(trace_dir), rank=0, worker=0, span_budget=1000)
    local, remote = (tap_store(open_store(url), recorder) for url in (str(tmp_path), f"file://{tmp_path}"))
    assert (type(local), type(remote)) == (LocalTap, Tap)
    assert (local.root, remote.root) == (f"{tmp_path}/", "")
    assert LocalTap(LocalStore("/"), recorder).root == "/"


def test_codes_of_errors_have_names() -> None:
    """As they are shown in reports."""
    assert [error_name(code) for code in (0, errno.ENOENT, SHORT_READ, UNNAMED_ERROR)] == [
        "", "ENOENT", "short-read", "error",
    ]  # fmt: skip


def test_a_local_file_is_read_in_pieces_by_exact_reads(local: Bench) -> None:
    """Open, a read per piece, close; what does not fit the file is a short read, counted and raised."""
    with local.tap.open_file("2", 2) as opened:
        assert opened.read_at(10, 20) == CONTENT[2][10:30]
        buffer = bytearray(90)
        opened.read_into(memoryview(buffer), 10)
        assert buffer == CONTENT[2][10:]
        with pytest.raises(ShortReadError):
            opened.read_at(90, 20)
    assert local.recorded() == [
        (Kind.OPEN, 2, 0, 0),
        (Kind.READ, 2, 20, 0),
        (Kind.READ, 2, 90, 0),
        (Kind.READ, 2, 10, 0),
        (Kind.READ, 2, 0, SHORT_READ),
        (Kind.CLOSE, 2, 0, 0),
    ]
    assert local.tap.tapped_bytes == 120


@pytest.mark.parametrize("sequential", [True, False])
def test_the_kernel_is_told_of_sequential_reads_only_where_asked(
    local: Bench, monkeypatch: pytest.MonkeyPatch, sequential: bool
) -> None:
    """The hint is for the file that was opened, all of it; the reads stay what they are."""
    told, advise = list[tuple[int, ...]](), os.posix_fadvise

    def noting(*hint: int) -> None:
        told.append(hint)
        advise(*hint)

    monkeypatch.setattr(os, "posix_fadvise", noting)
    with local.tap.open_file("2", 2, sequential=sequential) as opened:
        descriptor = cast("LocalTapFile", opened).descriptor
        assert opened.read_at(10, 20) == CONTENT[2][10:30]
    assert told == ([(descriptor, 0, 0, os.POSIX_FADV_SEQUENTIAL)] if sequential else [])


def test_ranges_inside_pages_count_what_is_theirs_and_what_they_reach_into(tmp_path: Path, trace_dir: Path) -> None:
    """A page's length from within a page reaches into two; ranges that follow each other count a shared page once."""
    bench, page = Bench(str(tmp_path / "store"), trace_dir), PAGE_MASK + 1
    bench.store.write("large", bytes(16 * page))
    tap, counted = bench.tap, list[tuple[int, int]]()
    ranges = [(512, page), (8 * page + 100, 100), (2 * page, page), (3 * page, 10), (3 * page + 10, 10)]
    with tap.open_file("large", 4) as file:
        for offset, size_bytes in ranges:
            before = tap.tapped_page_bytes, tap.touched_page_bytes
            file.read_at(offset, size_bytes)
            counted.append(((tap.tapped_page_bytes - before[0]) // page, (tap.touched_page_bytes - before[1]) // page))
    assert counted == [(1, 2), (0, 1), (1, 1), (0, 1), (1, 0)]
    bench.read()
    assert tap.touched_page_bytes - tap.tapped_page_bytes == 2 * page


def test_a_remote_object_is_read_by_ranged_requests(remote: Bench) -> None:
    """A get per piece, and nothing that opens or closes."""
    with remote.tap.open_file("2", 2) as opened:
        assert opened.read_at(10, 20) == CONTENT[2][10:30]
        with pytest.raises(ShortReadError):
            opened.read_at(90, 20)
    assert remote.recorded() == [(Kind.GET, 2, 20, 0), (Kind.GET, 2, 10, SHORT_READ)]


def test_opening_an_absent_file_is_an_error_of_open(local: Bench) -> None:
    """Counted, and seen by the caller."""
    with pytest.raises(FileNotFoundError):
        local.tap.open_file("absent", 7)
    assert local.recorded() == [(Kind.OPEN, 7, 0, errno.ENOENT)]


def test_a_piece_of_an_absent_object_is_an_error_of_get(remote: Bench) -> None:
    """A remote object is not opened: the first request tells."""
    with pytest.raises(FileNotFoundError):
        remote.tap.open_file("absent", 7).read_at(0, 1)
    (row,) = remote.recorded()
    assert row[:3] == (Kind.GET, 7, 0)
    assert row[3] in (errno.ENOENT, UNNAMED_ERROR), "memory:// gives no errno"


def test_spans_say_where_reads_began_and_how_files_were_opened(local: Bench, no_descriptor_left: None) -> None:
    """Whole objects are read from their first byte; what says nothing of a place has none."""
    local.read()
    with local.tap.open_file("2", 2) as file:
        file.read_at(40, 5)
        file.read_into(memoryview(bytearray(7)), 90)
    local.tap.stat("3", 3)
    assert local.noted(2) == [
        ("open", None, False), ("read", 0, None), ("close", None, None),
        ("open", None, False), ("read", 40, None), ("read", 90, None), ("close", None, None),
    ]  # fmt: skip
    assert local.noted(3)[-1] == ("stat", None, None)


def test_requests_of_a_remote_object_say_where_they_began(remote: Bench) -> None:
    """A whole object begins at 0."""
    remote.read()
    with remote.tap.open_file("2", 2) as file:
        file.read_at(40, 5)
    assert remote.noted(2) == [("get", 0, None), ("get", 40, None)]
