"""s3torchconnector against a real S3 service on loopback."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ioprof.contract import LoadJob
from ioprof.errors import SpecError, WorkerDiedError
from ioprof.runner.worker_death import worker_deaths_told
from ioprof.store.fsspec_store import FsspecStore
from ioprof.trace.kinds import Kind
from ioprof.trace.raw import raw_processes, raw_spans
from tests.extras.known_samples import KnownSamples, known_samples, opened, samples_in, usable
from tests.extras.s3_server import KEY, SECRET, s3_server

pytestmark = [
    pytest.mark.usefixtures("nothing_left"),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]


@pytest.fixture
def known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KnownSamples]:
    """Sixty objects in a bucket of a service that the environment names."""
    usable("s3torchconnector")
    stored = known_samples(tmp_path / "buckets" / "bucket", "files")
    with s3_server(tmp_path / "buckets") as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        yield stored


def _job(known: KnownSamples, trace_dir: Path, *, batch_size: int = 8) -> LoadJob:
    job = known.job(trace_dir, batch_size=batch_size)
    return replace(job, worker=replace(job.worker, store=FsspecStore("s3://bucket/store")))


def test_each_object_comes_once_an_epoch_and_each_get_is_recorded(known: KnownSamples, trace_dir: Path) -> None:
    """Two epochs, as stored; as many operations as objects, with their bytes."""
    session = opened(usable("s3torchconnector"), _job(known, trace_dir))
    for epoch in (0, 1):
        delivered: list[bytes] = []
        for batch in session.batches(epoch):
            delivered += samples_in(batch)
            assert batch.size_bytes == batch.samples * 3000
            assert batch.dispatch_ns <= batch.fetch_start_ns < batch.fetch_end_ns <= batch.collate_end_ns
            del batch
        assert sorted(delivered) == known.contents()
    session.close()
    session.close()
    processes, caveats = raw_processes(trace_dir)
    assert caveats == []
    rows = [row for chunk in raw_spans(processes) for row in chunk.to_pylist()]
    assert [row["bytes"] for row in rows if row["kind"] == Kind.GET] == [3000] * 120


def test_an_object_that_is_missing_is_counted(known: KnownSamples, tmp_path: Path, trace_dir: Path) -> None:
    """Its batch comes without it, as with every other client."""
    (tmp_path / "buckets/bucket/store" / known.layout.path(7)).unlink()
    session = opened(usable("s3torchconnector"), _job(known, trace_dir))
    batches = [batch._replace(data=None) for batch in session.batches(0)]
    session.close()
    assert sum(batch.samples for batch in batches) == 59
    assert sum(batch.errors for batch in batches) == 1


# torch tells of a dead worker from a signal handler, which may strike while a library makes a temporary file: the file
# is then left to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_killed_worker_is_named(known: KnownSamples, trace_dir: Path) -> None:
    """Its client's threads end with it."""
    session = opened(usable("s3torchconnector"), _job(known, trace_dir, batch_size=1))
    batches = session.batches(0)
    next(batches)
    victim = session.process_ids()[0]
    os.kill(victim, signal.SIGKILL)
    with pytest.raises(WorkerDiedError, match=f"{victim}"), worker_deaths_told(session):
        for batch in batches:
            del batch
    session.close()


def test_a_store_that_is_none_of_s3_is_refused(tmp_path: Path, trace_dir: Path) -> None:
    """In one line that says what to use."""
    loader = usable("s3torchconnector")
    with pytest.raises(SpecError, match=r"it reads s3:// only, not .*; use --store s3://BUCKET/PREFIX"):
        opened(loader, known_samples(tmp_path, "files").job(trace_dir))
