"""Stand-ins: objects of the same number, sizes and layout, under names that say nothing where that is wanted."""

from __future__ import annotations

import copy
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ioprof.dataset.clean import find_datasets, remove
from ioprof.dataset.prepare import prepare
from ioprof.errors import UsageError
from ioprof.replay.accesses import recorded
from ioprof.replay.names import KEY_VARIABLE, anonymised, anonymising_key, relative_paths
from ioprof.replay.stand_in import StandInLayout, needed_sizes
from ioprof.store.local import LocalStore
from ioprof.trace.kinds import Kind
from tests.unit.test_replay_script import SIZE, _row
from tests.unit.trace_builder import make_trace

KEY = b"k" * 32
PARTS = st.lists(st.text("abcdefgh", min_size=1, max_size=3), min_size=1, max_size=3)


def test_names_stand_below_the_directory_that_all_share() -> None:
    """Whoever reads them need not have the same home."""
    assert relative_paths(["/home/me/set/train/0/a.jpg", "/home/me/set/val/1/b.jpg"]) == [
        "train/0/a.jpg",
        "val/1/b.jpg",
    ]
    assert relative_paths(["s3://bucket/x/a", "s3://bucket/y/a"]) == ["x/a", "y/a"]
    assert relative_paths(["/data/only.bin"]) == ["only.bin"]


def test_names_that_no_directory_could_hold_are_changed_and_stay_apart() -> None:
    """Object stores allow a name below another, and steps upwards are no part of a name."""
    assert relative_paths(["d/a", "d/a/b", "d/x/../../c"]) == ["a.object", "a/b", "x/c"]
    assert relative_paths(["d/a", "d//a", "e"]) == ["d/a", "d/a~2", "e"]
    assert relative_paths(["d/.ioprof/marker.json", "e/f"]) == ["d/_ioprof/marker.json", "e/f"]


@given(st.lists(PARTS, min_size=1, max_size=40))
def test_hidden_names_keep_depth_and_fan_out_and_never_meet(parts: list[list[str]]) -> None:
    """Two names are one afterwards only where they were before, at each level."""
    paths = ["/".join(one) for one in parts]
    hidden = anonymised(paths, KEY)
    for level in range(3):
        before = [tuple(path.split("/")[: level + 1]) for path in paths]
        after = [tuple(path.split("/")[: level + 1]) for path in hidden]
        assert len(set(zip(before, after, strict=True))) == len(set(before)) == len(set(after))
    assert [path.count("/") for path in hidden] == [path.count("/") for path in paths]


def test_hidden_names_are_as_long_as_before_and_alike_under_the_same_key() -> None:
    """Names of some length keep it exactly; another key gives other names, and nothing of the name is left."""
    paths = [f"patients/{name}/scan-{number:04}.dcm" for name in ("miller", "meyer") for number in range(200)]
    hidden = anonymised(paths, KEY)
    assert [len(path) for path in hidden] == [len(path) for path in paths]
    assert anonymised(paths, KEY) == hidden
    assert not set(anonymised(paths, b"other" * 6)) & set(hidden)
    assert not any(word in path for path in hidden for word in ("patients", "miller", "meyer", "scan", "dcm"))
    assert hidden[0].split("/")[2] == hidden[200].split("/")[2], "equal names become equal ones"


def test_the_key_is_new_each_time_unless_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is given makes the same stand-in again; a short one would hide nothing."""
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    assert anonymising_key() != anonymising_key()
    monkeypatch.setenv(KEY_VARIABLE, "correct horse battery")
    assert anonymising_key() == anonymising_key()
    monkeypatch.setenv(KEY_VARIABLE, "short")
    with pytest.raises(UsageError, match="5 bytes; a key needs 16 or more"):
        anonymising_key()


def test_a_stand_in_is_prepared_resumed_and_removed_like_any_dataset(tmp_path: Path) -> None:
    """Marker, manifest, names and sizes; a second time nothing is written; clean takes all of it away."""
    sizes = np.array([0, 10, 5000, 3 << 20], dtype=np.int64)
    layout = copy.copy(StandInLayout(["a/0", "a/b/1", "2", "c/3"], sizes, seed=3))  # as it travels to other processes
    store = LocalStore(str(tmp_path))
    made = prepare(store, "stand-in", layout, workers=0)
    root = Path(made.store.local_root or "")
    assert [(root / layout.path(index)).stat().st_size for index in range(4)] == sizes.tolist()
    assert prepare(store, "stand-in", layout, workers=0).reused
    (found,) = find_datasets(store)
    remove(found, workers=0)
    assert os.listdir(tmp_path) == []


def test_objects_are_as_large_as_what_was_read_of_them() -> None:
    """Up to the end of the last read; where places are not known, reads follow each other from each opening on."""
    rows = [
        _row(Kind.OPEN, 0, 1, 0), _row(Kind.READ, 10_000, 1, 0, offset=100), _row(Kind.READ, 20_000, 1, 0, offset=0),
        _row(Kind.OPEN, 30_000, 1, 1), _row(Kind.READ, 40_000, 1, 1), _row(Kind.READ, 50_000, 1, 1),
        _row(Kind.OPEN, 60_000, 1, 1), _row(Kind.READ, 70_000, 1, 1),
        _row(Kind.STAT, 80_000, 1, 2),
    ]  # fmt: skip
    found = recorded(make_trace(spans=rows))
    assert needed_sizes([found.loading, found.discovery], 4).tolist() == [100 + SIZE, 2 * SIZE, 0, 0]
