"""What the page cache held before each read: exact where every batch is asked about, and never in the latencies."""

from __future__ import annotations

import itertools
import math
import os
from pathlib import Path

import pytest

from ioprof.host.residency import METHODS, PAGE_BYTES, Method
from ioprof.host.store_facts import store_facts
from ioprof.store.cache_witness import CacheWitness
from ioprof.store.direct_file import AlignedBuffer
from ioprof.store.local import LocalStore
from ioprof.store.local_tap import LocalTap
from ioprof.trace.kinds import Kind, Phase
from ioprof.trace.raw import cache_counts, raw_processes, raw_spans
from ioprof.trace.recorder import Recorder
from ioprof.trace.run_record import CacheCounts

SIZES = [1, 5000, 4096, 3 * 4096]
PAGES = [1, 2, 1, 3]


class Bench:
    """Four files on the device, evicted, and the tap that reads them."""

    def __init__(self, folder: Path, *, budget: float = math.inf, methods: tuple[Method, ...] = METHODS) -> None:
        if store_facts(folder)["is_memory"]:
            pytest.skip("files here live in memory: nothing can be evicted")
        self.folder = folder
        for index, size_bytes in enumerate(SIZES):
            (folder / str(index)).write_bytes(os.urandom(size_bytes))
            self.evict(index)
        self.trace = folder / "trace"
        self.trace.mkdir()
        self.recorder = Recorder(str(self.trace), rank=0, worker=0, span_budget=10**6)
        self.tap = LocalTap(LocalStore(str(folder)), self.recorder)
        self.tap.witness = self.witness = CacheWitness(self.recorder, methods=methods)
        self.witness.budget = budget

    def evict(self, index: int) -> None:
        """Write a file back and take it out of the page cache."""
        fd = os.open(self.folder / str(index), os.O_RDWR)
        os.fsync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(fd)

    def begin(self, number: int = 0) -> None:
        """Begin a measured batch."""
        self.recorder.begin(int(Phase.STEADY), batch=number)
        self.witness.begin(number)

    def end(self, made_ns: int = 10**6) -> int:
        """End it; return its bytes that were cached."""
        self.recorder.end()
        return self.witness.end(made_ns)

    def read(self, *indices: int) -> None:
        """Read whole files."""
        self.tap.read_objects([f"{self.tap.root}{i}" for i in indices], [SIZES[i] for i in indices], indices)

    def counts(self) -> CacheCounts:
        """Return what was counted."""
        (found,) = cache_counts(raw_processes(self.trace)[0])
        return found

    def hits(self) -> list[bool | None]:
        """Return the column of all spans that read."""
        rows = [row for chunk in raw_spans(raw_processes(self.trace)[0]) for row in chunk.to_pylist()]
        rows.sort(key=lambda row: int(row["start_ns"]))
        assert all(row["client_hit"] is None for row in rows if row["kind"] != Kind.READ)
        return [row["client_hit"] for row in rows if row["kind"] == Kind.READ]


@pytest.mark.usefixtures("reads")
@pytest.mark.parametrize("method", ["cachestat", "mincore"])
def test_objects_are_counted_as_they_were_before_the_read(tmp_path: Path, method: Method) -> None:
    """Cold, then warm by that very read; half-cached is no hit, and its cached page counts all the same."""
    bench = Bench(tmp_path, methods=(method,))
    bench.begin()
    bench.read(0, 1, 2)
    assert bench.end() == 0
    bench.begin(1)
    bench.read(0, 1)
    assert bench.end() == SIZES[0] + SIZES[1]
    with (tmp_path / "3").open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
        os.pread(file.fileno(), 1, 0)
    bench.begin(2)
    bench.read(3)
    assert bench.end() == PAGE_BYTES
    found = bench.counts()
    assert (found.method, found.batches, found.asked_batches, found.unanswered) == (method, 3, 3, 0)
    assert (found.objects, found.object_pages, found.object_hits) == (6, 10, 4)
    assert (found.all_object_pages, found.all_object_hits, found.ranges) == (10, 4, 0)
    assert bench.hits() == [False] * 3 + [True] * 2 + [False]
    assert found.cost_ns > 0


