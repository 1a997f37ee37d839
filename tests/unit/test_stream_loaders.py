"""Loaders that deliver streams: every sample once over all workers and ranks, whatever their number."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from ioprof.contract import Batch, LoaderSession, LoadJob
from ioprof.plugins import find_loader
from ioprof.trace.kinds import Kind
from ioprof.trace.raw import raw_processes, raw_spans
from tests.small_stream import local_stream

LOADERS = ["processes", "torch-iterable"]

pytestmark = [
    pytest.mark.usefixtures("nothing_left"),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*workers on.*"),
]


def _open(loader: str, job: LoadJob, **params: object) -> LoaderSession:
    found = find_loader(loader)
    return found(found.Params.model_validate(params)).open(job)


def _epoch(session: LoaderSession, epoch: int) -> list[Batch]:
    """Return an epoch's batches without their data."""
    batches = []
    for batch in session.batches(epoch):
        batch.data = None
        batches.append(batch)
    return batches


def _reads(trace_dir: Path) -> Counter[int]:
    """Return how often each object was read."""
    processes, caveats = raw_processes(trace_dir)
    assert caveats == []
    found: Counter[int] = Counter()
    for chunk in raw_spans(processes):
        found.update(row["object"] for row in chunk.to_pylist() if row["kind"] == Kind.READ)
    return found


@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.parametrize(("files", "workers", "world_size"), [(50, 2, 1), (53, 3, 1), (41, 2, 3), (3, 4, 1), (1, 1, 2)])
def test_every_sample_comes_once_an_epoch_over_all_ranks_and_workers(
    loader: str, files: int, workers: int, world_size: int, tmp_path: Path, trace_dir: Path
) -> None:
    """Also where the parts are not equally large, and where some are empty."""
    dataset = local_stream(tmp_path, files=files)
    samples, total_bytes, numbers = 0, 0, list[tuple[int, int]]()
    for rank in range(world_size):
        job = dataset.job(trace_dir, drop_last=False, rank=rank, world_size=world_size)
        session = _open(loader, job, workers=workers)
        for epoch in (0, 1):
            batches = _epoch(session, epoch)
            samples += sum(batch.samples for batch in batches)
            total_bytes += sum(batch.size_bytes for batch in batches)
            numbers += [(rank, batch.number) for batch in batches]
        session.close()
        assert session.process_ids() == []
    assert samples == 2 * files
    assert total_bytes == 2 * sum(dataset.sizes.sizes_bytes)
    assert len(set(numbers)) == len(numbers)
    assert numbers == sorted(numbers)
    assert _reads(trace_dir) == Counter(dict.fromkeys(range(files), 2))
