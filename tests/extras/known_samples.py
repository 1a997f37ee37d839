"""Datasets whose every sample is known, in the formats that workloads prepare, and what loaders deliver of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ioprof.contract import Batch, Layout, Loader, LoaderSession, LoadJob, StoredSamples, WorkerJob
from ioprof.dataset.content import Content
from ioprof.plugins import find_loader, find_workload, list_loaders
from ioprof.store.base import Store
from ioprof.store.local import LocalStore
from tests.small_dataset import KnownSizes

NEEDED = "IOPROF_EXTRAS_NEEDED"
"""Variable of the environment that names the loaders whose libraries are installed."""
SAMPLE_BYTES = 3000
SEED = 7
FILES = 60
SHARDS = {"shards": 4, "samples_per_shard": 15, "shuffle_buffer": 8, "row_group": 5, "columns": 3, "read_size": "4KiB"}


def usable(name: str) -> type[Loader]:
    """Return a loader; skip the test, with the command that brings its library, where that is missing.

    Where the environment says that the loader is there (`NEEDED`), the test fails instead.
    """
    missing = {one.name: one.missing for one in list_loaders()}[name]
    if missing is not None:
        give_up = pytest.fail if name in os.environ.get(NEEDED, "").split() else pytest.skip
        give_up(f"loader '{name}' {missing}")
    return find_loader(name)


class KnownSamples:
    """Sixty samples of one size on a store: as files, or in four shards."""

    def __init__(self, store: Store, stored_format: str) -> None:
        self.store = store
        self.count = FILES
        size = f"{SAMPLE_BYTES}B"
        if stored_format == "files":
            found = find_workload("small-files")
            values = {"files": FILES, "file_size": size, "files_per_dir": 20}
        else:
            found = find_workload("streaming-shards")
            values = {**SHARDS, "format": stored_format, "sample_size": size}
        self.workload = found(found.Params.model_validate(values), SEED)
        self.layout: Layout = self.workload.layout()
        self.sizes = KnownSizes([int(size) for size in self.layout.sizes(0, self.layout.count)])
        store.make_dir("")
        for directory in self.layout.directories():
            store.make_dir(directory)
        for obj in range(self.layout.count):
            store.write(self.layout.path(obj), bytes(self.layout.render(obj, self.sizes.sizes_bytes[obj])))

    def contents(self) -> list[bytes]:
        """Return what the samples hold, made anew, sorted."""
        content = Content(SEED)
        return sorted(bytes(content.render(sample, SAMPLE_BYTES)) for sample in range(self.count))

    def job(
        self, trace_dir: Path, *, batch_size: int = 8, stop_requested: Callable[[], bool] = lambda: False
    ) -> LoadJob:
        """Return the job of reading it all."""
        is_map = self.workload.access == "map"
        worker = WorkerJob(
            source=self.workload.reader(self.sizes) if is_map else self.workload.stream(self.sizes),
            store=self.store,
            trace_dir=str(trace_dir),
            rank=0,
            warmup_batches=1,
            span_budget=10**6,
            overhead_budget=1.0,
        )
        return LoadJob(
            worker=worker,
            order=self.workload.order if is_map else None,
            samples=self.count,
            batch_size=batch_size,
            drop_last=False,
            stop_requested=stop_requested,
            stored=self.stored(),
        )

    def stored(self) -> StoredSamples:
        """Return how the samples stand."""
        return self.workload.stored_samples(self.sizes)

    def broken_job(self, trace_dir: Path) -> LoadJob:
        """Return a job in which decoding a sample raises what no loader expects, for libraries that call the reader."""
        job = self.job(trace_dir)
        return replace(
            job,
            worker=replace(job.worker, source=BrokenReader()),
            stored=replace(self.stored(), decode=broken_decode),
        )


class BrokenError(Exception):
    """What a user's own code might raise."""


class BrokenReader:
    """Fails at sample 40, whoever asks for it; picklable."""

    def read(self, tap: object, samples: Sequence[int]) -> Sequence[bytes]:
        """Return samples of four bytes.

        Raises:
            BrokenError: sample 40 is among them.
        """
        if 40 in samples:
            raise BrokenError("sample 40 is not what it should be")
        return [b"abcd" for _ in samples]


def broken_decode(content: bytes | memoryview) -> bytes | memoryview:
    """Fail at one sample of many."""
    if content[0] == 40:
        raise BrokenError("sample 40 is not what it should be")
    return content


def known_samples(folder: Path, stored_format: str) -> KnownSamples:
    """Return the samples in a new folder."""
    return KnownSamples(LocalStore(str(folder / "store")), stored_format)


def opened(loader: type[Loader], job: LoadJob, **params: object) -> LoaderSession:
    """Return the open session of a loader with these knobs, its library imported as a run imports it."""
    made = loader(loader.Params.model_validate(params))
    made.load()
    return made.open(job)


def samples_in(batch: Batch) -> list[bytes]:
    """Return the samples of a batch: the rows of its one tensor."""
    assert isinstance(batch.data, torch.Tensor)
    assert batch.data.dtype == torch.uint8
    assert batch.data.shape == (batch.samples, SAMPLE_BYTES)
    return [row.numpy().tobytes() for row in batch.data]
