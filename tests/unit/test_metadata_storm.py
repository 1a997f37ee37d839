"""The storm, driven by hand: it does the mix, leaves the prepared files alone, and removes what it makes."""

from __future__ import annotations

import errno
import os
import pickle
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from ioprof.workloads.metadata_storm import DEFAULT_MIX, MetadataStorm, MetadataStormParams, NameReader
from ioprof.workloads.name_area import NameArea
from ioprof.workloads.operation_mix import parse_mix
from pydantic import ValidationError

from ioprof.contract import EpochStart
from ioprof.dataset.prepare import Prepared
from ioprof.dataset.scratch import Scratch
from ioprof.errors import SpecError, StoreError, StoreFullError
from ioprof.runner import run_scratch
from ioprof.runner.plan import plan_run
from ioprof.spec.flags import raw_spec
from ioprof.spec.resolve import resolve
from ioprof.store.base import Store
from ioprof.store.local import LocalStore
from ioprof.store.local_tap import tap_store
from ioprof.store.open_store import open_store
from ioprof.trace.kinds import Kind, Phase
from ioprof.trace.raw import raw_operations, raw_processes
from ioprof.trace.recorder import Recorder
from tests.small_dataset import KnownSizes

SCRATCH = ".ioprof/scratch/run-1-00000000"
KIND_OF = {
    "stat": "stat", "open": "open", "list": "list", "create": "create", "rename": "rename", "unlink": "unlink",
    "mkdir": "mkdir", "rmdir": "rmdir", "getxattr": "getxattr", "setxattr": "setxattr",
}  # fmt: skip


class Storm:
    """A storm over a small dataset, with one worker."""

    def __init__(self, url: str, folder: Path, *, worker: int = 0, **params: object) -> None:
        values = {"files": 60, "files_per_dir": 7, "operations": 1000, "scan_at_epoch_start": False, **params}
        self.workload = MetadataStorm(MetadataStormParams.model_validate(values), 3)
        self.store = open_store(url)
        layout = self.workload.layout()
        for directory in layout.directories():
            self.store.make_dir(directory)
        for obj in range(layout.count):
            self.store.write(layout.path(obj), b"1")
        self.store.make_dir(SCRATCH)
        self.caveats = self.workload.check_scratch(self.store, SCRATCH)
        self.trace_dir = folder / f"trace-{worker}"
        self.trace_dir.mkdir()
        self.recorder = Recorder(str(self.trace_dir), rank=0, worker=worker, span_budget=10**6)
        self.tap = tap_store(self.store, self.recorder)
        reader = self.workload.reader(KnownSizes([1] * layout.count))
        self.reader = cast("NameReader", pickle.loads(pickle.dumps(reader)))  # noqa: S301 - our own bytes
        self.worker = worker
        self.delivered = 0

    def epoch(self, epoch: int, batch: int = 100) -> None:
        """Do an epoch as a loader's worker does."""
        self.recorder.begin(int(Phase.EPOCH_START), epoch=epoch, batch=0)
        self.reader.begin_epoch(self.tap, EpochStart(epoch=epoch, rank=0, worker=self.worker, scratch=SCRATCH))
        self.recorder.end()
        order = self.workload.order(epoch).tolist()
        for start in range(0, len(order), batch):
            self.recorder.begin(int(Phase.STEADY), epoch=epoch, batch=start)
            self.delivered += len(self.reader.read(self.tap, order[start : start + batch]))
            self.recorder.end()

    def counts(self, phase: Phase) -> dict[str, int]:
        """Return operations by kind."""
        rows = raw_operations(raw_processes(self.trace_dir)[0]).to_pylist()
        found = Counter[str]()
        for row in rows:
            if row["phase"] == phase:
                found[Kind(row["kind"]).label] += row["count"]
        return dict(found)

    def scratch_names(self) -> list[str]:
        """Return what stands in the scratch directory now, two levels deep."""
        root = Path(str(self.store.local_root)) / SCRATCH
        return [name for _, directories, files in os.walk(root) for name in (*directories, *files)]


