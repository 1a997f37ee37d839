"""The hot path: whatever the ring wraps, counts are exact; sampling keeps whole batches; full disks lose only spans."""

from __future__ import annotations

import itertools
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ioprof.errors import RunDirectoryError
from ioprof.trace.histogram import BUCKETS, bucket_of
from ioprof.trace.kinds import Kind, Phase
from ioprof.trace.opsfile import READS, SINGLES
from ioprof.trace.raw import lost_records, raw_operations, raw_processes, raw_spans, sample_every
from ioprof.trace.recorder import Recorder
from tests.recorded_batches import add_reads


class Operation(NamedTuple):
    """One operation as the model sees it."""

    batch: int
    phase: int
    kind: int
    start_ns: int
    duration_ns: int
    size_bytes: int
    obj: int
    error: int


class Model:
    """A recorder, and beside it a plain list of what was recorded."""

    def __init__(self, folder: Path, *, worker: int = 0, span_budget: int = 10**8) -> None:
        self.recorder = Recorder(str(folder), rank=0, worker=worker, span_budget=span_budget)
        self.operations: list[Operation] = []
        self.clock_ns = 10**12

    def batch(self, number: int, phase: Phase, reads: int, singles: int, rng: np.random.Generator) -> None:
        """Record a batch of object reads and single operations."""
        self.recorder.begin(int(phase), epoch=0, batch=number, start_ns=self.clock_ns)
        steps = rng.integers(1, 10**6, (reads, 3)).tolist()
        sizes, objects = rng.integers(0, 10**6, reads).tolist(), rng.integers(0, 10**9, reads).tolist()
        for parts in zip(steps, sizes, objects, strict=True):
            self._read(number, phase, *parts)
        for _ in range(singles):
            self._single(number, phase, rng)
        self.recorder.end()

    def _read(self, number: int, phase: Phase, steps: list[int], size_bytes: int, obj: int) -> None:
        stamps = list(itertools.accumulate([self.clock_ns, *steps]))
        add_reads(self.recorder, [stamp / 1e9 for stamp in stamps], [obj], [size_bytes])
        for kind, start_ns, duration_ns in zip((Kind.OPEN, Kind.READ, Kind.CLOSE), stamps, steps, strict=False):
            moved = size_bytes if kind == Kind.READ else 0
            self.operations.append(Operation(number, phase, kind, start_ns, duration_ns, moved, obj, 0))
        self.clock_ns = stamps[-1]

    def _single(self, number: int, phase: Phase, rng: np.random.Generator) -> None:
        kind = list(Kind)[rng.integers(0, len(Kind))]
        duration_ns, size_bytes, obj, error = (int(value) for value in rng.integers(0, (10**7, 10**6, 10**6, 3)))
        self.recorder.record(kind, self.clock_ns, self.clock_ns + duration_ns, size_bytes, obj, error)
        self.operations.append(Operation(number, phase, kind, self.clock_ns, duration_ns, size_bytes, obj, error))
        self.clock_ns += duration_ns


def _counts(operations: list[Operation]) -> dict[tuple[int, int], tuple[list[int], list[int]]]:
    """Return what raw_operations should say: counters and histogram by phase and kind."""
    found = {}
    for key in {(op.phase, op.kind) for op in operations}:
        mine = [op for op in operations if (op.phase, op.kind) == key]
        durations = [op.duration_ns for op in mine]
        counters = [len(mine), sum(op.size_bytes for op in mine), sum(op.error != 0 for op in mine)]
        counters += [sum(durations), min(durations), max(durations)]
        buckets = np.bincount(bucket_of(np.array(durations)), minlength=BUCKETS)
        found[key] = (counters, buckets.tolist())
    return found


def _recorded_counts(folder: Path) -> dict[tuple[int, int], tuple[list[int], list[int]]]:
    processes, caveats = raw_processes(folder)
    assert caveats == []
    names = ("count", "bytes", "errors", "total_ns", "min_ns", "max_ns")
    rows = raw_operations(processes).to_pylist()
    return {(row["phase"], row["kind"]): ([row[name] for name in names], row["buckets"]) for row in rows}


def _recorded_spans(folder: Path) -> list[Operation]:
    names = ("batch", "kind", "start_ns", "duration_ns", "bytes", "object", "error")
    return [
        Operation(row["batch"], -1, *(row[name] for name in names[1:]))
        for batch in raw_spans(raw_processes(folder)[0])
        for row in batch.select(list(names)).to_pylist()
    ]


def _without_phase(operations: list[Operation]) -> list[Operation]:
    return sorted(op._replace(phase=-1) for op in operations)


BATCHES = st.lists(
    st.tuples(
        st.sampled_from(list(Phase)),
        st.sampled_from([0, 1, 40, 700, READS - 1, READS + 1, 2 * READS + 5]),
        st.sampled_from([0, 1, 5, 300]),
    ),
    max_size=4,
)


@settings(max_examples=8)
@given(batches=BATCHES, seed=st.integers(0, 2**32))
def test_counts_histograms_and_spans_are_those_of_a_plain_list(
    tmp_path_factory: pytest.TempPathFactory, batches: list[tuple[Phase, int, int]], seed: int
) -> None:
    """Whatever the ring wraps, and however a batch falls on its end, nothing is lost, doubled or changed."""
    folder = tmp_path_factory.mktemp("trace")
    model, rng = Model(folder), np.random.default_rng(seed)
    for number, (phase, reads, singles) in enumerate(batches):
        model.batch(number, phase, reads, singles, rng)
    assert _recorded_counts(folder) == _counts(model.operations)
    assert sorted(_recorded_spans(folder)) == _without_phase(model.operations)
    model.recorder.close()
    assert _recorded_counts(folder) == _counts(model.operations)


