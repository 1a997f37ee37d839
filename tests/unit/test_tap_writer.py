"""New objects, written piece by piece and traced."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ioprof.store.local import LocalStore
from ioprof.store.local_tap import tap_store
from ioprof.store.open_store import open_store
from ioprof.store.tap import Tap
from ioprof.trace.kinds import Kind
from ioprof.trace.raw import raw_operations, raw_processes
from ioprof.trace.recorder import Recorder
from tests.open_descriptors import open_below


def local_tap(folder: Path, trace_dir: Path) -> Tap:
    """Return a traced store in a new folder."""
    return tap_store(LocalStore(str(folder)), Recorder(str(trace_dir), rank=0, worker=0, span_budget=1000))


def counted(tap: Tap, trace_dir: Path) -> dict[str, tuple[int, int, int]]:
    """Return count, bytes and errors of each kind recorded."""
    tap.recorder.close()
    rows = raw_operations(raw_processes(trace_dir)[0]).to_pylist()
    return {Kind(row["kind"]).label: (row["count"], row["bytes"], row["errors"]) for row in rows}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(sizes=st.lists(st.sampled_from([0, 1, 30, 4096, 65_535, 65_536, 65_537, 300_000]), max_size=12))
def test_pieces_of_any_size_end_up_in_order(sizes: list[int], tmp_path_factory: pytest.TempPathFactory) -> None:
    """The file is the pieces joined, and the bytes traced are its size."""
    folder, trace_dir = tmp_path_factory.mktemp("files"), tmp_path_factory.mktemp("trace")
    tap = local_tap(folder, trace_dir)
    pieces = [bytes([number + 1]) * size for number, size in enumerate(sizes)]
    with tap.create_file("one") as file:
        assert [file.write(piece) for piece in pieces] == sizes
        file.commit(sync=False)
        assert file.size_bytes == sum(sizes)
    assert (folder / "one").read_bytes() == b"".join(pieces)
    assert counted(tap, trace_dir).get("write", (0, 0, 0))[1] == sum(sizes)


def test_small_pieces_go_out_with_the_large_one_that_follows(tmp_path: Path, trace_dir: Path) -> None:
    """One call for both, as a C++ file stream does it; create, fsync and close are traced each for itself."""
    tap = local_tap(tmp_path, trace_dir)
    with tap.create_file("one") as file:
        file.write(b"head")
        file.write(bytes(100_000))
        file.write(b"tail")
        file.commit(sync=True)
    tap.sync_dir("")
    found = counted(tap, trace_dir)
    assert found == {"create": (1, 0, 0), "write": (2, 100_008, 0), "fsync": (2, 0, 0), "close": (1, 0, 0)}


def test_a_partial_write_is_gone_on_with(tmp_path: Path, trace_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel may take less than it was given: the rest follows, from the right byte on."""
    whole, content = os.writev, bytes(range(256)) * 1000
    monkeypatch.setattr(os, "writev", lambda fd, parts: whole(fd, [bytes(parts[0][:70_001])]))
    tap = local_tap(tmp_path, trace_dir)
    with tap.create_file("one") as file:
        file.write(b"head")
        file.write(content)
        file.commit(sync=False)
    assert (tmp_path / "one").read_bytes() == b"head" + content


def test_a_full_disk_is_counted_and_told(tmp_path: Path, trace_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error reaches the caller and stands in the trace."""

    def full(descriptor: int, parts: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "writev", full)
    tap = local_tap(tmp_path, trace_dir)
    with pytest.raises(OSError, match="No space left"), tap.create_file("one") as file:
        file.write(bytes(100_000))
    assert counted(tap, trace_dir)["write"] == (1, 0, 1)


def test_what_stands_there_is_never_overwritten(tmp_path: Path, trace_dir: Path) -> None:
    """Another's file of that name stays as it is."""
    (tmp_path / "one").write_bytes(b"theirs")
    with pytest.raises(FileExistsError):
        local_tap(tmp_path, trace_dir).create_file("one")
    assert (tmp_path / "one").read_bytes() == b"theirs"


def test_a_remote_object_appears_whole_or_not_at_all(trace_dir: Path) -> None:
    """It is put in one request when it is committed."""
    store = open_store("memory://ioprof-test-tap-writer")
    tap = tap_store(store, Recorder(str(trace_dir), rank=0, worker=0, span_budget=1000))
    with tap.create_file("dropped") as file:
        file.write(b"never committed")
    with tap.create_file("kept") as file:
        file.write(b"ab")
        file.write(b"cd")
        file.commit(sync=True)
    assert store.read("kept") == b"abcd"
    with pytest.raises(FileNotFoundError):
        store.read("dropped")
    assert counted(tap, trace_dir) == {"put": (1, 4, 0)}


def test_a_forked_process_keeps_no_file_open_that_its_parent_writes(tmp_path: Path, trace_dir: Path) -> None:
    """A checkpoint that is removed while a worker lives must give its room back; the parent writes on undisturbed."""
    tap = local_tap(tmp_path / "files", trace_dir)
    (tmp_path / "files").mkdir()
    with tap.create_file("one") as file:
        file.write(bytes(100_000))
        child = os.fork()
        if child == 0:
            os._exit(len(open_below(tmp_path / "files")))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert open_below(tmp_path / "files")
        file.write(bytes(100_000))
        file.commit(sync=False)
    assert (tmp_path / "files" / "one").stat().st_size == 200_000
    assert counted(tap, trace_dir)["close"] == (1, 0, 0)