def test_an_epoch_does_exactly_its_mix(tmp_path: Path) -> None:
    """Every kind in its share; opening and creating bring a close each; nothing fails."""
    storm = Storm(str(tmp_path / "store"), tmp_path)
    storm.epoch(0)
    mix = parse_mix(DEFAULT_MIX)
    expected = dict(zip((KIND_OF[name] for name in mix.names), mix.counts(1000), strict=True))
    expected["close"] = expected["open"] + expected["create"]
    assert storm.counts(Phase.STEADY) == expected
    assert (storm.delivered, storm.tap.failed_samples) == (1000, 0)


def test_what_is_made_is_removed_and_prepared_files_stay(tmp_path: Path) -> None:
    """After many epochs an area is as large as after the first, and no prepared name or byte has changed."""
    storm = Storm(str(tmp_path / "store"), tmp_path)
    storm.epoch(0)
    after_first = len(storm.scratch_names())
    for epoch in range(1, 8):
        storm.epoch(epoch)
    assert len(storm.scratch_names()) == after_first
    layout, root = storm.workload.layout(), Path(str(storm.store.local_root))
    assert {str(path.relative_to(root)) for path in root.glob("[0-9]*/**/*") if path.is_file()} == {
        layout.path(obj) for obj in range(layout.count)
    }
    assert all((root / layout.path(obj)).read_bytes() == b"1" for obj in range(layout.count))


@pytest.mark.parametrize("mix", ["rename:1", "setxattr:1", "create:1,unlink:1", "mkdir:1,rmdir:1"])
def test_a_mix_of_one_kind_finds_something_to_work_on(tmp_path: Path, mix: str) -> None:
    """An area begins with files and directories; none of it fails, batches larger than that included."""
    storm = Storm(str(tmp_path / "store"), tmp_path, mix=mix)
    storm.epoch(0, batch=1000)
    assert storm.tap.failed_samples == 0
    assert sum(count for kind, count in storm.counts(Phase.STEADY).items() if kind != "close") == 1000


def test_workers_share_a_directory_without_meeting(tmp_path: Path) -> None:
    """Two workers create in one place; nobody finds a name taken or gone."""
    storms = [Storm(str(tmp_path / "store"), tmp_path, worker=worker, shared_directory=True) for worker in (0, 1)]
    for epoch in range(2):
        for storm in storms:
            storm.epoch(epoch)
    assert [storm.tap.failed_samples for storm in storms] == [0, 0]
    assert [path.name for path in (tmp_path / "store" / SCRATCH).iterdir()] == ["shared"]


def test_the_walk_at_an_epochs_start_lists_every_directory_once(tmp_path: Path) -> None:
    """Apart from the batches' own operations, every epoch, hidden directories left out."""
    storm = Storm(str(tmp_path / "store"), tmp_path, scan_at_epoch_start=True, mix="stat:1")
    storm.epoch(0)
    storm.epoch(1)
    directories = sum(1 for _ in storm.workload.layout().directories())
    assert storm.counts(Phase.EPOCH_START) == {"list": 2 * (1 + directories)}
    assert storm.counts(Phase.STEADY) == {"stat": 2000}


def test_a_scan_lists_one_subtree(tmp_path: Path) -> None:
    """27 files, 3 in a directory: 9 directories in 3 tops; a scan lists a top and the three in it."""
    storm = Storm(str(tmp_path / "store"), tmp_path, files=27, files_per_dir=3, mix="scan:1", operations=50)
    storm.epoch(0)
    assert storm.counts(Phase.STEADY) == {"list": 50 * (1 + 3)}


def test_epochs_look_at_all_files_about_equally(tmp_path: Path) -> None:
    """Every file is asked for, none more than a few times its share."""
    storm = Storm(str(tmp_path / "store"), tmp_path, mix="stat:1")
    seen = Counter(storm.reader._files(storm.workload.order(0), 0).tolist())
    assert set(seen) == set(range(60))
    assert max(seen.values()) <= 2 * 1000 / 60


def test_an_operation_that_fails_loses_its_sample_and_nothing_else(tmp_path: Path) -> None:
    """Removed files are errors with their name; the others are delivered."""
    storm = Storm(str(tmp_path / "store"), tmp_path, mix="stat:1,open:1")
    for obj in range(30):
        (tmp_path / "store" / storm.workload.layout().path(obj)).unlink()
    storm.epoch(0)
    assert storm.delivered + storm.tap.failed_samples == 1000
    assert 300 < storm.tap.failed_samples < 700


