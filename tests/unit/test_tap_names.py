"""Runs of operations on names: recorded together, and each with its own kind, object, duration and outcome."""

from __future__ import annotations

import errno
import os
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ioprof.store.local import LocalStore
from ioprof.store.local_tap import LocalTap
from ioprof.trace.kinds import Kind, Phase
from ioprof.trace.opsfile import SINGLES
from ioprof.trace.raw import raw_processes, raw_spans
from ioprof.trace.recorder import Recorder


class Bench:
    """A directory, its tap, and what was recorded."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "store"
        self.folder.mkdir()
        self.trace_dir = folder / "trace"
        self.trace_dir.mkdir()
        self.recorder = Recorder(str(self.trace_dir), rank=0, worker=0, span_budget=10**7)
        self.recorder.begin(int(Phase.STEADY), batch=0)
        self.tap = LocalTap(LocalStore(str(self.folder)), self.recorder)

    def file(self, name: str) -> str:
        """Return the path of a new file."""
        (self.folder / name).touch()
        return f"{self.folder}/{name}"

    def recorded(self) -> list[tuple[Kind, int, int]]:
        """Return kind, object and error in the order of start; one starts where the one before ended, or later."""
        self.recorder.end()
        rows = [row for chunk in raw_spans(raw_processes(self.trace_dir)[0]) for row in chunk.to_pylist()]
        rows.sort(key=lambda row: (row["start_ns"], row["start_ns"] + row["duration_ns"]))
        assert all(row["duration_ns"] >= 0 for row in rows)
        assert all(first["start_ns"] + first["duration_ns"] <= second["start_ns"] for first, second in pairwise(rows))
        return [(Kind(row["kind"]), row["object"], row["error"]) for row in rows]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """An empty directory."""
    return Bench(tmp_path)


@settings(max_examples=30)
@given(there=st.lists(st.booleans(), max_size=12))
def test_each_operation_is_recorded_with_its_own_outcome(
    tmp_path_factory: pytest.TempPathFactory, there: list[bool]
) -> None:
    """Whichever fail, first, last or one after the other: the rest goes on, and their places come back."""
    bench = Bench(tmp_path_factory.mktemp("names"))
    paths = [
        bench.file(str(place)) if is_there else f"{bench.folder}/no-{place}" for place, is_there in enumerate(there)
    ]
    objects = [100 + place for place in range(len(there))]
    missing = [place for place, is_there in enumerate(there) if not is_there]
    assert bench.tap.on_each(Kind.STAT, os.stat, paths, objects) == missing
    assert bench.tap.failed_samples == len(missing)
    expected = [(Kind.STAT, obj, 0 if is_there else errno.ENOENT) for obj, is_there in zip(objects, there, strict=True)]
    assert bench.recorded() == expected


@settings(max_examples=30)
@given(there=st.lists(st.booleans(), max_size=12))
@pytest.mark.usefixtures("no_descriptor_left")
def test_opening_is_followed_by_closing(tmp_path_factory: pytest.TempPathFactory, there: list[bool]) -> None:
    """What could not be opened is not closed, and the others are."""
    bench = Bench(tmp_path_factory.mktemp("names"))
    paths = [
        bench.file(str(place)) if is_there else f"{bench.folder}/no-{place}" for place, is_there in enumerate(there)
    ]
    failed = bench.tap.open_each(Kind.OPEN, os.O_RDONLY, paths, range(len(there)))
    assert failed == [place for place, is_there in enumerate(there) if not is_there]
    expected: list[tuple[Kind, int, int]] = []
    for obj, is_there in enumerate(there):
        expected += [(Kind.OPEN, obj, 0), (Kind.CLOSE, obj, 0)] if is_there else [(Kind.OPEN, obj, errno.ENOENT)]
    bench.recorder.close()
    assert bench.recorded() == expected


def test_a_close_that_fails_is_told_apart_from_the_open(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file was opened; closing it is what failed, and the next one is not touched by that."""
    paths, close, calls = [bench.file("a"), bench.file("b"), bench.file("c")], os.close, list[int]()

    def fail_second(descriptor: int) -> None:
        close(descriptor)
        calls.append(descriptor)
        if len(calls) == 2:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "close", fail_second)
    assert bench.tap.open_each(Kind.OPEN, os.O_RDONLY, paths, [0, 1, 2]) == [1]
    monkeypatch.undo()
    assert bench.recorded() == [
        (Kind.OPEN, 0, 0), (Kind.CLOSE, 0, 0), (Kind.OPEN, 1, 0), (Kind.CLOSE, 1, errno.EIO),
        (Kind.OPEN, 2, 0), (Kind.CLOSE, 2, 0),
    ]  # fmt: skip


def test_creating_never_opens_what_is_there(bench: Bench) -> None:
    """With the flags for it, an existing file is an error of kind create."""
    path = bench.file("old")
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY
    assert bench.tap.open_each(Kind.CREATE, flags, [path, f"{bench.folder}/new"], [-1, -1]) == [0]
    assert bench.recorded() == [(Kind.CREATE, -1, errno.EEXIST), (Kind.CREATE, -1, 0), (Kind.CLOSE, -1, 0)]


def test_more_operations_than_the_mapping_holds_are_all_kept(bench: Bench) -> None:
    """Three halves' worth in one batch."""
    path = bench.file("one")
    assert bench.tap.on_each(Kind.STAT, os.stat, [path] * (3 * SINGLES), range(3 * SINGLES)) == []
    assert bench.recorded() == [(Kind.STAT, obj, 0) for obj in range(3 * SINGLES)]


def test_the_time_of_a_large_batch_is_summed_whole(bench: Bench) -> None:
    """Also where its operations were moved on the way: storage and decoding apart."""
    for number in range(2 * SINGLES):
        bench.recorder.record(Kind.STAT, 10 * number, 10 * number + 3, 0, 0, 0)
        bench.recorder.record(Kind.DECODE, 10 * number + 3, 10 * number + 10, 0, 0, 0)
    bench.recorder.end()
    assert (bench.recorder.storage_ns, bench.recorder.prep_ns) == (3 * 2 * SINGLES, 7 * 2 * SINGLES)
