"""Ways to read files, and what a capture saw of them; run as a program, all of them one after the other.

Run: python -m tests.unit.capture_ways FOLDER: it holds a folder for each way, as `make_files` makes it.
"""

from __future__ import annotations

import csv
import gzip
import json
import os
import shutil
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
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


def make_files(folder: Path) -> Path:
    """Make a folder of files, and of the same in the formats that Python reads by itself."""
    folder.mkdir(parents=True)
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


def from_npy(folder: Path) -> None:
    """An array that numpy reads through a FILE of C's."""
    assert int(np.load(folder / "all.npy")[-1]) == 99_999


def natively(folder: Path) -> None:
    """A library's own reads."""
    assert pq.read_table(folder / "all.parquet", filesystem=fs.LocalFileSystem()).num_rows == 50_000


def by_mapping(folder: Path) -> None:
    """A mapped array."""
    assert int(np.load(folder / "all.npy", mmap_mode="r").sum()) == 100_000 * 99_999 // 2


def main(top: Path) -> None:
    """Read in every way, each from a folder of its own, and print what the taps counted of it as JSON."""
    told: dict[str, list[object]] = {}
    for way in (*PYTHON_READS, from_npy, natively, by_mapping):
        with capturing(top / f"trace-{way.__name__}") as (_, seen):
            way(top / way.__name__)
        counts = [seen[0].counts(kind) for kind in (Kind.OPEN, Kind.READ, Kind.CLOSE)]
        told[way.__name__] = [counts[0][0], *counts[1][:2], counts[2][0], seen[0].io.rchar_bytes]
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