def test_a_file_system_without_attributes_loses_that_share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The caveat names the file system; the mix goes on without."""

    def refuse(path: str, name: str, value: bytes) -> None:
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP), path)

    monkeypatch.setattr(os, "setxattr", refuse)
    storm = Storm(str(tmp_path / "store"), tmp_path, mix="stat:1,getxattr:1,setxattr:2")
    assert "has no extended attributes (Operation not supported)" in storm.caveats[0]
    assert "setxattr and getxattr left out of the mix" in storm.caveats[0]
    storm.epoch(0)
    assert storm.counts(Phase.STEADY) == {"stat": 1000}
    with pytest.raises(StoreError, match=r"has no extended attributes .*; use another --mix or another --store"):
        Storm(str(tmp_path / "store"), tmp_path, worker=1, mix="setxattr:2")


def test_attributes_that_cannot_be_tried_are_told_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full store is no traceback: it says where, why, and which mix would do."""

    def full(path: str, name: str, value: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)

    monkeypatch.setattr(os, "setxattr", full)
    told = r"run-1-00000000: extended attributes cannot be tried there: No space left on device; use a --mix without"
    with pytest.raises(StoreError, match=told):
        Storm(str(tmp_path / "store"), tmp_path, mix="stat:1,getxattr:1,setxattr:2")


def test_each_worker_finds_room_for_its_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many there are: what the store must hold grows with them by more than one of them ever has."""
    storm = Storm(str(tmp_path / "store"), tmp_path, operations=20_000)
    most, whole = 0, NameArea.unlink

    def counted(area: NameArea, count: int) -> None:
        nonlocal most  # what a batch creates is there, and nothing is removed yet
        most = max(most, len(storm.scratch_names()))
        whole(area, count)

    monkeypatch.setattr(NameArea, "unlink", counted)
    storm.epoch(0, batch=1000)
    need = storm.workload.scratch_need()
    assert 250 < most <= need.names_per_worker
    asked: list[int] = []

    def claim(dataset: Store, size_bytes: int, names: int) -> Scratch:
        asked.append(names)
        raise StoreFullError("no more is asked here")

    monkeypatch.setattr(run_scratch, "claim_scratch", claim)
    plan = plan_run(resolve(raw_spec("metadata-storm", [], [], ["--workers", "40"])))
    prepared = cast("Prepared", SimpleNamespace(store=storm.store))
    with pytest.raises(StoreFullError), run_scratch.run_scratch(plan, prepared):
        pass
    assert asked == [need.names + 40 * need.names_per_worker]


def test_remote_stores_do_what_they_have_and_refuse_the_rest(tmp_path: Path) -> None:
    """Creating is a put there; what they lack is named, with a mix that they can do."""
    url = f"file://{tmp_path}/store"
    with pytest.raises(SpecError, match=r"open.* not to be had on file:// stores.*use --mix create:8,stat:50"):
        Storm(url, tmp_path)
    storm = Storm(url, tmp_path, worker=1, mix="stat:5,create:2,rename:1,unlink:2,list:1,scan:1", operations=200)
    storm.epoch(0)
    counts = storm.counts(Phase.STEADY)
    assert storm.tap.failed_samples == 0
    assert set(counts) == {"stat", "put", "rename", "unlink", "list"}
    assert counts["put"] + counts["unlink"] == pytest.approx(2 * 200 * 2 / 12, abs=2)


def test_parameters_that_make_no_sense_are_refused() -> None:
    """No files, a mix with a typing error, a size that is none."""
    for values in ({"files": 0}, {"mix": "statt:1"}, {"file_size": "0"}, {"operations": 0}):
        with pytest.raises(ValidationError):
            MetadataStormParams.model_validate(values)


def test_the_store_of_a_local_path_is_told_to_be_never_cold(tmp_path: Path) -> None:
    """Metadata caches are outside of --cache."""
    storm = Storm(str(tmp_path / "store"), tmp_path)
    assert any("Names and inodes that this host had in memory" in caveat for caveat in storm.caveats)
    assert isinstance(storm.store, LocalStore)
