"""The ingest stage, driven by hand: every sample ends in one shard, normalised, whatever ends the run."""

from __future__ import annotations

import errno
import os
import pickle
import tarfile
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ioprof.workloads.etl import Etl, EtlParams, Ingest, Normalise
from ioprof.workloads.shard_writer import ShardWriter, end_shard, member_bytes
from pydantic import ValidationError

from ioprof.contract import EpochStart
from ioprof.errors import StoreError, StoreFullError
from ioprof.store.local_tap import tap_store
from ioprof.store.open_store import open_store
from ioprof.trace.kinds import Kind, Phase
from ioprof.trace.raw import raw_operations, raw_processes
from ioprof.trace.recorder import Recorder
from tests.open_descriptors import open_below
from tests.small_dataset import KnownSizes

SCRATCH = ".ioprof/scratch/run-1-00000000"
FILES = 40


class Line:
    """An ingest over a small dataset, with one worker."""

    def __init__(self, url: str, folder: Path, **params: object) -> None:
        values = {"files": FILES, "file_size": "uniform:1-9KiB", "files_per_dir": 7, "shard_size": "32KiB", **params}
        self.workload = Etl(EtlParams.model_validate(values), 3)
        self.store = open_store(url)
        layout = self.workload.layout()
        self.sizes = [int(size) for size in layout.sizes(0, layout.count)]
        for directory in layout.directories():
            self.store.make_dir(directory)
        for obj in range(layout.count):
            self.store.write(layout.path(obj), bytes(layout.render(obj, self.sizes[obj])))
        self.store.make_dir(SCRATCH)
        self.trace_dir = folder / "trace"
        self.trace_dir.mkdir()
        self.recorder = Recorder(str(self.trace_dir), rank=0, worker=0, span_budget=10**6)
        self.tap = tap_store(self.store, self.recorder)
        reader = self.workload.reader(KnownSizes(self.sizes))
        self.reader = cast("Ingest", pickle.loads(pickle.dumps(reader)))  # noqa: S301 - our own bytes

    def epoch(self, epoch: int, samples: int = FILES) -> int:
        """Take files in, in batches of eight; return how many samples came back."""
        self.recorder.begin(int(Phase.EPOCH_START), epoch=epoch, batch=0)
        self.reader.begin_epoch(self.tap, EpochStart(epoch=epoch, rank=0, worker=0, scratch=SCRATCH))
        self.recorder.begin(int(Phase.STEADY), epoch=epoch, batch=0)
        order = self.workload.order(epoch).tolist()[:samples]
        delivered = sum(len(self.reader.read(self.tap, order[start : start + 8])) for start in range(0, samples, 8))
        self.recorder.end()
        return delivered

    def shards(self) -> list[Path]:
        """Return the worker's files in order."""
        return sorted((Path(str(self.store.local_root)) / SCRATCH / "worker-0-0").iterdir())

    def taken_in(self) -> dict[str, bytes]:
        """Return the members of all whole shards."""
        members = {}
        for shard in self.shards():
            with tarfile.open(shard) as archive:
                for member in archive:
                    file = archive.extractfile(member)
                    assert file is not None
                    assert member.name not in members
                    members[member.name] = file.read()
        return members

    def expected(self, samples: int = FILES) -> dict[str, bytes]:
        """Return what the members should be."""
        layout, normalise = self.workload.layout(), Normalise(None)
        return {f"{obj:09d}.bin": normalise(bytes(layout.render(obj, self.sizes[obj]))) for obj in range(samples)}

    def counts(self) -> dict[str, dict[str, int]]:
        """Return the counters of steady operations by kind."""
        rows = raw_operations(raw_processes(self.trace_dir)[0]).to_pylist()
        return {Kind(row["kind"]).label: row for row in rows if row["phase"] == Phase.STEADY}


def test_every_sample_ends_in_one_shard(tmp_path: Path) -> None:
    """Shards are as large as asked for, none is a part, and the last ones are finished where the output is kept."""
    line = Line(str(tmp_path / "store"), tmp_path, keep_output=True)
    assert line.epoch(0) == FILES
    *whole, last = line.shards()
    assert all(32 * 1024 <= shard.stat().st_size < 32 * 1024 + member_bytes(9 * 1024) + 1024 for shard in whole)
    assert last.name.endswith(".part")
    kept = line.workload.finish(line.store, SCRATCH)
    assert kept is not None
    assert f"{len(whole) + 1} shards" in kept
    assert all(shard.suffix == ".tar" for shard in line.shards())
    assert line.taken_in() == line.expected()


def test_an_epochs_output_takes_the_last_ones_place(tmp_path: Path) -> None:
    """The second epoch starts by finishing and removing; what it does there is counted apart."""
    line = Line(str(tmp_path / "store"), tmp_path, keep_output=True)
    line.epoch(0)
    line.epoch(1, samples=16)
    line.workload.finish(line.store, SCRATCH)
    assert line.taken_in() == line.expected(16)


def test_a_worker_that_starts_anew_removes_what_its_forerunner_left(tmp_path: Path) -> None:
    """Loaders may start processes for each epoch: the directory, not memory, says what there is."""
    line = Line(str(tmp_path / "store"), tmp_path, keep_output=True)
    line.epoch(0)
    line.reader = cast("Ingest", line.workload.reader(KnownSizes(line.sizes)))
    line.epoch(1, samples=8)
    line.workload.finish(line.store, SCRATCH)
    assert line.taken_in() == line.expected(8)


