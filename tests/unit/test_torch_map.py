"""The loader `torch-map`: every sample once, whole and in order, with stamps that follow each other."""

from __future__ import annotations

import itertools
import os
import pickle
from collections import Counter
from pathlib import Path

import pytest
import torch

from ioprof.contract import Batch, LoaderSession
from ioprof.errors import CaveatWarning, SpecError
from ioprof.plugins import find_loader
from ioprof.trace.kinds import Kind
from ioprof.trace.raw import kernel_io, raw_operations, raw_processes, raw_spans
from tests.small_dataset import SmallDataset, local_dataset

TORCH_MAP = find_loader("torch-map")

pytestmark = [
    pytest.mark.usefixtures("nothing_left"),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]


def _open(
    dataset: SmallDataset, trace_dir: Path, *, batch_size: int = 8, drop_last: bool = False, **params: object
) -> LoaderSession:
    job = dataset.job(trace_dir, batch_size=batch_size, drop_last=drop_last)
    return TORCH_MAP(TORCH_MAP.Params.model_validate(params)).open(job)


def _epoch(session: LoaderSession, epoch: int) -> tuple[list[Batch], list[bytes]]:
    """Return an epoch's batches and the bytes of each."""
    batches, contents = [], []
    for batch in session.batches(epoch):
        assert isinstance(batch.data, torch.Tensor)
        contents.append(batch.data.numpy().tobytes())
        batches.append(batch._replace(data=None))
        del batch
    return batches, contents


def _wanted(dataset: SmallDataset, epoch: int, batch_size: int = 8) -> list[bytes]:
    order = dataset.workload.order(epoch).tolist()
    return [
        b"".join(dataset.content(sample) for sample in order[start : start + batch_size])
        for start in range(0, len(order), batch_size)
    ]


@pytest.mark.parametrize("workers", [0, 1, 2])
@pytest.mark.parametrize("persistent", [True, False])
def test_each_epoch_delivers_every_sample_once_with_its_bytes_in_order(
    workers: int, persistent: bool, tmp_path: Path, trace_dir: Path
) -> None:
    """Compared with the content computed anew, over two epochs."""
    dataset = local_dataset(tmp_path)
    session = _open(dataset, trace_dir, workers=workers, persistent=persistent)
    for epoch in (0, 1):
        batches, contents = _epoch(session, epoch)
        assert contents == _wanted(dataset, epoch)
        assert [batch.number for batch in batches] == list(range(7 * epoch, 7 * epoch + 7))
        assert [batch.samples for batch in batches] == [8] * 6 + [2]
        assert [batch.size_bytes for batch in batches] == [len(content) for content in contents]
        assert {batch.worker for batch in batches} == (set(range(workers)) if workers else {-1})
        assert sum(batch.errors for batch in batches) == 0
    session.close()
    session.close()
    assert session.process_ids() == []


def test_more_workers_than_cpus_are_told_once_in_our_words(tmp_path: Path, trace_dir: Path) -> None:
    """With both numbers; torch's own warnings, one when it is built and one when it starts, do not appear."""
    cpus = len(os.sched_getaffinity(0))
    with pytest.warns(CaveatWarning, match=rf"^{cpus + 1} workers on {cpus} CPU") as told:
        session = _open(local_dataset(tmp_path), trace_dir, workers=cpus + 1)
        _epoch(session, 0)
    session.close()
    assert len(told) == 1


@pytest.mark.parametrize("workers", [0, 2])
def test_stamps_follow_each_other_and_the_trace_knows_the_same_reads(
    workers: int, tmp_path: Path, trace_dir: Path
) -> None:
    """Dispatch, fetch, collate; and what the workers wrote down adds up to what was delivered."""
    dataset = local_dataset(tmp_path, decode="1ms")
    session = _open(dataset, trace_dir, workers=workers)
    batches, _ = _epoch(session, 0)
    session.close()
    for batch in batches:
        assert 0 < batch.dispatch_ns <= batch.fetch_start_ns <= batch.fetch_end_ns <= batch.collate_end_ns
        assert 0 < batch.storage_ns + batch.prep_ns <= batch.fetch_end_ns - batch.fetch_start_ns
        assert batch.on_cpu_ns > 0
        assert batch.run_queue_ns >= 0
    processes, caveats = raw_processes(trace_dir)
    assert (len(processes), caveats) == (max(workers, 1), [])
    totals: Counter[Kind] = Counter()
    for row in raw_operations(processes).to_pylist():
        totals[Kind(row["kind"])] += row["count"]
    assert totals == {Kind.OPEN: 50, Kind.READ: 50, Kind.CLOSE: 50, Kind.DECODE: 50}
    in_batch: Counter[int] = Counter()
    for chunk in raw_spans(processes):
        for row in chunk.to_pylist():
            if row["kind"] != Kind.DECODE:
                in_batch[row["batch"]] += row["duration_ns"]
    assert all(abs(in_batch[batch.number] - batch.storage_ns) <= 100 for batch in batches)


