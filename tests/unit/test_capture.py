"""What a process reads by itself, as the taps and the kernel count it; real files, real reads, this process."""

from __future__ import annotations

import io
import mmap
import os
import pickle
import sys
import tarfile
import threading
from collections.abc import Callable
from multiprocessing import Pipe
from pathlib import Path

import numpy as np
import pytest

from ioprof.capture import start
from ioprof.trace.kinds import Kind, Phase
from ioprof.trace.opsfile import KINDS
from ioprof.trace.raw import raw_processes
from ioprof.trace.recorder import Recorder
from ioprof.trace.run_record import KernelIo
from tests.unit.capture_ways import (
    FILES,
    PYTHON_READS,
    SIZE_BYTES,
    by_descriptor,
    by_open,
    by_path,
    capturing,
    make_files,
    natively,
)

OF_THE_TEST_RUNNER = range(300)
"""Bytes that the kernel may count besides: where tests run side by side, a thread of the runner reads its messages."""


def untapped_bytes(counted: KernelIo) -> int:
    """Return what the kernel counted and the taps did not."""
    return counted.rchar_bytes - counted.tapped_bytes


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder of files."""
    return make_files(tmp_path / "data")


@pytest.mark.parametrize("read", PYTHON_READS)
def test_what_python_reads_the_taps_see_to_the_byte(read: Callable[[Path], None], data: Path, tmp_path: Path) -> None:
    """Readers in Python, buffered or not, old references included: both counts are the same."""
    with capturing(tmp_path / "trace") as (_, seen):
        read(data)
    assert seen[0].io.tapped_bytes > 0
    assert untapped_bytes(seen[0].io) in OF_THE_TEST_RUNNER
    assert seen[0].counts(Kind.READ)[1] == seen[0].io.tapped_bytes


def test_operations_are_counted_one_by_one(data: Path, tmp_path: Path) -> None:
    """Opens, reads and closes of each way to read."""
    with capturing(tmp_path / "trace") as (_, seen):
        by_descriptor(data)
        by_open(data)
        by_path(data)
    assert seen[0].counts(Kind.OPEN) == seen[0].counts(Kind.CLOSE) == (4 * FILES, 0, 0)
    # A file that is read whole is one read: that it is asked for more, and has no more, is part of it.
    assert seen[0].counts(Kind.READ) == (4 * FILES, 4 * FILES * SIZE_BYTES, 0)


def test_names_are_operations_too(data: Path, tmp_path: Path) -> None:
    """stat, lstat, listdir, a walk; a name that is not there is an error."""
    with capturing(tmp_path / "trace") as (_, seen):
        assert os.path.getsize(data / "000.bin") == SIZE_BYTES
        assert not (data / "nothing").exists()
        assert not data.is_symlink()
        assert len(os.listdir(data)) == len(next(os.walk(data))[2])
        with os.scandir(data) as entries:
            assert next(entries).name
    assert seen[0].counts(Kind.STAT) == (3, 0, 1)
    assert seen[0].counts(Kind.LIST) == (3, 0, 0)


def test_what_is_read_by_others_than_python_lowers_the_coverage(data: Path, tmp_path: Path) -> None:
    """Reads of pyarrow are native: the kernel counts it and the taps do not."""
    with capturing(tmp_path / "trace") as (_, seen):
        natively(data)
    assert seen[0].io.rchar_bytes > 300_000
    assert seen[0].ratio < 0.05


def test_mappings_are_counted_and_what_is_read_through_them_is_not(data: Path, tmp_path: Path) -> None:
    """A mapped file shows as an operation of kind map; neither count has its bytes."""
    with capturing(tmp_path / "trace") as (capture, seen):
        array = np.load(data / "all.npy", mmap_mode="r")
        with open(data / "all.npy", "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            assert isinstance(mapped, mmap.mmap)
            assert repr(mapped).startswith("<mmap.mmap closed=False")
            assert int(array.sum()) == 100_000 * 99_999 // 2
        assert capture.mapped_files == (2, 2 * (data / "all.npy").stat().st_size)
    assert seen[0].counts(Kind.MAP) == (2, 0, 0)
    assert seen[0].io.rchar_bytes < 10_000


def test_what_holds_no_data_is_in_neither_count(data: Path, tmp_path: Path) -> None:
    """/proc, pipes between processes, and modules that are imported: read, but no data."""
    (tmp_path / "some_fresh_module.py").write_text("VALUE = 7\n" * 1000)
    receiver, sender = Pipe(duplex=False)
    sender.send_bytes(b"x" * 3000)
    sys.path.insert(0, str(tmp_path))
    try:
        with capturing(tmp_path / "trace") as (capture, seen):
            assert "VmRSS" in Path("/proc/self/status").read_text()
            assert receiver.recv_bytes() == b"x" * 3000
            __import__("some_fresh_module")
            assert capture.excluded_bytes > 14_000
            by_open(data)
    finally:
        sys.path.remove(str(tmp_path))
        receiver.close()
        sender.close()
    assert seen[0].io.tapped_bytes == FILES * SIZE_BYTES
    assert untapped_bytes(seen[0].io) in OF_THE_TEST_RUNNER
    assert seen[0].counts(Kind.OPEN)[0] == FILES


def test_threads_read_at_the_same_time_and_nothing_is_lost(data: Path, tmp_path: Path) -> None:
    """More operations than the taps' own memory holds, from four threads: each is counted once."""
    rounds = 10

    def read() -> None:
        for _ in range(rounds):
            by_open(data)

    with capturing(tmp_path / "trace") as (_, seen):
        threads = [threading.Thread(target=read) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert seen[0].counts(Kind.OPEN)[0] == seen[0].counts(Kind.CLOSE)[0] == 4 * rounds * FILES
    assert seen[0].io.tapped_bytes == 4 * rounds * FILES * SIZE_BYTES
    assert untapped_bytes(seen[0].io) in OF_THE_TEST_RUNNER


@pytest.mark.parametrize("with_children", [True, False])
def test_a_forked_child_counts_for_its_parent_where_that_is_asked(
    with_children: bool, data: Path, tmp_path: Path
) -> None:
    """Bytes of a child, and of its child, on both sides of the ratio; its operations are its own."""
    with capturing(tmp_path / "trace", with_children=with_children) as (_, seen):
        child = os.fork()
        if not child:
            grandchild = os.fork()
            by_open(data)
            if grandchild:
                os.waitpid(grandchild, 0)
            os._exit(0)
        os.waitpid(child, 0)
        by_descriptor(data)
    own = FILES * SIZE_BYTES
    assert seen[0].io.tapped_bytes == (3 * own if with_children else own)
    assert seen[0].counts(Kind.READ) == (FILES, own, 0)
    if with_children:
        assert seen[0].ratio == 1


def test_a_capture_within_a_capture_counts_alone(data: Path, tmp_path: Path) -> None:
    """The outer one rests meanwhile, and goes on."""
    inner = Recorder(str(tmp_path), rank=0, worker=1, span_budget=100)
    with capturing(tmp_path / "outer") as (_, outer):
        by_open(data)
        within = start(inner)
        by_descriptor(data)
        within.hand_over()
        inner.end_batch(1)
        within.close()
        by_open(data)
    inner.close()
    (process,), _ = raw_processes(tmp_path)
    counts = process.counts()[:, 0].reshape(len(Phase), len(KINDS)).sum(axis=0)
    assert [counts[KINDS.index(kind)] for kind in (Kind.OPEN, Kind.READ, Kind.CLOSE)] == [FILES] * 3
    assert outer[0].counts(Kind.OPEN)[0] == 2 * FILES


def test_taps_leave_no_trace_when_they_are_taken_away(data: Path, tmp_path: Path) -> None:
    """Every name is bound to what it was; what was fetched meanwhile works on."""
    before = [open, io.open, os.open, os.stat, os.scandir, mmap.mmap, vars(io.FileIO)["readinto"], tarfile.bltn_open]
    with capturing(tmp_path / "trace"):
        fetched, mapping = open, mmap.mmap
        assert fetched is io.open is not before[0]
        assert os.stat in os.supports_follow_symlinks
        assert all(name in pickle.dumps((open, os.stat, mmap.mmap)) for name in (b"open", b"stat", b"mmap"))
    after = [open, io.open, os.open, os.stat, os.scandir, mmap.mmap, vars(io.FileIO)["readinto"], tarfile.bltn_open]
    assert all(one is other for one, other in zip(before, after, strict=True))
    assert os.stat in os.supports_follow_symlinks
    with fetched(data / "000.bin", "rb") as file, mapping(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        assert isinstance(mapped, mmap.mmap)
        assert mapped[:1] == file.read(1) == b"\0"
