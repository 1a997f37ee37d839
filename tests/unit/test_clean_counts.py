"""Removing a dataset that was never finished counts what was there, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ioprof.contract import Layout
from ioprof.dataset.chunks import record_path
from ioprof.dataset.clean import find_datasets, remove
from ioprof.dataset.marker import read_marker, write_marker
from ioprof.dataset.prepare import prepare
from ioprof.dataset.progress import Progress
from ioprof.plugins import find_workload
from ioprof.store.base import Store
from ioprof.store.fsspec_store import FsspecStore
from ioprof.store.local import LocalStore


class ObjectStore(FsspecStore):
    """Like S3: removing what is not there is no error."""

    def unlink(self, path: str) -> None:
        """Remove one object, if there is one."""
        with self._client_for(path) as client:
            if client.exists(self._full(path)):
                client.rm_file(self._full(path))

    def at(self, path: str) -> ObjectStore:
        """Return the same store rooted at a prefix below."""
        return ObjectStore(f"{self.url}/{path}")


def _layout() -> Layout:
    workload = find_workload("small-files")
    return workload(workload.Params.model_validate({"files": 1500, "file_size": "1KiB"}), 7).layout()


def _leave_one_chunk(dataset: Store) -> int:
    """Make a complete dataset one that was killed after its first chunk; return the objects that are left."""
    marker, layout = read_marker(dataset), _layout()
    assert marker is not None and marker.chunk_objects < layout.count
    write_marker(dataset, replace(marker, state="preparing"))
    dataset.make_dir(".ioprof/done")
    dataset.write(record_path(0), b"")
    for index in range(marker.chunk_objects, layout.count):
        dataset.unlink(layout.path(index))
    return marker.chunk_objects


@pytest.mark.parametrize("kind", ["local", "objects"])
def test_only_what_was_written_is_counted(kind: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """In the progress, in its total, and at the end; also where the store does not say that nothing was there."""
    folder = tmp_path_factory.mktemp("clean")
    store: Store = LocalStore(str(folder)) if kind == "local" else ObjectStore(f"memory://{folder.name}")
    dataset = prepare(store, "set", _layout(), workers=0).store
    there = _leave_one_chunk(dataset)
    (found,) = find_datasets(store)
    assert found.recorded_objects == there
    seen: list[Progress] = []
    removed = remove(found, workers=0, on_progress=seen.append)
    assert (removed.objects, removed.foreign) == (there, 0)
    assert {(one.objects, one.total_objects) for one in seen} == {(there, there)}
