"""Manifest and marker: what they say is what was laid out, and damage is named."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ioprof.contract import Layout
from ioprof.dataset.chunks import Chunk, chunk_objects, chunks
from ioprof.dataset.layout import OpaqueLayout
from ioprof.dataset.manifest import MANIFEST_PATH, open_manifest, read_names, write_manifest
from ioprof.dataset.marker import MARKER_PATH, Marker, dataset_id, read_marker, write_marker
from ioprof.dataset.room import check_room, need, total_bytes
from ioprof.dataset.sizes import Fixed, Sizes, Uniform
from ioprof.errors import DatasetError, StoreFullError
from ioprof.store.base import Capacity, Store
from ioprof.store.local import LocalStore
from ioprof.store.open_store import open_store

UNIFORM = OpaqueLayout(count=70_000, sizes=Uniform(1, 9000), seed=2)
FIXED = OpaqueLayout(count=70_000, sizes=Fixed(4096), seed=2)
MARKER = Marker(
    state="preparing",
    identity=FIXED.identity(),
    dataset_id=dataset_id(FIXED.identity()),
    objects=70_000,
    total_bytes=1,
    chunk_objects=512,
)


class NamedLayout:
    """Objects whose names follow no rule that ioprof knows."""

    count = 3

    def identity(self) -> dict[str, str | int | float | bool]:
        """Any other kind."""
        return {"layout": "named"}

    def path(self, index: int) -> str:
        """A letter per object."""
        return f"letters/{'abc'[index]}"

    def directories(self) -> Iterator[str]:
        """One."""
        yield "letters"

    def sizes(self, start: int, stop: int) -> Sizes:
        """Its index and one more."""
        return np.arange(start + 1, stop + 1, dtype=np.int64)

    def render(self, index: int, size_bytes: int) -> bytes:
        """Its letter."""
        return b"abc"[index : index + 1] * size_bytes


@pytest.fixture(params=["local", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """A store rooted at an empty dataset directory."""
    made = LocalStore(str(tmp_path)) if request.param == "local" else open_store(f"memory://{tmp_path.name}-manifest")
    made.make_dir(".ioprof")
    return made


@pytest.mark.parametrize("layout", [UNIFORM, FIXED, NamedLayout()], ids=["uniform", "fixed", "named"])
def test_the_manifest_gives_back_every_size(store: Store, layout: Layout) -> None:
    """Count, total and each size are those of the layout, through a disk and through fsspec."""
    write_manifest(store, layout, total_bytes(layout))
    manifest = open_manifest(store)
    assert manifest.count == layout.count
    assert np.array_equal(manifest.sizes, layout.sizes(0, layout.count))
    assert manifest.total_bytes == int(manifest.sizes.sum())


def test_sizes_of_a_local_manifest_are_a_view_of_the_file(tmp_path: Path) -> None:
    """Nothing is copied: a reader of ten million objects maps eighty megabytes and touches what it needs."""
    store = LocalStore(str(tmp_path))
    store.make_dir(".ioprof")
    write_manifest(store, UNIFORM, total_bytes(UNIFORM))
    sizes = open_manifest(store).sizes
    assert not sizes.flags.owndata
    assert not sizes.flags.writeable
    assert sizes.flags.c_contiguous


def test_the_manifest_of_equal_objects_takes_next_to_no_room(store: Store) -> None:
    """A million equal sizes are not worth eight megabytes."""
    write_manifest(store, FIXED, total_bytes(FIXED))
    assert len(store.read(MANIFEST_PATH)) < 20_000
    assert open_manifest(store).fixed_size_bytes == 4096


def test_names_without_a_rule_are_kept_by_name(store: Store) -> None:
    """Removal must know every name even when no rule gives it."""
    write_manifest(store, NamedLayout(), 6)
    assert list(read_names(store)) == [["letters/a", "letters/b", "letters/c"]]


@pytest.mark.parametrize("content", [b"", b"ARROW1 but no more", b"\x00" * 5000])
def test_a_damaged_manifest_is_named(store: Store, content: bytes) -> None:
    """One line with the path, whatever the damage."""
    store.write(MANIFEST_PATH, content)
    with pytest.raises(DatasetError, match=r"manifest\.arrow: damaged manifest"):
        open_manifest(store)


def test_a_missing_manifest_is_named(store: Store) -> None:
    """And what to do about it."""
    with pytest.raises(DatasetError, match=r"no manifest .* run ioprof prepare"):
        open_manifest(store)


def test_the_marker_says_again_what_was_written(store: Store) -> None:
    """Both states survive the round trip, and replacing leaves no temporary file."""
    for state in ("preparing", "complete"):
        marker = replace(MARKER, state=state)
        write_marker(store, marker)
        assert read_marker(store) == marker
    assert [entry.name for entry in store.list(".ioprof")] == ["marker.json"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"made_by": "someone", "format": 1}',
        b'{"made_by": "ioprof", "format": "x"}',
    ],
)
def test_a_marker_that_is_not_ours_is_an_error_and_never_proof(store: Store, content: bytes) -> None:
    """A directory with a broken or foreign marker is nobody's to overwrite or remove."""
    store.write(MARKER_PATH, content)
    with pytest.raises(DatasetError, match=r"marker\.json"):
        read_marker(store)


