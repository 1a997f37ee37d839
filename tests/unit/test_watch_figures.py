"""What is recorded of a watched loader is what happened."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader

import ioprof
from ioprof.analysis.answer import verdict_alone
from ioprof.api import load
from ioprof.trace.reader import load_trace
from ioprof.watcher.session import WatchSession
from ioprof.watcher.timeline import EventTimeline
from tests.watched_loaders import Numbers, Stream, trace_of

MS = 1_000_000


class Files(Numbers):
    """Sample i is read from a file."""

    def __init__(self, folder: Path, count: int) -> None:
        super().__init__(count)
        self.paths = [folder / f"{number}.bin" for number in range(count)]

    def __getitem__(self, index: int) -> torch.Tensor:
        with self.paths[index].open("rb", buffering=0) as file:
            return torch.tensor(len(file.read(1 << 16)))


@pytest.mark.alone
@pytest.mark.parametrize("workers", [0, 1])
def test_waiting_for_a_slow_dataset_is_charged_to_the_dataset(workers: int, tmp_path: Path) -> None:
    """The parts sum to the idle time, the dataset has nearly all of it, and the kernel says that it was blocked."""
    loader = DataLoader(Numbers(40, slow_s=0.004), batch_size=2, num_workers=workers)
    with ioprof.watch(loader, results=tmp_path, warmup=2) as watched:
        for _ in watched:
            pass
    summary = load(watched.directory, verdict_alone).summary
    assert summary.steps == 18
    assert summary.idle_by_cause is not None
    assert summary.idle_s == pytest.approx(summary.idle_by_cause.total(), rel=1e-3)
    assert summary.idle_by_cause.dataset > 0.8 * summary.idle_s
    spent = (summary.idle_by_cause_spent or {})["dataset"]
    assert spent is not None
    assert spent.blocked_s > 0.5 * summary.idle_by_cause.dataset


@pytest.mark.parametrize("workers", [0, 1])
def test_what_a_dataset_reads_is_counted_to_the_byte(workers: int, tmp_path: Path) -> None:
    """Opens, reads and bytes of files of known sizes; the kernel's count of the worker agrees."""
    dataset = Files(tmp_path, 48)
    for number, path in enumerate(dataset.paths):
        path.write_bytes(bytes(30_000 + number))
    with ioprof.watch(DataLoader(dataset, batch_size=4, num_workers=workers), results=tmp_path / "r") as watched:
        sizes = [int(size) for batch in watched for size in batch]
    summary = load(watched.directory, verdict_alone).summary
    batches = trace_of(watched).batches
    assert sum(batches["bytes"].to_pylist()) == sum(sizes) == sum(path.stat().st_size for path in dataset.paths)
    opened = summary.operations["open"]
    assert opened.count == 4 * summary.steps
    assert summary.coverage.ratio == pytest.approx(1.0, abs=0.02)


def test_stamps_of_a_batch_follow_its_way(tmp_path: Path) -> None:
    """Dispatched, fetched, collated, received; and by the worker that made it, in a number of its own."""
    for dataset in (Numbers(24), Stream(24)):
        with ioprof.watch(DataLoader(dataset, batch_size=2, num_workers=2), results=tmp_path) as watched:
            for _ in range(2):
                for _ in watched:
                    time.sleep(0.001)
        batches = trace_of(watched).batches.to_pylist()
        assert {batch["worker"] for batch in batches} == {0, 1}
        assert len({batch["batch"] for batch in batches}) == len(batches) >= 20
        for batch in batches:
            way = [batch[f"{name}_ns"] for name in ("dispatch", "fetch_start", "fetch_end", "collate_end", "received")]
            assert way == sorted(way)
            assert batch["samples"] in (1, 2)


def test_another_loaders_turn_is_neither_busy_nor_idle(tmp_path: Path) -> None:
    """Validation in the middle of training is no step of the training, and has a run directory of its own below."""
    train, validate = DataLoader(Numbers(12), batch_size=2), DataLoader(Numbers(6), batch_size=2)
    session = WatchSession(tmp_path, label="two", warmup=0, device="auto")
    session.attach(train)
    session.attach(validate)
    for number, _ in enumerate(train):
        if number == 2:
            for _ in validate:
                time.sleep(0.05)
    directory = session.close()
    assert directory is not None
    steps = load_trace(directory).steps.to_pylist()
    assert len(steps) == 6
    assert max(step["busy_end_ns"] - step["busy_start_ns"] for step in steps) < 40 * MS
    assert load(directory, verdict_alone).summary.wall_s < 0.1
    below = load_trace(next((directory / "loaders").iterdir()))
    assert below.steps.num_rows == 3
    assert below.host is not None
    assert below.host.num_rows


def test_an_iterable_is_seen_from_outside(tmp_path: Path) -> None:
    """What a generator does is accounted to the loop's own thread, and predictions say what they miss."""

    def batches() -> Iterator[list[int]]:
        for number in range(40):
            time.sleep(0.002)
            yield [number] * 3

    with ioprof.watch(batches(), results=tmp_path, warmup=2) as watched:
        for _ in watched:
            time.sleep(0.001)
    run = watched.run
    assert (run.record.loader, run.summary.steps, run.summary.samples) == ("generator", 38, 114)
    assert run.summary.idle_by_cause is not None
    assert run.summary.idle_by_cause.dataset > 0.6 * run.summary.idle_s
    assert "cannot be seen from outside" in run.summary.reasons["findings"]


class _Event:
    """An event of a device whose clock runs in milliseconds."""

    def __init__(self, at_ms: float, now_ms: Callable[[], float]) -> None:
        self.at_ms, self._now_ms = at_ms, now_ms

    def query(self) -> bool:
        return self._now_ms() >= self.at_ms

    def synchronize(self) -> None:
        pass

    def elapsed_time(self, end: _Event, /) -> float:
        return end.at_ms - self.at_ms


def test_a_device_behind_the_loop_is_busy_until_its_events_say_otherwise() -> None:
    """The loop asks early and the device works on; it is idle only from its last event to the next batch's first."""
    host_ms, device_ms = [0.0], [0.0]

    def record() -> _Event:
        device_ms[0] = max(device_ms[0], host_ms[0])
        return _Event(device_ms[0], lambda: host_ms[0])

    line = EventTimeline("a device", record)

    def mark(at_ms: float, *, is_start: bool) -> None:
        host_ms[0] = at_ms
        line.mark(round(at_ms * MS), is_start=is_start)

    mark(10, is_start=True)
    device_ms[0] += 30  # what the loop launches for the first batch keeps the device busy until 40
    mark(11, is_start=False)
    assert line.reached() == [10 * MS]
    mark(20, is_start=True)  # received early: the device begins on it at 40
    device_ms[0] += 5
    mark(21, is_start=False)
    mark(60, is_start=True)  # received late: the device stood idle from 45 to 60
    assert line.reached() == [40 * MS, 40 * MS, 45 * MS, 60 * MS]
    mark(61, is_start=False)
    assert line.reached(wait=True) == [61 * MS]
