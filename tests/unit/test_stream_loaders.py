"""Loaders that deliver streams: every sample once over all workers and ranks, whatever their number."""

from __future__ import annotations

import itertools
import os
import signal
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from ioprof.loaders.stream_batches import PartBatches
from ioprof.loaders.torch_iterable_session import Delivered

from ioprof.clock import now_ns
from ioprof.contract import Batch, LoaderSession, LoadJob, Part, WorkerJob
from ioprof.errors import RunError, WorkerDiedError
from ioprof.plugins import find_loader
from ioprof.runner.worker_death import worker_deaths_told
from ioprof.store.local import LocalStore
from ioprof.store.tap import Tap
from ioprof.trace.batch_trace import BatchStamps, BatchTrace
from ioprof.trace.kinds import Kind
from ioprof.trace.raw import kernel_io, raw_processes, raw_spans
from tests.small_stream import local_stream
from tests.stream_plugin import BrokenStreamError

LOADERS = ["processes", "torch-iterable"]

pytestmark = [
    pytest.mark.usefixtures("nothing_left"),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
    pytest.mark.filterwarnings(r"ignore:\d+ workers on .*:ioprof.errors.CaveatWarning"),
]


def _open(loader: str, job: LoadJob, **params: object) -> LoaderSession:
    found = find_loader(loader)
    return found(found.Params.model_validate(params)).open(job)


def _epoch(session: LoaderSession, epoch: int) -> list[Batch]:
    """Return an epoch's batches without their data."""
    batches = []
    for batch in session.batches(epoch):
        batches.append(batch._replace(data=None))
        del batch
    return batches


def _read_in_batch(trace_dir: Path) -> dict[int, list[int]]:
    """Return which objects each batch read, in order."""
    processes, caveats = raw_processes(trace_dir)
    assert caveats == []
    found: dict[int, list[int]] = {}
    for chunk in raw_spans(processes):
        for row in chunk.to_pylist():
            if row["kind"] == Kind.READ:
                found.setdefault(row["batch"], []).append(row["object"])
    return found


@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.parametrize(("files", "workers", "world_size"), [(50, 2, 1), (53, 3, 1), (41, 2, 3), (3, 4, 1), (1, 1, 2)])
def test_every_sample_comes_once_an_epoch_over_all_ranks_and_workers(
    loader: str, files: int, workers: int, world_size: int, tmp_path: Path, trace_dir: Path
) -> None:
    """Also where the parts are not equally large, and where some are empty; numbers rise, and no two are equal."""
    dataset = local_stream(tmp_path, files=files)
    samples, total_bytes = 0, 0
    read: Counter[int] = Counter()
    for rank in range(world_size):
        own = trace_dir / str(rank)
        own.mkdir()
        session = _open(loader, dataset.job(own, drop_last=False, rank=rank, world_size=world_size), workers=workers)
        batches = [batch for epoch in (0, 1) for batch in _epoch(session, epoch)]
        session.close()
        assert session.process_ids() == []
        numbers = [batch.number for batch in batches]
        assert numbers == sorted(set(numbers))
        samples += sum(batch.samples for batch in batches)
        total_bytes += sum(batch.size_bytes for batch in batches)
        in_batch = _read_in_batch(own)
        assert {number: len(objects) for number, objects in in_batch.items()} == {
            batch.number: batch.samples for batch in batches
        }
        read.update(obj for objects in in_batch.values() for obj in objects)
    assert samples == 2 * files
    assert total_bytes == 2 * sum(dataset.sizes.sizes_bytes)
    assert read == Counter(dict.fromkeys(range(files), 2))