def test_reads_and_writes_are_counted_by_kind(tmp_path: Path) -> None:
    """All bytes read, all bytes of the archives written; every whole shard synced, with its directory, and renamed."""
    line = Line(str(tmp_path / "store"), tmp_path)
    line.epoch(0)
    counts, shards = line.counts(), len(line.shards())
    assert counts["read"]["bytes"] == sum(line.sizes)
    written = sum(member_bytes(size) for size in line.sizes) + 1024 * (shards - 1)
    assert counts["write"]["bytes"] == written == sum(path.stat().st_size for path in line.shards())
    assert (counts["create"]["count"], counts["rename"]["count"]) == (shards, shards - 1)
    assert counts["fsync"]["count"] == 2 * (shards - 1)
    assert counts["decode"]["count"] == FILES


def test_without_fsync_nothing_is_synced_and_the_reader_is_told(tmp_path: Path) -> None:
    """The caveat says where the bytes may have been."""
    line = Line(str(tmp_path / "store"), tmp_path, fsync=False)
    line.epoch(0)
    assert "fsync" not in line.counts()
    (caveat,) = line.workload.check_scratch(line.store, SCRATCH)
    assert "this host's memory" in caveat


def test_a_file_that_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    """The error is counted, and the others are taken in."""
    line = Line(str(tmp_path / "store"), tmp_path, keep_output=True)
    (tmp_path / "store" / line.workload.layout().path(3)).unlink()
    assert line.epoch(0) == FILES - 1
    assert line.tap.failed_samples == 1
    line.workload.finish(line.store, SCRATCH)
    assert set(line.expected()) - set(line.taken_in()) == {"000000003.bin"}


@pytest.mark.parametrize(("code", "error"), [(errno.ENOSPC, StoreFullError), (errno.EIO, StoreError)])
def test_a_store_that_refuses_a_write_ends_the_run_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, error: type[StoreError]
) -> None:
    """It names the place and the reason; nothing stays open."""
    line = Line(str(tmp_path / "store"), tmp_path)

    def refuse(descriptor: int, parts: list[memoryview]) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "writev", refuse)
    with pytest.raises(error, match=f"worker-0-0: .*{os.strerror(code)}") as caught:
        line.epoch(0)
    assert "\n" not in str(caught.value)
    assert not open_below(tmp_path / "store")


def test_remote_stores_get_whole_shards(tmp_path: Path) -> None:
    """Each is one put; what was not whole is not there."""
    line = Line(f"file://{tmp_path}/store", tmp_path, keep_output=True)
    assert line.epoch(0) == FILES
    counts = line.counts()
    shards = list((tmp_path / "store" / SCRATCH / "worker-0-0").iterdir())
    assert counts["put"]["count"] == len(shards) > 1
    assert all(shard.suffix == ".tar" for shard in shards)
    kept = line.workload.finish(line.store, SCRATCH)
    assert kept is not None
    assert f"{len(shards)} shards" in kept


@given(cut_bytes=st.integers(0, 5000))
def test_a_shard_cut_anywhere_is_ended_after_its_last_whole_member(
    tmp_path_factory: pytest.TempPathFactory, cut_bytes: int
) -> None:
    """As a killed worker leaves it: the archive opens, and its members are whole."""
    folder = tmp_path_factory.mktemp("cut")
    store = open_store(str(folder))
    recorder = Recorder(str(folder), rank=0, worker=0, span_budget=10**4)
    writer = ShardWriter(tap_store(store, recorder), "out", 10**9, sync=False)
    contents = {f"{number}.bin": bytes([number]) * (100 + 400 * number) for number in range(4)}
    for name, content in contents.items():
        writer.add(name, content)
    writer.flush()
    path = folder / "out" / "shard-000000.tar.part"
    os.truncate(path, max(0, path.stat().st_size - cut_bytes))
    end_shard(store, "out/shard-000000.tar.part")
    with tarfile.open(folder / "out" / "shard-000000.tar") as archive:
        found = {member.name: archive.extractfile(member).read() for member in archive}  # type: ignore[union-attr]
    assert found.items() <= contents.items()
    kept_bytes = sum(member_bytes(len(content)) for content in contents.values()) - cut_bytes
    whole = [name for number, name in enumerate(contents) if sum(
        member_bytes(len(content)) for content in list(contents.values())[: number + 1]) <= kept_bytes]  # fmt: skip
    assert list(found) == whole
    recorder.close()


@given(content=st.binary(min_size=1, max_size=3000))
def test_normalising_centres_the_bytes(content: bytes) -> None:
    """The order of values stays; where nothing is clipped, the mean is in the middle."""
    found = np.frombuffer(Normalise(None)(content), dtype=np.uint8).astype(int)
    before = np.frombuffer(content, dtype=np.uint8).astype(int)
    assert len(found) == len(before)
    shift = 128 - round(before.mean())
    assert np.array_equal(found, np.clip(before + shift, 0, 255))


def test_the_room_of_an_epochs_output_is_asked_for(tmp_path: Path) -> None:
    """At least what the shards take."""
    line = Line(str(tmp_path / "store"), tmp_path)
    need = line.workload.scratch_need()
    line.epoch(0)
    assert sum(path.stat().st_size for path in line.shards()) <= need.size_bytes <= 2 * sum(line.sizes)
    assert len(line.shards()) <= need.names


def test_parameters_that_make_no_sense_are_refused() -> None:
    """No files, shards smaller than a sample's header."""
    for values in ({"files": 0}, {"shard_size": "1KiB"}, {"file_size": "much"}, {"keep": True}):
        with pytest.raises(ValidationError):
            EtlParams.model_validate(values)
