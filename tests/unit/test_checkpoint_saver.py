"""Saves on a real directory: what stands there at any time, and what the trace tells of it."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import torch

from ioprof.checkpoint.folder import FolderPlan, checkpoint_folder
from ioprof.checkpoint.names import is_ours, shard_name
from ioprof.checkpoint.saver import FIRST_WORKER, Saver
from ioprof.checkpoint.state import State
from ioprof.dataset.clean import find_datasets, remove
from ioprof.errors import DatasetError, RunDirectoryError, StoreError, StoreFullError
from ioprof.store.base import Capacity, Store
from ioprof.store.local import LocalStore
from ioprof.store.open_store import open_store
from ioprof.trace.kinds import Kind, Phase
from ioprof.trace.raw import raw_operations, raw_processes, raw_spans
from tests.open_descriptors import open_below

SIZE = 512 << 10
PLAN = FolderPlan(name="checkpoints-test", save_bytes=SIZE, shards=2, keep=2, seed=1)


@pytest.fixture
def state() -> State:
    """Return a small state of two shards."""
    return State(SIZE, 2, seed=1)


@pytest.fixture
def folder(tmp_path: Path) -> Store:
    """Return the store rooted where files go."""
    (tmp_path / "saves").mkdir()
    return LocalStore(str(tmp_path / "saves"))


@pytest.fixture
def saver(folder: Store, trace_dir: Path) -> Iterator[Saver]:
    """Return a saver that keeps two saves."""
    made = Saver(folder, str(trace_dir), rank=0, shards=2, fsync=True, keep=2)
    yield made
    made.close()


def names(folder: Store) -> list[str]:
    """Return what stands in a folder."""
    return sorted(entry.name for entry in folder.list())


def save_names(*steps: int) -> list[str]:
    """Return the files of whole saves."""
    return [shard_name(step, shard, 2) for step in steps for shard in (0, 1)]


def test_the_newest_saves_stay_and_older_ones_go(folder: Store, saver: Saver, state: State) -> None:
    """Never fewer than asked for, once so many were made; each can be loaded by torch alone."""
    for step, standing in ((9, [9]), (19, [9, 19]), (29, [19, 29]), (39, [29, 39])):
        saved = saver.save(step, state.shards).result()
        assert saved.error is None
        assert saved.begun_ns < saved.durable_ns <= saved.ended_ns
        assert names(folder) == save_names(*standing)
    for shard, name in enumerate(save_names(39)):
        assert state.differs_from(shard, torch.load(f"{folder.local_root}/{name}", weights_only=True)) is None
        assert is_ours(name)


def test_every_operation_of_a_save_is_traced_by_kind(
    saver: Saver, state: State, folder: Store, trace_dir: Path
) -> None:
    """A shard is created, written, synced, closed and renamed, in this order; then the directory is synced."""
    saved = [saver.save(step, state.shards).result() for step in (0, 1, 2)]
    saver.close()
    processes = raw_processes(trace_dir)[0]
    rows = raw_operations(processes).to_pylist()
    assert {row["phase"] for row in rows} == {int(Phase.CHECKPOINT)}
    count = {kind: sum(row["count"] for row in rows if row["kind"] == kind) for kind in Kind}
    assert count[Kind.CREATE] == count[Kind.CLOSE] == count[Kind.RENAME] == 6
    assert count[Kind.FSYNC] == 6 + 3
    assert count[Kind.UNLINK] == 2
    assert sum(row["bytes"] for row in rows) == sum(one.size_bytes for one in saved) > 3 * SIZE
    spans = [span for part in raw_spans(processes) for span in part.to_pylist()]
    assert {span["batch"] for span in spans} == {-2}
    for shard in (0, 1):
        kinds = [
            Kind(span["kind"]).label
            for span in sorted(spans, key=lambda span: int(span["start_ns"]))
            if span["object"] == shard and span["kind"] not in (Kind.WRITE, Kind.UNLINK)
        ]
        assert kinds == ["create", "fsync", "close", "rename"] * 3


def test_without_fsync_nothing_is_synced(folder: Store, state: State, trace_dir: Path) -> None:
    """The names still change in one step."""
    saver = Saver(folder, str(trace_dir), rank=0, shards=2, fsync=False, keep=1)
    assert saver.save(4, state.shards).result().error is None
    saver.close()
    assert names(folder) == save_names(4)
    kinds = {row["kind"] for row in raw_operations(raw_processes(trace_dir)[0]).to_pylist()}
    assert Kind.FSYNC not in kinds
    assert Kind.RENAME in kinds


def test_a_save_that_fails_leaves_the_one_before_and_no_piece_of_itself(
    folder: Store, saver: Saver, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where one shard meets a full disk, the other one's whole file goes too: a half checkpoint is none."""
    assert saver.save(9, state.shards).result().error is None
    whole, calls = os.writev, []

    def full(descriptor: int, parts: Sequence[memoryview]) -> int:
        if "00001-of" in str(Path(f"/proc/self/fd/{descriptor}").readlink()):
            calls.append(descriptor)
            raise OSError(errno.ENOSPC, "No space left on device")
        return whole(descriptor, parts)

    monkeypatch.setattr(os, "writev", full)
    saved = saver.save(19, state.shards).result()
    assert (calls != [], saved.durable_ns) == (True, -1)
    assert saved.error is not None
    assert saved.error.errno == errno.ENOSPC
    assert names(folder) == save_names(9)
    monkeypatch.undo()
    assert saver.save(29, state.shards).result().error is None
    assert names(folder) == save_names(9, 29)


