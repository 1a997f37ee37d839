"""The numbers that every batch changes: in C and in Python they do the same to the same bytes."""

from __future__ import annotations

from array import array
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ioprof.store.compiled import is_built
from ioprof.trace import opsfile
from ioprof.trace.batch_trace import BatchStamps, BatchTrace
from ioprof.trace.kinds import Kind, Phase
from ioprof.trace.opsfile import MARKS, READS, Header
from ioprof.trace.raw import raw_operations, raw_processes
from ioprof.trace.sampling import is_sampled
from ioprof.trace.tally import LAYOUT, PAGE_BYTES, TIMED_ONE_IN, Tally
from tests.small_dataset import local_dataset

NAMES = sorted(set(Tally.__slots__) - {"_asked", "_mapping", "_singles", "_worker"})
MAPPING_BYTES = opsfile.half_start(1) * opsfile.WORD
EVERY = 7


class Twins:
    """The numbers in Python and in C, each with a mapping of its own."""

    def __init__(self) -> None:
        if not is_built():
            pytest.skip("the compiled modules were not built: no C compiler, or no headers of Python's")
        from ioprof.trace import _tally

        self.singles = array("q")
        self.mappings = bytearray(MAPPING_BYTES), bytearray(MAPPING_BYTES)
        compiled = _tally.Tally(self.mappings[1], self.singles, tuple(LAYOUT), 3, PAGE_BYTES, TIMED_ONE_IN)
        self.both: tuple[Tally, Tally] = (Tally(self.mappings[0], self.singles, 3), compiled)
        self.set(start=opsfile.half_start(0), next_io_ns=2**62, ordinary_epoch=0, account_every=EVERY)

    def set(self, **numbers: float) -> None:
        """Set numbers of both."""
        for one in self.both:
            for name, number in numbers.items():
                setattr(one, name, number)

    def do(self, method: str, *arguments: object) -> object:
        """Do the same with both; what they return must be the same, and is returned."""
        found = [getattr(one, method)(*arguments) for one in self.both]
        assert found[0] == found[1]
        return found[0]

    def ended(self, samples: int) -> BatchStamps | None:
        """End a batch of both; the stamps must be the same but for the clock's."""
        found = [one.end(samples, True) for one in self.both]
        if found[0] is None:
            assert found[1] is None
            return None
        unpacked = [BatchStamps.unpacked(packed) for packed in found if packed is not None]
        same = [stamps._replace(fetch_start_ns=0, fetch_end_ns=0, collate_end_ns=0) for stamps in unpacked]
        assert same[0] == same[1]
        assert all(one.fetch_start_ns <= one.fetch_end_ns <= one.collate_end_ns for one in unpacked)
        return same[0]

    def check(self, *but: str) -> None:
        """Check that all numbers are the same, and all bytes where no clock was read."""
        names = set(NAMES).difference(but)
        ours, theirs = ({name: getattr(one, name) for name in names} for one in self.both)
        assert ours == theirs
        if not but:
            assert self.mappings[0] == self.mappings[1]


def test_each_number_can_be_set_and_is_alike_at_first() -> None:
    """A name that is missing in C would be found in a user's run."""
    twins = Twins()
    twins.check()
    twins.set(**dict.fromkeys(NAMES, 5))
    twins.check()
    assert {getattr(twins.both[1], name) for name in NAMES} == {5}


READ_LISTS = st.lists(st.lists(st.tuples(st.integers(0, 2**62), st.integers(0, 10**12)), max_size=80), max_size=20)


