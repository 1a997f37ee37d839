"""Scratch directories: one for each run, gone with it; those of killed runs go with the next; the living are left."""

from __future__ import annotations

import os
from pathlib import Path

import fsspec
import pytest

from ioprof.dataset.clean import find_datasets, remove
from ioprof.dataset.layout import OpaqueLayout
from ioprof.dataset.prepare import prepare
from ioprof.dataset.scratch import SCRATCH_PATH, claim_scratch, refuse_scratch_in_use, release_scratch
from ioprof.dataset.sizes import Fixed
from ioprof.errors import DatasetError, StoreError, StoreFullError
from ioprof.store.local import LocalStore
from ioprof.store.open_store import open_store


@pytest.fixture
def dataset(tmp_path: Path) -> LocalStore:
    """A small dataset."""
    store = LocalStore(str(tmp_path))
    return LocalStore(str(prepare(store, "set", OpaqueLayout(count=5, sizes=Fixed(10)), workers=0).store.local_root))


def _left(dataset: LocalStore) -> set[str]:
    return {entry.name for entry in dataset.list(SCRATCH_PATH) if entry.is_dir}


@pytest.mark.usefixtures("no_descriptor_left")
def test_a_run_has_a_directory_until_it_ends(dataset: LocalStore) -> None:
    """All below goes with it; a link is removed, and what it leads to stays."""
    scratch = claim_scratch(dataset, 1000, 10)
    root = Path(str(dataset.local_root))
    (root / scratch.path / "deep" / "deeper").mkdir(parents=True)
    (root / scratch.path / "deep" / "file").touch()
    (root / scratch.path / "link").symlink_to(root / "0")
    release_scratch(dataset, scratch)
    assert _left(dataset) == set()
    assert len(list((root / "0").iterdir())) == 5


@pytest.mark.usefixtures("no_descriptor_left")
def test_what_is_to_be_kept_stays_until_the_next_run(dataset: LocalStore) -> None:
    """The next one removes it."""
    first = claim_scratch(dataset, 0, 0)
    first.keep = True
    release_scratch(dataset, first)
    assert len(_left(dataset)) == 1
    release_scratch(dataset, claim_scratch(dataset, 0, 0))
    assert _left(dataset) == set()


def test_a_living_run_is_left_alone(dataset: LocalStore) -> None:
    """By another run, and by clean, which refuses; a run that ended without cleaning is removed."""
    alive, killed = claim_scratch(dataset, 0, 0), claim_scratch(dataset, 0, 0)
    os.close(killed.descriptor)
    third = claim_scratch(dataset, 0, 0)
    assert _left(dataset) == {Path(alive.path).name, Path(third.path).name}
    with pytest.raises(DatasetError, match="a run is writing there"):
        remove(find_datasets(dataset)[0])
    assert len(list((Path(str(dataset.local_root)) / "0").iterdir())) == 5
    for scratch in (alive, third):
        release_scratch(dataset, scratch)


def test_clean_removes_what_a_killed_run_left(dataset: LocalStore) -> None:
    """Nothing stays of the dataset."""
    os.close(claim_scratch(dataset, 0, 0).descriptor)
    removed = remove(find_datasets(dataset)[0], workers=0)
    assert (removed.objects, removed.foreign) == (5, 0)
    assert not Path(str(dataset.local_root)).exists()


def test_clean_leaves_what_others_put_beside(dataset: LocalStore) -> None:
    """Only directories of runs are ours."""
    os.close(claim_scratch(dataset, 0, 0).descriptor)
    (Path(str(dataset.local_root)) / SCRATCH_PATH / "notes.txt").touch()
    removed = remove(find_datasets(dataset)[0], workers=0)
    assert removed.foreign_paths == [f"{SCRATCH_PATH}/notes.txt"]


def test_too_little_room_is_told_before_the_run(dataset: LocalStore) -> None:
    """With what is needed and what there is."""
    with pytest.raises(StoreFullError, match=r"writes .* there while it runs, and .* are free"):
        claim_scratch(dataset, 10**18, 1)
    with pytest.raises(StoreFullError, match="inodes are free"):
        claim_scratch(dataset, 1, 10**15)


def test_a_store_that_refuses_is_one_line(dataset: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it said, and what to do."""

    def refuse(self: LocalStore, path: str) -> None:
        raise OSError(30, "Read-only file system", path)

    monkeypatch.setattr(LocalStore, "make_dir", refuse)
    with pytest.raises(StoreError, match=r"cannot be written \(Read-only file system\), and this workload writes"):
        claim_scratch(dataset, 0, 0)


def test_without_locks_a_run_is_known_by_its_process() -> None:
    """One that is alive on this host is left alone, one that is gone removed; of other hosts nothing is known."""
    store = open_store("memory://ioprof-scratch-test")
    try:
        first = claim_scratch(store, 0, 0)
        store.write(f"{first.path}/file", b"1")
        host, pid = first.path.rpartition("/")[2].split("-")[1:3]
        assert int(pid) == os.getpid()
        gone, elsewhere = f"run-{host}-{2**22 + 1}-00000000", "run-00000000-1-00000000"
        for name in (gone, elsewhere):
            store.make_dir(f"{SCRATCH_PATH}/{name}")
            store.write(f"{SCRATCH_PATH}/{name}/file", b"1")
        second = claim_scratch(store, 0, 0)
        assert (first.descriptor, second.descriptor) == (-1, -1)
        assert store.read(f"{first.path}/file") == b"1"
        assert {entry.name for entry in store.list(SCRATCH_PATH)} >= {elsewhere, first.path.rpartition("/")[2]}
        with pytest.raises(FileNotFoundError):
            store.stat(f"{SCRATCH_PATH}/{gone}/file")
        with pytest.raises(DatasetError, match="a run is writing there"):
            refuse_scratch_in_use(store)
    finally:
        fsspec.filesystem("memory").rm("/ioprof-scratch-test", recursive=True)