def test_closing_drops_the_save_under_way(
    folder: Store, saver: Saver, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its writers end at their next piece, its files are removed, and the save before stays."""
    assert saver.save(9, state.shards).result().error is None
    whole = os.writev

    def closing(descriptor: int, parts: Sequence[memoryview]) -> int:
        saver._cancelled.set()
        return whole(descriptor, parts)

    monkeypatch.setattr(os, "writev", closing)
    saving = saver.save(19, state.shards)
    saver.close()
    error = saving.result().error
    assert error is not None
    assert error.errno == errno.ECANCELED
    assert names(folder) == save_names(9)


def test_the_last_save_is_read_back_as_it_was(saver: Saver, state: State, trace_dir: Path) -> None:
    """All of its bytes pass the tap."""
    assert saver.restore() is None
    for step in (0, 1):
        saved = saver.save(step, state.shards).result()
    restoring = saver.restore()
    assert restoring is not None
    restored = restoring.result()
    assert (restored.step, restored.size_bytes) == (1, saved.size_bytes)
    assert [state.differs_from(shard, restored.states[shard]) for shard in (0, 1)] == [None, None]
    saver.close()
    rows = raw_operations(raw_processes(trace_dir)[0]).to_pylist()
    read_bytes = sum(row["bytes"] for row in rows if row["kind"] == Kind.READ)
    assert SIZE <= read_bytes < SIZE * 1.3


def test_a_file_that_is_cut_short_cannot_be_restored(folder: Store, saver: Saver, state: State) -> None:
    """That is an error of the store, and not a state of zeros; so is one whose bytes make no sense."""
    assert saver.save(0, state.shards).result().error is None
    damaged = Path(f"{folder.local_root}/{save_names(0)[1]}")
    size_bytes = damaged.stat().st_size
    for content, told in ((bytes(SIZE // 8), "(ends at byte|is damaged)"), (bytes(size_bytes), "is damaged")):
        damaged.write_bytes(content)
        restoring = saver.restore()
        assert restoring is not None
        with pytest.raises(OSError, match=told):
            restoring.result()


def test_objects_of_a_remote_store_are_put_and_got_whole(trace_dir: Path, state: State) -> None:
    """One request each; there are no temporary names to rename."""
    store = open_store("memory://ioprof-test-saver")
    saver = Saver(store, str(trace_dir), rank=0, shards=2, fsync=True, keep=1)
    for step in (0, 1):
        assert saver.save(step, state.shards).result().error is None
    assert names(store) == save_names(1)
    restoring = saver.restore()
    assert restoring is not None
    assert state.differs_from(1, restoring.result().states[1]) is None
    saver.close()
    kinds = {row["kind"]: row["count"] for row in raw_operations(raw_processes(trace_dir)[0]).to_pylist()}
    assert set(kinds) == {Kind.PUT, Kind.GET, Kind.UNLINK}


def test_an_old_save_that_cannot_be_removed_does_not_undo_the_new_one(
    folder: Store, saver: Saver, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new one stands, why the old one stays is told apart, and the next save removes what is left of both."""
    for step in (0, 1):
        assert saver.save(step, state.shards).result().removal_error is None
    unlink = saver._taps[0].unlink

    def refuse(path: str, obj: int) -> None:
        if path == save_names(0)[1]:
            raise OSError(errno.EPERM, "Operation not permitted")
        unlink(path, obj)

    monkeypatch.setattr(saver._taps[0], "unlink", refuse)
    saved = saver.save(2, state.shards).result()
    assert saved.error is None
    assert isinstance(saved.removal_error, PermissionError)
    assert names(folder) == sorted([save_names(0)[1], *save_names(1, 2)])
    monkeypatch.undo()
    assert saver.save(3, state.shards).result().removal_error is None
    assert names(folder) == save_names(2, 3)


def test_an_object_that_torch_cannot_load_is_an_error_of_the_store(trace_dir: Path, state: State) -> None:
    """On a remote store as on a local one."""
    store = open_store("memory://ioprof-test-damaged")
    with contextlib.closing(Saver(store, str(trace_dir), rank=0, shards=2, fsync=True, keep=1)) as saver:
        assert saver.save(0, state.shards).result().error is None
        size_bytes = len(store.read(save_names(0)[1]))
        store.write(save_names(0)[1], bytes(size_bytes))
        restoring = saver.restore()
        assert restoring is not None
        with pytest.raises(OSError, match="is damaged: torch cannot load it"):
            restoring.result()


def test_a_recorder_that_cannot_be_made_releases_those_before_it(folder: Store, trace_dir: Path) -> None:
    """No descriptor stays open of a saver that never was."""
    (trace_dir / f"ops-0-{FIRST_WORKER - 1}-{os.getpid()}.ops").mkdir()
    with pytest.raises(RunDirectoryError):
        Saver(folder, str(trace_dir), rank=0, shards=2, fsync=True, keep=2)
    assert open_below(trace_dir) == []


def test_the_folder_goes_with_the_run_and_nothing_else_does(tmp_path: Path) -> None:
    """What ioprof did not put there stays, with the directories above it."""
    root = LocalStore(str(tmp_path))
    with checkpoint_folder(root, PLAN, keep_files=False) as folder:
        folder.write(shard_name(9, 0, 2), b"a save")
        folder.write(shard_name(19, 1, 2) + ".partial", b"an unfinished one")
        with pytest.raises(DatasetError, match="another process"):
            remove(find_datasets(root)[0])
    assert list(tmp_path.iterdir()) == []
    with checkpoint_folder(root, PLAN, keep_files=False) as folder:
        folder.write(shard_name(9, 0, 2), b"a save")
        folder.write("theirs.pt", b"another's file")
    assert [path.name for path in tmp_path.rglob("*")] == [PLAN.name, "theirs.pt"]


def test_kept_files_are_found_and_removed_by_clean(tmp_path: Path) -> None:
    """The marker says what they are."""
    root = LocalStore(str(tmp_path))
    with checkpoint_folder(root, PLAN, keep_files=True) as folder:
        folder.write(shard_name(9, 0, 2), b"a save")
    (found,) = find_datasets(root)
    assert found.identity["layout"] == "checkpoints"
    assert remove(found).objects == 1
    assert list(tmp_path.iterdir()) == []


def test_a_store_with_too_little_room_is_refused_before_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The saves that stay and the one under way must fit."""
    tight = Capacity(free_bytes=3 * SIZE - 1, free_inodes=None, total_bytes=None)
    monkeypatch.setattr(LocalStore, "capacity", lambda store: tight)
    told = r"2 checkpoints that stay and one under way need 1.50 MiB"
    with (
        pytest.raises(StoreFullError, match=told),
        checkpoint_folder(LocalStore(str(tmp_path)), PLAN, keep_files=False),
    ):
        pytest.fail("there is no room")
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_cannot_be_written_is_told_in_one_line(tmp_path: Path) -> None:
    """What, why, and what to do."""
    (tmp_path / "file").touch()
    with (
        pytest.raises(StoreError, match="checkpoints cannot be written there: Not a directory; give another --store"),
        checkpoint_folder(LocalStore(str(tmp_path / "file")), PLAN, keep_files=False),
    ):
        pytest.fail("it is no directory")


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        (shard_name(1234567890123, 0, 1), True),
        (shard_name(0, 3, 8) + ".partial", True),
        ("step-1.pt", False),
        ("model.pt", False),
        (shard_name(0, 0, 1) + "x", False),
    ],
)
def test_only_names_of_saves_are_taken_for_ours(name: str, ours: bool) -> None:
    """A user's own checkpoint beside them is never removed."""
    assert is_ours(name) is ours