@given(READ_LISTS, st.lists(st.floats(0.0, 100.0), min_size=20, max_size=20))
@settings(max_examples=20, deadline=None)
def test_reads_are_named_and_counted_alike(batches: list[list[tuple[int, int]]], took_s: list[float]) -> None:
    """Objects, sizes and marks go to the same places; bytes, pages and times add up to the same."""
    twins = Twins()
    for number, (batch, seconds) in enumerate(zip(batches, took_s, strict=False)):
        twins.set(batch=number, start_ns=17 * number, phase=int(Phase.STEADY))
        twins.do("room_for", [obj for obj, _ in batch], tuple(size for _, size in batch))
        twins.do("all_read", seconds)
        twins.do("mark", number % 3)
    twins.check()
    sizes = [size for batch in batches for _, size in batch]
    assert twins.both[1].tapped_bytes == sum(sizes)
    assert twins.both[1].tapped_page_bytes == sum(-(-size // PAGE_BYTES) for size in sizes) * PAGE_BYTES


def test_a_full_half_is_told_and_left_alone() -> None:
    """Reads that find no room are not noted at all; a mark that finds none is refused."""
    twins = Twins()
    twins.set(reads_used=READS - 3, pending=1)
    assert twins.do("room_for", [1, 2, 3], [4, 5, 6]) == -1
    twins.check()
    assert not any(twins.mappings[0])
    assert isinstance(twins.do("room_for", range(2), [4, 5]), int)
    twins.set(marks_used=MARKS)
    for one in twins.both:
        with pytest.raises(ValueError, match="no room for another mark"):
            one.mark(0)
        with pytest.raises(ValueError, match=r"^2 objects and 1 sizes$"):
            one.room_for([1, 2], [3])
    twins.check()


@given(st.lists(st.tuples(st.floats(0.0, 0.01), st.floats(0.0, 1.0), st.integers(0, 2**40)), max_size=40))
@settings(max_examples=50, deadline=None)
def test_the_same_batches_are_asked_about(batches: list[tuple[float, float, int]]) -> None:
    """N follows the costs step by step, and which batch in N it is depends on its number alone."""
    twins = Twins()
    twins.set(ask_budget=0.0025)
    for cost_s, made_s, number in batches:
        twins.set(ask_cost_s=cost_s, made_s=made_s)
        assert twins.do("asks", number) == is_sampled(number, twins.both[0].ask_every)
    twins.check()
    twins.set(is_answered=0)
    assert not any(twins.do("asks", number) for number in range(200))


def test_most_batches_are_begun_and_ended_alike() -> None:
    """Which ones are left to be looked at, and what becomes of the others, bytes and failures included."""
    twins = Twins()
    twins.set(ask_budget=1.0, made_s=1.0, ask_cost_s=2.0)
    begun = []
    for number in range(80):
        if not twins.do("begin", 0, number):
            continue
        begun.append(number)
        twins.do("room_for", [number], [100])
        twins.do("all_read", 1e-6)
        for one in twins.both:
            one.failed_samples += number
            one.prep_ns += 3
            one.fetched()
        stamps = twins.ended(5)
        assert stamps is not None
        assert (stamps.worker, stamps.number, stamps.samples, stamps.size_bytes) == (3, number, 5, 100)
        assert (stamps.errors, stamps.storage_ns, stamps.prep_ns) == (number, 1000, 3)
        assert set(stamps[10:]) == {-1}
        twins.set(made_s=1.0, worker_time_ns=0)
    looked_at = {number for number in range(80) if number % EVERY == 0 or number % TIMED_ONE_IN == 1}
    assert set(begun) == {number for number in range(80) if number not in looked_at and not is_sampled(number, 2)}
    twins.check("start_ns", "fetched_ns")
    assert twins.both[1].batches == len(begun)


@pytest.mark.parametrize(
    ("numbers", "epoch"),
    [({"steady_from": 9}, 0), ({}, 1), ({"next_io_ns": 0}, 0), ({"ask_budget": 1.0}, 0), ({"account_every": 1}, 0)],
)
def test_a_batch_with_more_to_be_done_for_it_is_not_begun(numbers: dict[str, float], epoch: int) -> None:
    """The warm-up's, an epoch's first, the one that reads /proc, one asked about, and one accounted."""
    twins = Twins()
    twins.set(begun=EVERY + 2)
    assert twins.do("begin", 0, 8) is True
    twins.set(begun=EVERY + 2, **numbers)
    assert twins.do("begin", epoch, 8) is False
    assert twins.ended(1) is None


def test_a_batch_with_other_operations_is_not_ended() -> None:
    """They must be moved first; likewise where no mark has room."""
    twins = Twins()
    twins.set(begun=EVERY + 2)
    assert twins.do("begin", 0, 8)
    twins.do("fetched")
    twins.singles.extend(range(6))
    assert twins.ended(1) is None
    del twins.singles[:]
    twins.set(marks_used=MARKS)
    assert twins.ended(1) is None
    twins.set(marks_used=0)
    assert twins.ended(1) is not None


def test_batches_are_whole_whoever_counts_them(tmp_path: Path, trace_dir: Path, reads: str) -> None:
    """A worker's batches, thousands of reads over several halves: each read counts once, and so does each batch."""
    dataset = local_dataset(tmp_path)
    job = replace(dataset.job(trace_dir).worker, overhead_budget=1e-9, warmup_batches=3, cache_budget=0.01)
    reader, trace, samples = dataset.workload.reader(dataset.sizes), BatchTrace(job, 0), [1, 2, 3, 4] * 16
    stamps = []
    for number in range(3 * READS // len(samples)):
        trace.begin(0, number)
        content = reader.read(trace.tap, samples)
        trace.fetched()
        stamps.append(trace.end(len(content)))
    trace.close()
    (process,), _ = raw_processes(trace_dir)
    counts = {
        Kind(row["kind"]): row["count"] for row in raw_operations([process]).to_pylist() if row["phase"] == Phase.STEADY
    }
    assert set(counts.values()) == {(len(stamps) - 3) * len(samples)}
    assert set(counts) == {Kind.OPEN, Kind.READ, Kind.CLOSE}
    assert [one.number for one in stamps] == list(range(len(stamps)))
    size_bytes = 16 * sum(dataset.sizes.of([1, 2, 3, 4]))
    assert {(one.samples, one.size_bytes, one.errors, one.worker) for one in stamps} == {(64, size_bytes, 0, 0)}
    assert process.header(Header.BATCHES) == len(stamps)
    assert process.header(Header.WORKER_TIME_NS) == sum(one.collate_end_ns - one.fetch_start_ns for one in stamps)
    assert all(0 < one.storage_ns <= one.fetch_end_ns - one.fetch_start_ns for one in stamps)
    accounted = [one for one in stamps if one.accounted_every > 0]
    assert 0 < len(accounted) < len(stamps) / 4
    asked = [one for one in stamps if one.client_hit_bytes >= 0]
    assert len(asked) < len(stamps)
    assert process.header(Header.HOOKS_TIMED) > 3
