"""What is read past the taps is told: a mapped or native reader of a watched loader gets no figures of single calls."""

from __future__ import annotations

from pathlib import Path

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from pyarrow import fs
from torch.utils.data import DataLoader

import ioprof
from ioprof.analysis.answer import verdict_alone
from ioprof.analysis.summary import Coverage, Summary
from ioprof.analysis.unseen import latency_unknown_reason, latent_coverage
from ioprof.api import load
from ioprof.trace.run_record import KernelIo, RunRecord
from tests.unit.trace_builder import run_record
from tests.watched_loaders import Numbers

MIB = 1 << 20


class FilesAndMore(Numbers):
    """Every sample reads a small file, and a part of something large in another way."""

    def __init__(self, folder: Path, count: int = 24) -> None:
        super().__init__(count)
        self.folder = folder
        for number in range(count):
            (folder / f"{number}.bin").write_bytes(bytes(1000))

    def __getitem__(self, index: int) -> torch.Tensor:
        with (self.folder / f"{index}.bin").open("rb", buffering=0) as file:
            size_bytes = len(file.read(4096))
        return torch.tensor(size_bytes + self.more(index))

    def more(self, index: int) -> int:
        """Read more, and return a number that depends on it."""
        return 0


class Mapped(FilesAndMore):
    """From an array that is mapped when it is first needed."""

    def more(self, index: int) -> int:
        """Sum up a row."""
        if not hasattr(self, "rows"):
            self.rows = np.load(self.folder / "rows.npy", mmap_mode="r")
        return int(self.rows[index].sum())


class MappedNatively(FilesAndMore):
    """From a file that pyarrow maps and unmaps for each sample."""

    def more(self, index: int) -> int:
        """Read a piece."""
        with pa.memory_map(str(self.folder / "rows.npy")) as file:
            return len(file.read_at(30_000, index * 30_000))


class Native(FilesAndMore):
    """By pyarrow, through its own file system."""

    def more(self, index: int) -> int:
        """Read a table."""
        return int(pq.read_table(self.folder / "rows.parquet", filesystem=fs.LocalFileSystem()).num_rows)


class NativeByFsspec(FilesAndMore):
    """By pyarrow, through a file system in Python."""

    def more(self, index: int) -> int:
        """Read a table."""
        files = fs.PyFileSystem(fs.FSSpecHandler(fsspec.filesystem("file")))
        return int(pq.read_table(str(self.folder / "rows.parquet"), filesystem=files).num_rows)


def _summary(dataset: FilesAndMore, folder: Path, workers: int) -> Summary:
    rows = np.random.default_rng(1).integers(0, 9, (dataset.count, 10_000), dtype=np.int64)
    np.save(folder / "rows.npy", rows)
    pq.write_table(pa.table({"x": rows.reshape(-1)}), folder / "rows.parquet")
    loader = DataLoader(dataset, batch_size=4, num_workers=workers)
    with ioprof.watch(loader, results=folder / "r", warmup=1) as watched:
        assert sum(len(batch) for batch in watched) == dataset.count
    return load(watched.directory, verdict_alone).summary


@pytest.mark.parametrize("workers", [0, 1])
def test_a_mapped_reader_has_no_coverage_and_no_latencies(workers: int, tmp_path: Path) -> None:
    """What the taps did see agrees with the kernel to the byte, and is not the half of it."""
    summary = _summary(Mapped(tmp_path), tmp_path, workers)
    assert summary.coverage.ratio is None
    assert "1 file of" in summary.reasons["coverage.ratio"]
    assert summary.cache.client_hit_ratio is None
    assert not any("page cache served" in caveat for caveat in summary.caveats)
    assert summary.operations["read"].count > 0
    assert summary.operations["read"].latency_ns is None
    told = summary.reasons["operations.read.latency_ns"]
    assert told.startswith("not available (native or mapped reads: 1 file of")
    assert "were fetched from the device or server" in told
    assert "major page faults" in told
    assert any(told.removeprefix("not available ") in caveat for caveat in summary.caveats)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_file_that_is_mapped_natively_for_a_moment_is_not_overlooked(workers: int, tmp_path: Path) -> None:
    """It is gone whenever the process is looked at."""
    summary = _summary(MappedNatively(tmp_path), tmp_path, workers)
    assert summary.coverage.ratio is None
    assert summary.operations["read"].latency_ns is None
    assert "24 files of" in summary.reasons["coverage.ratio"]


def test_a_native_reader_can_be_given_a_file_system_that_is_seen(tmp_path: Path) -> None:
    """Pyarrow then reads through Python's files, call by call."""
    summary = _summary(NativeByFsspec(tmp_path), tmp_path, 1)
    assert summary.coverage.ratio == pytest.approx(1.0, abs=0.02)
    assert summary.operations["read"].latency_ns is not None


def test_a_native_reader_has_a_coverage_and_no_latencies(tmp_path: Path) -> None:
    """The kernel counted its bytes; nobody saw its calls."""
    summary = _summary(Native(tmp_path), tmp_path, 1)
    assert summary.coverage.ratio is not None
    assert summary.coverage.ratio < 0.5
    assert {name: one.latency_ns for name, one in summary.operations.items()} == dict.fromkeys(summary.operations)
    assert "native or mapped reads: the taps saw" in summary.reasons["operations.read.latency_ns"]


def test_a_reader_that_the_taps_see_has_both(tmp_path: Path) -> None:
    """The control: nothing is mapped, nothing native."""
    summary = _summary(FilesAndMore(tmp_path), tmp_path, 1)
    assert summary.coverage.ratio == pytest.approx(1.0, abs=0.02)
    assert summary.operations["read"].latency_ns is not None


def _record(*, read_bytes: int, mapped_bytes: int) -> tuple[RunRecord, Coverage]:
    io = KernelIo(
        worker=0, tapped_bytes=read_bytes, rchar_bytes=read_bytes, read_bytes=5 * MIB,
        latent_files=3, latent_bytes=mapped_bytes, major_faults=7,
    )  # fmt: skip
    return run_record(kernel_io=[io]), Coverage(tapped_bytes=read_bytes, kernel_bytes=read_bytes, ratio=1.0)


@pytest.mark.parametrize(("mapped_bytes", "is_known"), [(0, True), (4 * MIB, True), (6 * MIB, False)])
def test_a_mapping_that_is_small_beside_what_was_read_takes_nothing_away(mapped_bytes: int, is_known: bool) -> None:
    """Up to a twentieth of the bytes may be missing, as everywhere."""
    run, seen = _record(read_bytes=100 * MIB, mapped_bytes=mapped_bytes)
    found, reason = latent_coverage(run, seen, None)
    unknown = latency_unknown_reason(run, found)
    assert (found.ratio is not None, reason is None, unknown is None) == (is_known,) * 3
    if unknown is not None:
        assert "5 MiB were fetched" in unknown
        assert "7 major page faults" in unknown