def test_the_rough_way_finds_what_is_cached(tmp_path: Path) -> None:
    """What was just read is there for it too; what it finds of cold files depends on the device's haste."""
    bench = Bench(tmp_path, methods=("rwf_nowait",))
    for number in range(2):
        bench.begin(number)
        bench.read(0, 1, 2, 3)
        hit_bytes = bench.end()
    assert (hit_bytes, bench.counts().method) == (sum(SIZES), "rwf_nowait")


def test_ranges_are_counted_apart_and_direct_reads_never_hit(tmp_path: Path) -> None:
    """The second page of a file whose first was read; and the same file around the page cache, though it is cached."""
    bench = Bench(tmp_path)
    bench.begin()
    with bench.tap.open_file("3") as file:
        os.posix_fadvise(file.descriptor, 0, 0, os.POSIX_FADV_RANDOM)
        file.read_at(0, 10)
        file.read_at(4000, 200)
        file.read_at(0, 4096)
    with bench.tap.open_direct("3", 3, buffer=AlignedBuffer(), block_bytes=4096) as file:
        file.read_at(0, 4096)
    assert bench.end() == 100 + 4096
    found = bench.counts()
    assert (found.ranges, found.range_pages, found.range_hits) == (3, 4, 2)
    assert (found.objects, found.object_pages, found.object_hits) == (1, 1, 0)
    assert bench.hits() == [False, False, True, False]


@pytest.mark.usefixtures("reads")
def test_an_object_that_fails_is_left_out_and_takes_no_answer_with_it(tmp_path: Path) -> None:
    """Missing, or shorter than it should be: those after it keep their own answers."""
    bench = Bench(tmp_path)
    (tmp_path / "3").write_bytes(b"short")
    (tmp_path / "0").unlink()
    (tmp_path / "2").read_bytes()
    bench.begin()
    bench.read(1, 0, 3, 2)
    assert bench.end() == SIZES[2]
    assert (bench.counts().objects, bench.counts().object_hits, bench.tap.failed_samples) == (2, 1, 2)
    assert bench.hits() == [False, None, True]


def test_where_nothing_answers_hits_are_unknown_and_not_zero(tmp_path: Path) -> None:
    """No way to ask: null in every span and batch, a count of what went unanswered, and no further asking."""
    bench = Bench(tmp_path, methods=())
    for number in range(3):
        bench.begin(number)
        bench.read(0)
        assert bench.end() == -1
    found = bench.counts()
    assert (found.method, found.batches, found.asked_batches, found.objects) == (None, 3, 1, 0)
    assert found.unanswered == 1
    assert bench.hits() == [None] * 3


@pytest.mark.usefixtures("reads")
def test_asking_is_thinned_out_until_it_fits_its_share(tmp_path: Path) -> None:
    """Batches of a microsecond: one in a great many is asked about, and stands for the others in the estimate."""
    bench = Bench(tmp_path, budget=0.01)
    for number in range(300):
        bench.begin(number)
        if number == 0 or bench.witness.asking:
            bench.read(1)
        bench.end(made_ns=1000)
    found = bench.counts()
    assert found.batches == 300
    assert 1 <= found.asked_batches < 30
    assert found.all_object_pages >= found.object_pages
    assert (found.all_object_pages > found.object_pages) is (found.asked_batches > 1)


def test_the_estimate_of_thinned_out_asking_comes_near_all_pages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, python_reads: None
) -> None:
    """By a clock that moves at each look: of 4,000 batches of two pages few are asked about, and make 8,000."""
    ticks = itertools.count()
    monkeypatch.setattr("ioprof.store.cache_witness._now_s", lambda: next(ticks) * 1e-6)
    bench = Bench(tmp_path, budget=0.01)
    for number in range(4000):
        bench.begin(number)
        if bench.witness.asking:
            bench.read(1)
        bench.end(made_ns=20_000)
    found = bench.counts()
    assert found.asked_batches < 400
    assert found.all_object_pages == pytest.approx(2 * 4000, rel=0.1)


def test_batches_that_take_long_are_all_asked_about(tmp_path: Path) -> None:
    """Hours each: whatever asking takes is far below its share."""
    bench = Bench(tmp_path, budget=0.01)
    for number in range(50):
        bench.begin(number)
        bench.read(0, 1, 2, 3)
        bench.end(made_ns=10**13)
    found = bench.counts()
    assert (found.asked_batches, found.objects, found.object_pages) == (50, 200, 50 * sum(PAGES))
    assert found.object_hits == 49 * sum(PAGES)