def test_what_is_recorded_outside_of_a_batch_is_kept_when_the_recorder_closes(trace_dir: Path) -> None:
    """Discovery has no batches: its operations belong to batch -1 and phase discovery."""
    recorder = Recorder(str(trace_dir), rank=0, worker=-2, span_budget=1000)
    recorder.begin(int(Phase.DISCOVERY))
    recorder.record(Kind.LIST, 5, 9, 0, -1, 0)
    recorder.close()
    recorder.close()
    assert _recorded_spans(trace_dir) == [Operation(-1, -1, Kind.LIST, 5, 4, 0, -1, 0)]


def test_an_endless_discovery_does_not_pile_up_in_memory(trace_dir: Path) -> None:
    """A million list operations without a batch reach the file by themselves."""
    recorder = Recorder(str(trace_dir), rank=0, worker=-2, span_budget=10**6)
    for number in range(10 * SINGLES):
        recorder.record(Kind.STAT, number, number + 1, 0, number, 0)
        assert len(recorder.singles) < SINGLES * 6
    recorder.close()
    assert _recorded_counts(trace_dir)[int(Phase.DISCOVERY), int(Kind.STAT)][0][0] == 10 * SINGLES


def test_beyond_the_budget_whole_batches_are_kept_and_counts_stay_exact(trace_dir: Path) -> None:
    """N is a power of two and rises; a kept batch has all of its spans, any other none."""
    model, rng = Model(trace_dir, span_budget=1000), np.random.default_rng(1)
    for number in range(400):
        model.batch(number, Phase.STEADY, 30, 1, rng)
    every = sample_every(raw_processes(trace_dir)[0])
    assert every >= 8
    assert every & (every - 1) == 0
    kept = [op for op in model.operations if op.batch * 0x9E3779B97F4A7C15 % 2**64 < 2**64 // every]
    assert len({op.batch for op in kept}) == pytest.approx(400 / every, rel=0.3)
    assert sorted(_recorded_spans(trace_dir)) == _without_phase(kept)
    assert _recorded_counts(trace_dir) == _counts(model.operations)


@contextmanager
def _largest_file(size_bytes: int) -> Iterator[None]:
    """Let writes beyond this size fail as on a full disk (EFBIG instead of ENOSPC)."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_results_disk_loses_spans_and_nothing_else(trace_dir: Path) -> None:
    """Counts and histograms stay exact, what was kept still reads, and what was lost is counted."""
    model, rng = Model(trace_dir), np.random.default_rng(1)
    with _largest_file(600_000):
        for number in range(40):
            model.batch(number, Phase.STEADY, 800, 0, rng)
    assert _recorded_counts(trace_dir) == _counts(model.operations)
    spans = _recorded_spans(trace_dir)
    assert set(spans) < set(_without_phase(model.operations))
    assert len(set(spans)) == len(spans) > 0
    assert lost_records(raw_processes(trace_dir)[0]) > 0


def test_a_disk_that_was_full_for_a_while_leaves_a_readable_trace(trace_dir: Path) -> None:
    """Half a chunk was written when the disk filled up; what comes after it must not be read as something else."""
    model, rng = Model(trace_dir), np.random.default_rng(1)
    for number in range(45):
        with _largest_file(600_000 if number < 25 else resource.RLIM_INFINITY):
            model.batch(number, Phase.STEADY, 800, 0, rng)
    assert _recorded_counts(trace_dir) == _counts(model.operations)
    spans = _recorded_spans(trace_dir)
    assert set(spans) < set(_without_phase(model.operations))
    assert len(set(spans)) == len(spans)
    lost = lost_records(raw_processes(trace_dir)[0])
    batches = {op.batch for op in spans}
    assert len(batches) + lost // 800 == 45


def test_a_folder_that_cannot_be_written_is_refused_in_one_line(tmp_path: Path) -> None:
    """Before the run begins, not in the middle of it."""
    with pytest.raises(RunDirectoryError, match="cannot record operations there: No such file"):
        Recorder(str(tmp_path / "absent"), rank=0, worker=0, span_budget=1000)


def test_no_space_for_the_mapping_is_refused(trace_dir: Path) -> None:
    """Space is reserved at once: a full disk must not kill the process by SIGBUS later."""
    with _largest_file(100_000), pytest.raises(RunDirectoryError, match="cannot record operations there"):
        Recorder(str(trace_dir), rank=0, worker=0, span_budget=1000)


@pytest.mark.parametrize("workers", [2, 3, 4])
def test_sampling_is_fair_to_workers(trace_dir: Path, workers: int) -> None:
    """In order, batch k is worker k % W's: the kept batches must not all be one worker's."""
    models = [Model(trace_dir, worker=worker, span_budget=6000) for worker in range(workers)]
    rng = np.random.default_rng(1)
    for number in range(150 * workers):
        models[number % workers].batch(number, Phase.STEADY, 120, 0, rng)
    kept = {op.batch for op in _recorded_spans(trace_dir)}
    by_worker = [sum(batch % workers == worker for batch in kept) for worker in range(workers)]
    assert sample_every(raw_processes(trace_dir)[0]) > 1
    assert min(by_worker) > 0