@pytest.mark.parametrize("workers", [0, 1, 2])
@pytest.mark.parametrize("persistent", [True, False])
def test_torch_delivers_the_bytes_of_a_stream_and_its_workers_know_the_epoch(
    workers: int, persistent: bool, tmp_path: Path, trace_dir: Path
) -> None:
    """Worker after worker; the parts change places with the epoch, which workers that stay must be told."""
    dataset = local_stream(tmp_path, files=32)
    session = _open("torch-iterable", dataset.job(trace_dir, batch_size=4), workers=workers, persistent=persistent)
    parts = max(1, workers)
    for epoch in (0, 1, 2):
        got = []
        for batch in session.batches(epoch):
            assert isinstance(batch.data, torch.Tensor)
            got.append((batch.worker, batch.data.numpy().tobytes()))
            del batch
        of_part = [list(range((part + epoch) % parts, 32, parts)) for part in range(parts)]
        assert got == [
            (worker if workers else -1, b"".join(map(dataset.content, of_part[worker][start : start + 4])))
            for start in range(0, 32 // parts, 4)
            for worker in range(parts)
        ]
    session.close()
    session.close()
    assert session.process_ids() == []


def test_out_of_order_delivery_still_delivers_everything_once(tmp_path: Path, trace_dir: Path) -> None:
    """Numbers may come in any order, none twice; the next epoch's lie above them."""
    session = _open("torch-iterable", local_stream(tmp_path).job(trace_dir, drop_last=False), in_order=False)
    highest = -1
    for epoch in (0, 1):
        batches = _epoch(session, epoch)
        numbers = {batch.number for batch in batches}
        assert sum(batch.samples for batch in batches) == 50
        assert len(numbers) == len(batches) == 8
        assert min(numbers) > highest
        assert all(0 < batch.dispatch_ns <= batch.fetch_start_ns for batch in batches)
        highest = max(numbers)
    session.close()


@pytest.mark.parametrize("loader", LOADERS)
def test_drop_last_leaves_out_the_incomplete_batch_of_every_worker(
    loader: str, tmp_path: Path, trace_dir: Path
) -> None:
    """25 and 25 of 50 samples by 8 are 3 batches each; what was read for the others belongs to no delivered batch."""
    session = _open(loader, local_stream(tmp_path).job(trace_dir), workers=2)
    for epoch in (0, 1):
        batches = _epoch(session, epoch)
        assert [batch.samples for batch in batches] == [8] * 6
        assert [batch.worker for batch in batches] == [0, 1] * 3
        read = _read_in_batch(trace_dir)
        assert all(len(read[batch.number]) == 8 for batch in batches)
    session.close()
    assert sum(map(len, _read_in_batch(trace_dir).values())) == 100


@pytest.mark.parametrize("loader", LOADERS)
def test_a_worker_that_is_through_drops_out(loader: str, tmp_path: Path, trace_dir: Path) -> None:
    """Where one part has all samples, its worker delivers them all, and the others none."""
    session = _open(loader, local_stream(tmp_path, one_part=True).job(trace_dir, drop_last=False), workers=3)
    for epoch in (0, 1):
        batches = _epoch(session, epoch)
        assert [(batch.worker, batch.samples) for batch in batches] == [(0, 8)] * 6 + [(0, 2)], epoch
    session.close()


@pytest.mark.parametrize("loader", LOADERS)
def test_what_a_shuffle_buffer_reads_ahead_belongs_to_the_batch_that_waited_for_it(
    loader: str, tmp_path: Path, trace_dir: Path
) -> None:
    """The first batch of a worker reads the buffer and its own samples, the last ones nothing any more."""
    session = _open(loader, local_stream(tmp_path, files=40, buffer=12).job(trace_dir), workers=1)
    batches = _epoch(session, 0)
    session.close()
    read = _read_in_batch(trace_dir)
    assert [len(read.get(batch.number, [])) for batch in batches] == [8 + 12, 8, 8, 4, 0]
    assert [batch.samples for batch in batches] == [8] * 5
    assert batches[0].size_bytes > 0
    assert batches[4].size_bytes == 0


@pytest.mark.parametrize(("workers", "prefetch"), [(1, 1), (2, 2), (2, 1)])
@pytest.mark.parametrize("loader", LOADERS)
def test_stamps_follow_each_other_from_the_delivery_that_made_room(
    loader: str, workers: int, prefetch: int, tmp_path: Path, trace_dir: Path
) -> None:
    """Batch k is asked for when k - workers x prefetch is received, or when the epoch starts, and not earlier."""
    dataset = local_stream(tmp_path, files=96)
    session = _open(loader, dataset.job(trace_dir, batch_size=4), workers=workers, prefetch=prefetch)
    batches: list[Batch] = []
    asked_ns, got_ns = [], []
    source = session.batches(0)
    for _ in range(24):
        asked_ns.append(now_ns())
        batches.append(next(source)._replace(data=None))
        got_ns.append(now_ns())
    session.close()
    for place, batch in enumerate(batches):
        before = max(0, place - workers * prefetch)
        assert asked_ns[before] <= batch.dispatch_ns <= got_ns[before]
        assert batch.dispatch_ns <= batch.fetch_start_ns <= batch.fetch_end_ns <= batch.collate_end_ns
        assert 0 < batch.storage_ns <= batch.fetch_end_ns - batch.fetch_start_ns


@pytest.mark.parametrize("loader", LOADERS)
def test_it_stops_when_it_is_asked_to_with_what_is_under_way(loader: str, tmp_path: Path, trace_dir: Path) -> None:
    """A stream of hundreds of batches ends after a few; the session closes, and leaves nothing."""
    seen: list[int] = []
    job = local_stream(tmp_path, files=800, file_size="1KiB").job(trace_dir, stop_requested=lambda: len(seen) >= 3)
    session = _open(loader, job, workers=2)
    for batch in session.batches(0):
        seen.append(batch.number)
        del batch
    assert 3 <= len(seen) <= 3 + 2 * 2 + 2
    session.close()
    assert session.process_ids() == []


@pytest.mark.parametrize(
    ("loader", "params"),
    [
        ("processes", {"workers": 2}),
        ("torch-iterable", {"workers": 0}),
        ("torch-iterable", {"workers": 2}),
        ("torch-iterable", {"workers": 2, "persistent": False}),
    ],
)
def test_an_epoch_that_was_left_half_way_does_not_show_in_the_next(
    loader: str, params: dict[str, object], tmp_path: Path, trace_dir: Path
) -> None:
    """Its batches are made again under other numbers, from the start of the stream."""
    session = _open(loader, local_stream(tmp_path).job(trace_dir, drop_last=False), **params)
    left = session.batches(0)
    made = {next(left).number, next(left).number}
    left.close()  # type: ignore[attr-defined]
    batches = _epoch(session, 0)
    assert sum(batch.samples for batch in batches) == 50
    assert not made & {batch.number for batch in batches}
    read = _read_in_batch(trace_dir)
    assert Counter(sample for batch in batches for sample in read[batch.number]) == Counter(range(50))
    half_way = session.batches(1)
    next(half_way)
    session.close()
    assert session.process_ids() == []


@pytest.mark.parametrize("batches", [2, None])
def test_what_the_process_reads_after_the_last_batch_is_not_the_streams(
    batches: int | None, tmp_path: Path, trace_dir: Path
) -> None:
    """A checkpoint that is restored, after a whole epoch or part of one, stays out of the kernel's count."""
    restored = tmp_path / "restored"
    restored.write_bytes(bytes(8 << 20))
    session = _open("torch-iterable", local_stream(tmp_path).job(trace_dir), workers=0)
    delivered = sum(batch.size_bytes for batch in itertools.islice(session.batches(0), batches))
    restored.read_bytes()
    session.close()
    found = kernel_io(raw_processes(trace_dir)[0])
    assert found is not None
    assert found[0].tapped_bytes >= delivered > 0
    assert found[0].rchar_bytes < 1 << 20


@pytest.mark.parametrize("loader", LOADERS)
def test_samples_that_cannot_be_read_are_left_out_and_counted(loader: str, tmp_path: Path, trace_dir: Path) -> None:
    """A batch is filled with others; where nothing at all can be read, the errors still reach the consumer."""
    dataset = local_stream(tmp_path, files=24)
    for obj in (1, 2, 5):
        dataset.store.unlink(dataset.workload.layout().path(obj))
    session = _open(loader, dataset.job(trace_dir), workers=1)
    assert [(batch.samples, batch.errors) for batch in _epoch(session, 0)] == [(8, 3), (8, 0)]
    for obj in set(range(24)) - {1, 2, 5}:
        dataset.store.unlink(dataset.workload.layout().path(obj))
    assert [(batch.samples, batch.errors) for batch in _epoch(session, 1)] == [(0, 24)]
    session.close()


@pytest.mark.parametrize(
    ("loader", "workers"), [("processes", 1), ("processes", 2), ("torch-iterable", 0), ("torch-iterable", 2)]
)
def test_what_breaks_in_a_stream_is_raised_in_the_consumer(
    loader: str, workers: int, tmp_path: Path, trace_dir: Path
) -> None:
    """With its own words in the last line; closing afterwards leaves nothing."""
    session = _open(loader, local_stream(tmp_path, fail_at=21).job(trace_dir, batch_size=4), workers=workers)
    with pytest.raises((RunError, BrokenStreamError)) as caught:
        _epoch(session, 0)
    assert "sample 21 is broken" in str(caught.value).splitlines()[-1]
    session.close()
    assert session.process_ids() == []


@pytest.mark.parametrize("loader", LOADERS)
def test_a_killed_worker_is_found(loader: str, tmp_path: Path, trace_dir: Path) -> None:
    """Whatever the consumer sees of it, the session tells who died and of what."""
    session = _open(loader, local_stream(tmp_path, files=800, file_size="1KiB").job(trace_dir), workers=2)
    batches = session.batches(0)
    next(batches)
    victim = sorted(session.process_ids())[1]
    os.kill(victim, signal.SIGKILL)
    # torch raises from a signal handler, anywhere: the runner is ready for that.
    with pytest.raises(WorkerDiedError, match=rf"^worker \d \(pid {victim}\) was ended by SIGKILL; "), \
            worker_deaths_told(session):  # fmt: skip
        for batch in batches:
            del batch
    session.close()
    assert session.process_ids() == []


@dataclass(frozen=True)
class _Numbered:
    """A stream of numbers; some samples fail; picklable."""

    samples_of: Callable[[int, Part], Iterator[int]]
    failing: frozenset[int]

    def samples(self, tap: Tap, epoch: int, part: Part) -> Iterator[bytes]:
        """Yield each number as text."""
        for sample in self.samples_of(epoch, part):
            if sample in self.failing:
                tap.lose(1)
            else:
                yield str(sample).encode()


@settings(max_examples=60)
@given(
    sizes=st.lists(st.integers(0, 40), min_size=1, max_size=5),
    batch_size=st.integers(1, 9),
    drop_last=st.booleans(),
    failing=st.frozensets(st.integers(0, 120), max_size=40),
)
def test_parts_of_any_size_become_batches_that_hold_each_sample_once(
    sizes: list[int], batch_size: int, drop_last: bool, failing: frozenset[int]
) -> None:
    """All batches but a part's last are full; without drop_last none is lost, with it less than a batch of each part.

    Every failed sample is counted in some batch, or was left out with an incomplete one.
    """
    starts = [sum(sizes[:part]) for part in range(len(sizes))]
    stream = _Numbered(lambda _, part: iter(range(starts[part.index], starts[part.index] + sizes[part.index])), failing)
    with tempfile.TemporaryDirectory() as folder:
        job = WorkerJob(source=stream, store=LocalStore(folder), trace_dir=folder, rank=0, warmup_batches=0,
                        span_budget=1000)  # fmt: skip
        trace = BatchTrace(job, 0)
        for index, size in enumerate(sizes):
            part = Part(index=index, count=len(sizes))
            batches = PartBatches(trace, stream, 0, part, batch_size=batch_size, drop_last=drop_last)
            got: list[list[bytes | memoryview]] = []
            errors = 0
            while (samples := batches.next_samples(len(got))) is not None:
                got.append(samples)
                errors += trace.end(len(samples)).errors
            assert batches.next_samples(99) is None
            own = range(starts[index], starts[index] + size)
            good = [str(sample).encode() for sample in own if sample not in failing]
            delivered = [sample for samples in got for sample in samples]
            assert delivered == good[: len(delivered)]
            assert all(len(samples) == batch_size for samples in got[:-1])
            lost = size - len(delivered) - errors
            assert 0 <= lost < (batch_size if drop_last else 1)
        trace.close()


@settings(max_examples=200)
@given(
    made=st.lists(st.integers(0, 12), min_size=1, max_size=5),
    prefetch=st.integers(1, 4),
    left_after=st.none() | st.integers(0, 30),
)
def test_numbers_of_an_epoch_lie_above_all_that_workers_used_before(
    made: list[int], prefetch: int, left_after: int | None
) -> None:
    """Whether it was delivered to its end, each worker having begun one more batch, or left half-way."""
    workers = len(made)
    delivered = Delivered(100, workers, prefetch)
    in_order = sorted(
        (100 + index * workers + worker, worker) for worker in range(workers) for index in range(made[worker])
    )
    received = [0] * workers
    for number, worker in in_order[:left_after]:
        delivered.dispatch_ns(BatchStamps(worker, number, 1, 1, 0, *[now_ns()] * 3, 0, 0, 0, 0))
        received[worker] += 1
    if left_after is None:
        delivered.through()
        used = [100 + made[worker] * workers + worker for worker in range(workers)]
    else:
        begun = [min(made[worker], received[worker] + prefetch) for worker in range(workers)]
        used = [100 + begun[worker] * workers + worker for worker in range(workers)]
    assert delivered.next_number() > max(used)
    if left_after is None:
        assert delivered.next_number() <= max(used) + workers