def test_closing_a_session_closes_its_descriptors(tmp_path: Path, trace_dir: Path) -> None:
    """A program that runs many loaders one after the other must not run out of them."""
    before = len(os.listdir("/proc/self/fd"))
    session = _open(local_dataset(tmp_path), trace_dir, workers=0)
    _epoch(session, 0)
    session.close()
    assert len(os.listdir("/proc/self/fd")) <= before


def test_samples_of_one_size_make_a_row_each(tmp_path: Path, trace_dir: Path) -> None:
    """Others are joined end to end, because a tensor has no ragged rows."""
    same = _open(local_dataset(tmp_path, file_size="4KiB"), trace_dir, workers=0, drop_last=True)
    shapes = {tuple(batch.data.shape) for batch in same.batches(0) if isinstance(batch.data, torch.Tensor)}
    same.close()
    assert shapes == {(8, 4096)}


@pytest.mark.parametrize("workers", [0, 2])
def test_samples_that_cannot_be_read_are_left_out_and_counted(workers: int, tmp_path: Path, trace_dir: Path) -> None:
    """A missing and a truncated file cost their samples, and nothing else; a batch of nothing is still a batch."""
    dataset = local_dataset(tmp_path, files=6, shuffle=False)
    for gone in (0, 1):
        dataset.store.unlink(dataset.path(gone))
    dataset.store.write(dataset.path(2), b"x")
    session = _open(dataset, trace_dir, workers=workers, batch_size=2)
    batches, contents = _epoch(session, 0)
    session.close()
    assert [(batch.samples, batch.errors) for batch in batches] == [(0, 2), (1, 1), (2, 0)]
    assert contents[1:] == [dataset.content(3), dataset.content(4) + dataset.content(5)]


@pytest.mark.parametrize("workers", [0, 2])
def test_it_stops_dispatching_when_asked_and_can_be_closed_half_way(
    workers: int, tmp_path: Path, trace_dir: Path
) -> None:
    """What is in flight is delivered; closing in the middle of an epoch leaves no process and no shared memory."""
    dataset = local_dataset(tmp_path, files=400, file_size="1KiB")
    seen: list[int] = []
    job = dataset.job(trace_dir, stop_requested=lambda: len(seen) >= 3)
    session = TORCH_MAP(TORCH_MAP.Params.model_validate({"workers": workers})).open(job)
    for batch in session.batches(0):
        seen.append(batch.number)
        del batch
    assert seen == list(range(len(seen)))
    assert 3 <= len(seen) <= 3 + 2 * workers
    session.close()
    again = _open(dataset, trace_dir.parent, workers=workers)
    assert next(iter(again.batches(0))).number == 0
    again.close()
    assert again.process_ids() == []


@pytest.mark.parametrize("batches", [2, None])
def test_what_the_process_reads_after_the_last_batch_is_not_the_loaders(
    batches: int | None, tmp_path: Path, trace_dir: Path
) -> None:
    """A checkpoint that is restored, after a whole epoch or part of one, stays out of the kernel's count."""
    restored = tmp_path / "restored"
    restored.write_bytes(bytes(8 << 20))
    session = _open(local_dataset(tmp_path, files=40, file_size="1KiB"), trace_dir, workers=0)
    delivered = sum(batch.samples for batch in itertools.islice(session.batches(0), batches))
    restored.read_bytes()
    session.close()
    found = kernel_io(raw_processes(trace_dir)[0])
    assert found is not None
    assert [one.tapped_bytes for one in found] == [delivered << 10]
    assert found[0].rchar_bytes < 1 << 20


def test_out_of_order_delivery_still_delivers_everything_once(tmp_path: Path, trace_dir: Path) -> None:
    """Numbers may come in any order, none twice and none missing."""
    dataset = local_dataset(tmp_path)
    session = _open(dataset, trace_dir, workers=2, in_order=False)
    batches, contents = _epoch(session, 0)
    session.close()
    wanted = _wanted(dataset, 0)
    assert sorted(batch.number for batch in batches) == list(range(7))
    assert all(content == wanted[batch.number] for batch, content in zip(batches, contents, strict=True))


def test_pinning_without_a_device_is_refused() -> None:
    """Torch would only warn, and the run would measure something else."""
    if torch.cuda.is_available():
        pytest.skip("this host has a CUDA device")
    with pytest.raises(SpecError, match=r"loader\.pin = true: .* this host has none"):
        TORCH_MAP(TORCH_MAP.Params.model_validate({"pin": True}))


def test_what_goes_to_workers_is_a_few_hundred_bytes(tmp_path: Path, trace_dir: Path) -> None:
    """A million files must not travel to each worker as a million names."""
    job = local_dataset(tmp_path).job(trace_dir).worker
    reader = job.source
    assert len(pickle.dumps(reader)) - len(pickle.dumps(reader._sizes)) < 2000  # type: ignore[attr-defined]