def test_a_marker_of_a_newer_version_is_refused_by_name(store: Store) -> None:
    """The message names the version that can handle it."""
    store.write(MARKER_PATH, json.dumps({"made_by": "ioprof", "format": 2, "version": "9.9"}).encode())
    with pytest.raises(DatasetError, match=r"newer ioprof \(9\.9\)"):
        read_marker(store)


def test_identities_decide_the_name_and_nothing_else_does() -> None:
    """The same objects have the same directory; one byte, one object or another seed make another."""
    ids = {
        dataset_id(OpaqueLayout(count=count, sizes=Fixed(size), seed=seed).identity())
        for count, size, seed in [(10, 4096, 0), (10, 4096, 0), (11, 4096, 0), (10, 4097, 0), (10, 4096, 1)]
    }
    assert len(ids) == 4


@pytest.mark.parametrize(("count", "total"), [(1, 1), (1000, 10), (10**6, 4096 * 10**6), (5, 5 * 1024**3)])
def test_chunks_cover_every_object_once_and_stay_small(count: int, total: int) -> None:
    """No object is left out, none is written twice, none of the chunks is beyond 4,096 objects or 64 MiB."""
    per_chunk = chunk_objects(count, total, 4, local=True)
    covered = list(chunks(count, per_chunk))
    assert [chunk.start for chunk in covered] == [0, *(chunk.stop for chunk in covered[:-1])]
    assert covered[-1].stop == count
    assert per_chunk <= 4096
    assert per_chunk == 1 or per_chunk * total // count <= 64 * 1024**2


class SmallStore(LocalStore):
    """A disk with little left."""

    __slots__ = ("left",)

    def __init__(self, root: str, left: Capacity) -> None:
        super().__init__(root)
        self.left = left

    def capacity(self) -> Capacity:
        """Return what the test says."""
        return self.left


def test_too_few_bytes_or_inodes_are_told_with_both_numbers(tmp_path: Path) -> None:
    """Needed, free, and what to do, in one line each; a store that cannot say is believed."""
    needed = need(FIXED, [Chunk(0, 0, FIXED.count)])
    assert needed.size_bytes > 70_000 * 4096
    assert needed.inodes > 70_000
    for left, message in [
        (
            Capacity(free_bytes=10**6, free_inodes=None, total_bytes=None),
            "needs 2.. MiB, 977 KiB are free; use",
        ),
        (
            Capacity(free_bytes=None, free_inodes=500, total_bytes=None),
            "needs 73,.* inodes, 500 are free; use",
        ),
    ]:
        with pytest.raises(StoreFullError, match=message) as raised:
            check_room(SmallStore(str(tmp_path), left), needed)
        assert "\n" not in str(raised.value)
    unknown = Capacity(free_bytes=None, free_inodes=None, total_bytes=None)
    check_room(SmallStore(str(tmp_path), unknown), needed)


def test_small_objects_are_counted_as_the_disk_counts_them() -> None:
    """One byte takes a block: a million tiny files need gigabytes."""
    tiny = OpaqueLayout(count=10_000, sizes=Fixed(1))
    assert need(tiny, [Chunk(0, 0, 10_000)]).size_bytes > 10_000 * 4096
