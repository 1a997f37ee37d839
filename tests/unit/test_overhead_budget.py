"""What tracing may take of a worker's time: how closely batches are looked at, and how the cost is told."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import pytest

from ioprof.host.thread_accounting import ThreadAccounting
from ioprof.trace.batch_trace import BatchStamps, BatchTrace
from ioprof.trace.budget import MOST_SPARSE, Budget, Look
from ioprof.trace.kinds import Kind, Phase
from ioprof.trace.opsfile import READS
from ioprof.trace.overhead import measured_cost
from ioprof.trace.raw import hooks_ns, raw_operations, raw_processes, raw_spans, sample_every, worker_time_ns
from ioprof.trace.recorder import MOST_THINNED, Recorder
from tests.recorded_batches import add_reads
from tests.small_dataset import local_dataset

MS = 1_000_000


def looks(budget: Budget, batches: int, *, accounted_ns: int, timed_ns: int, made_ns: int) -> list[Look]:
    """Return how closely so many batches are looked at that cost so much."""
    found = []
    for place in range(batches):
        look = budget.look(place)
        found.append(look)
        if look:
            budget.took(look, accounted_ns if look == Look.ACCOUNTED else timed_ns, made_ns)
    return found


def test_every_batch_is_accounted_while_that_is_cheap() -> None:
    """60 µs of 50 ms is an eighth of one per cent."""
    budget = Budget(0.01)
    assert set(looks(budget, 100, accounted_ns=60_000, timed_ns=30_000, made_ns=50 * MS)) == {Look.ACCOUNTED}
    assert budget.hooks_ratio == pytest.approx(0.0012)


def test_where_batches_are_short_fewer_are_accounted() -> None:
    """What accounting takes stays below an eighth of the budget: 100 µs of 4 ms allow for one batch in 32."""
    budget = Budget(0.01)
    found = looks(budget, 640, accounted_ns=100_000, timed_ns=20_000, made_ns=4 * MS)
    assert budget.every == 32
    assert found.count(Look.ACCOUNTED) == pytest.approx(640 / 32, abs=6)
    assert found.count(Look.TIMED) == pytest.approx(640 / 32, abs=2)
    assert budget.hooks_ratio == pytest.approx(0.005 + 0.02 / 32)


def test_no_budget_and_all_of_it_are_the_two_ends() -> None:
    """Never none at all: a run without any accounting could not be judged."""
    for ratio, every in ((0.0, MOST_SPARSE), (1.0, 1)):
        budget = Budget(ratio)
        looks(budget, 200, accounted_ns=100_000, timed_ns=20_000, made_ns=MS)
        assert budget.every == every


def test_a_workload_that_slows_down_is_accounted_closely_again() -> None:
    """What was measured long ago counts less and less."""
    budget = Budget(0.01)
    looks(budget, 640, accounted_ns=100_000, timed_ns=20_000, made_ns=MS)
    looks(budget, 640, accounted_ns=100_000, timed_ns=20_000, made_ns=100 * MS)
    assert budget.every == 1


def traced(folder: Path, trace_dir: Path, batches: int, budget: float) -> list[BatchStamps]:
    """Return the stamps of batches that hold nothing."""
    job = local_dataset(folder).job(trace_dir).worker
    trace = BatchTrace(replace(job, overhead_budget=budget), 0)
    stamps = []
    for number in range(batches):
        trace.begin(0, number)
        trace.fetched()
        stamps.append(trace.end(0))
    trace.close()
    return stamps


def test_batches_of_nothing_are_accounted_as_rarely_as_is_possible(tmp_path: Path, trace_dir: Path) -> None:
    """The hooks are all that there is of them; the budget of 1 % cannot be kept, and is not paid for twice."""
    stamps = traced(tmp_path, trace_dir, 4 * MOST_SPARSE, 0.01)
    accounted = [one for one in stamps if one.on_cpu_ns >= 0]
    assert 4 <= len(accounted) <= 12
    assert all(0 <= one.fetch_on_cpu_ns <= one.on_cpu_ns for one in accounted)
    keeps_queues = ThreadAccounting().read().run_queue_ns >= 0
    assert all((one.fetch_run_queue_ns >= 0) == keeps_queues for one in accounted)
    assert all(one.minor_faults >= 0 and one.voluntary_switches >= 0 for one in accounted)


def test_what_the_hooks_take_is_measured_where_they_run(tmp_path: Path, trace_dir: Path) -> None:
    """Some batches stand for all: the sum lies between that of nothing and the whole time."""
    traced(tmp_path, trace_dir, 200, 0.01)
    processes, _ = raw_processes(trace_dir)
    took_ns = hooks_ns(processes)
    assert took_ns is not None
    assert took_ns > 200 * 1000
    assert worker_time_ns(processes) > 0


def test_sparing_spans_leaves_counts_as_they_are(trace_dir: Path) -> None:
    """Half of the batches keep their spans from then on; all operations are counted."""
    recorder = Recorder(str(trace_dir), rank=0, worker=0, span_budget=10**7)
    batches = 3 * READS // 64
    for number in range(batches):
        recorder.begin(int(Phase.STEADY), batch=number)
        add_reads(recorder, [float(at) for at in range(4)] * 64, range(64), [10] * 64)
        recorder.end()
        recorder.note_batch(1000)
        if number == batches // 2:
            recorder.spare(0.0)
    recorder.close()
    processes, _ = raw_processes(trace_dir)
    assert sample_every(processes) == 2
    (reads,) = (row for row in raw_operations(processes).to_pylist() if row["kind"] == Kind.READ)
    assert reads["count"] == batches * 64
    kept = sum(chunk.num_rows for chunk in raw_spans(processes)) / (batches * 64 * 3)
    assert 0.3 < kept < 0.7


def test_spans_that_cost_next_to_nothing_are_not_spared(trace_dir: Path) -> None:
    """Keeping fewer of them would lose and not gain."""
    recorder = Recorder(str(trace_dir), rank=0, worker=0, span_budget=10**7)
    recorder.note_batch(10**12)
    recorder.spare(0.0005)
    recorder.close()
    assert sample_every(raw_processes(trace_dir)[0]) == 1


def flushes_spared(recorder: Recorder, flushes: int, worth_ratio: float) -> None:
    """Fill so many halves with batches of nothing but reads, sparing spans after each."""
    number = 0
    for done in range(flushes):
        while recorder.flushes == done:
            recorder.begin(int(Phase.STEADY), batch=number)
            recorder.end()
            add_reads(recorder, [0.0, 1.0, 2.0, 3.0] * (READS // 2), range(READS // 2), [10] * (READS // 2))
            recorder.end()
            number += 1
        recorder.note_batch(1000)
        recorder.spare(worth_ratio)


def test_thinning_ends_where_nothing_is_left_to_save(trace_dir: Path) -> None:
    """A budget of nothing can never be kept: it must neither end the worker nor leave the run without any span."""
    recorder = Recorder(str(trace_dir), rank=0, worker=0, span_budget=0)
    flushes_spared(recorder, 100, 0.0)
    recorder.close()
    assert sample_every(raw_processes(trace_dir)[0]) == MOST_THINNED


def test_flushes_that_keep_nothing_are_no_cost_of_keeping(trace_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is paid once is spared once: later flushes without a kept batch do not thin on."""
    recorder = Recorder(str(trace_dir), rank=0, worker=0, span_budget=10**7)
    clock = itertools.count(step=100)
    monkeypatch.setattr("ioprof.trace.recorder._cpu_ns", lambda: next(clock))
    monkeypatch.setattr("ioprof.trace.recorder.sampled", lambda block, _: block.where(block.marks[:, 2] < 2))
    recorder.note_batch(10_000)
    flushes_spared(recorder, 40, 0.001)
    recorder.close()
    assert sample_every(raw_processes(trace_dir)[0]) <= 16


def test_the_calibration_costs_something_and_leaves_nothing(tmp_path: Path, trace_dir: Path) -> None:
    """Its scratch folder is gone, the run's own trace is untouched, and no operation is free."""
    cost = measured_cost(local_dataset(tmp_path).job(trace_dir).worker)
    assert cost.span_ns > 0
    assert cost.batch_ns > 0
    assert list(trace_dir.iterdir()) == []
