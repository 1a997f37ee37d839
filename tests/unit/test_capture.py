"""What a process reads by itself, as the taps and the kernel count it; real files, real reads, this process."""

from __future__ import annotations

import csv
import gzip
import io
import mmap
import os
import pickle
import shutil
import sys
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import Pipe
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from pyarrow import fs, table

from ioprof.capture import Capture, start
from ioprof.clock import now_ns
from ioprof.trace.kinds import Kind, Phase
from ioprof.trace.opsfile import KINDS
from ioprof.trace.raw import RawProcess, kernel_io, raw_processes
from ioprof.trace.recorder import Recorder
from ioprof.trace.run_record import KernelIo

FILES, SIZE_BYTES = 40, 5000


@dataclass(frozen=True)
class Seen:
    """What a capture left behind."""

    process: RawProcess

    @property
    def io(self) -> KernelIo:
        """The two counts of bytes."""
        (found,) = kernel_io([self.process]) or []
        return found

    @property
    def ratio(self) -> float:
        """Tapped bytes over the kernel's."""
        return self.io.tapped_bytes / self.io.rchar_bytes

    def counts(self, kind: Kind) -> tuple[int, int, int]:
        """Count, bytes and errors of a kind in the steady phase."""
        row = self.process.counts()[int(Phase.STEADY) * len(KINDS) + KINDS.index(kind)]
        return int(row[0]), int(row[1]), int(row[2])


@contextmanager
def capturing(folder: Path, *, with_children: bool = False) -> Iterator[tuple[Capture, list[Seen]]]:
    """Capture what is done within, as one batch; the list is filled at the end."""
    folder.mkdir()
    recorder, seen = Recorder(str(folder), rank=0, worker=0, span_budget=10**6), list[Seen]()
    recorder.begin(Phase.STEADY, epoch=0, batch=0, start_ns=now_ns())
    capture = start(recorder, with_children=with_children)
    try:
        yield capture, seen
    finally:
        capture.close()
        recorder.end_batch(1)
        recorder.close()
        (process,), _ = raw_processes(folder)
        seen.append(Seen(process))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder of files, and the same in the formats that Python reads by itself."""
    folder = tmp_path / "data"
    folder.mkdir()
    paths = [folder / f"{number:03}.bin" for number in range(FILES)]
    for number, path in enumerate(paths):
        path.write_bytes(bytes([number]) * SIZE_BYTES)
    with tarfile.open(folder / "all.tar", "w") as tar, zipfile.ZipFile(folder / "all.zip", "w") as archive:
        for path in paths:
            tar.add(path)
            archive.write(path)
    with gzip.open(folder / "all.gz", "wb") as packed:
        packed.write(os.urandom(300_000))
    (folder / "all.csv").write_text("1,2,3\n" * 20_000)
    np.save(folder / "all.npy", np.arange(100_000))
    np.savez(folder / "all.npz", one=np.arange(100_000))
    pq.write_table(table({"x": np.random.default_rng(1).random(50_000)}), folder / "all.parquet")
    return folder


def _binaries(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.bin"))


def by_descriptor(folder: Path) -> None:
    """os.open, os.read, os.close."""
    for path in _binaries(folder):
        fd = os.open(path, os.O_RDONLY)
        assert len(os.read(fd, 1 << 16)) == SIZE_BYTES
        os.close(fd)


def by_offset(folder: Path) -> None:
    """os.pread and os.preadv."""
    for path in _binaries(folder):
        fd = os.open(path, os.O_RDONLY)
        assert len(os.pread(fd, 1000, 500)) == os.preadv(fd, [bytearray(600), bytearray(400)], 2000) == 1000
        os.close(fd)


def by_open(folder: Path) -> None:
    """open().read()."""
    for path in _binaries(folder):
        with open(path, "rb") as file:
            assert len(file.read()) == SIZE_BYTES


def unbuffered(folder: Path) -> None:
    """A readinto of a raw file."""
    for path in _binaries(folder):
        with open(path, "rb", buffering=0) as file:
            assert file.readinto(bytearray(SIZE_BYTES)) == SIZE_BYTES


def by_path(folder: Path) -> None:
    """pathlib, bytes and text."""
    for path in _binaries(folder):
        assert len(path.read_bytes()) == len(path.read_text("latin-1")) == SIZE_BYTES


def from_tar(folder: Path) -> None:
    """tarfile, which fetched ``open`` when it was imported."""
    with tarfile.open(folder / "all.tar") as tar:
        for member in tar:
            content = tar.extractfile(member)
            assert content is not None
            assert len(content.read()) == SIZE_BYTES


def from_zip(folder: Path) -> None:
    """From a zip file."""
    with zipfile.ZipFile(folder / "all.zip") as archive:
        for name in archive.namelist():
            assert len(archive.read(name)) == SIZE_BYTES


def from_gzip(folder: Path) -> None:
    """From a gzip file."""
    with gzip.open(folder / "all.gz") as packed:
        assert len(packed.read()) == 300_000


def from_csv(folder: Path) -> None:
    """A csv reader over a text file."""
    with (folder / "all.csv").open(newline="") as file:
        assert len(list(csv.reader(file))) == 20_000


def from_npz(folder: Path) -> None:
    """numpy, out of a zip file."""
    assert len(np.load(folder / "all.npz")["one"]) == 100_000


def by_copy(folder: Path) -> None:
    """The shell utilities' fast copies."""
    shutil.copyfile(folder / "all.gz", folder / "copy.gz")


PYTHON_READS = [
    by_descriptor, by_offset, by_open, unbuffered, by_path, from_tar, from_zip, from_gzip, from_csv, from_npz, by_copy,
]  # fmt: skip


@pytest.mark.parametrize("read", PYTHON_READS)
def test_what_python_reads_the_taps_see_to_the_byte(read: Callable[[Path], None], data: Path, tmp_path: Path) -> None:
    """Readers in Python, buffered or not, old references included: both counts are the same."""
    with capturing(tmp_path / "trace") as (_, seen):
        read(data)
    assert seen[0].io.tapped_bytes == seen[0].io.rchar_bytes > 0
    assert seen[0].counts(Kind.READ)[1] == seen[0].io.tapped_bytes


def test_operations_are_counted_one_by_one(data: Path, tmp_path: Path) -> None:
    """Opens, reads and closes of each way to read, the reads that find the end of a file among them."""
    with capturing(tmp_path / "trace") as (_, seen):
        by_descriptor(data)
        by_open(data)
        by_path(data)
    assert seen[0].counts(Kind.OPEN) == seen[0].counts(Kind.CLOSE) == (4 * FILES, 0, 0)
    # One for os.read; whole files are read once more, to see that there is no more of them. Text as well.
    assert seen[0].counts(Kind.READ) == (FILES + 3 * FILES, 4 * FILES * SIZE_BYTES, 0)


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
        assert pq.read_table(data / "all.parquet", filesystem=fs.LocalFileSystem()).num_rows == 50_000
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
    assert seen[0].io.tapped_bytes == seen[0].io.rchar_bytes == FILES * SIZE_BYTES
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
    assert seen[0].io.tapped_bytes == seen[0].io.rchar_bytes == 4 * rounds * FILES * SIZE_BYTES


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
