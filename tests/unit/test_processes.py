"""The loader `processes`: every sample once and in order, nothing moved, and never further ahead than it may be."""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import signal
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from ioprof.loaders.processes_worker import RECORD, REQUEST

from ioprof.clock import now_ns
from ioprof.contract import Batch, Indices, LoaderSession, LoadJob
from ioprof.errors import CaveatWarning, RunError
from ioprof.plugins import find_loader
from ioprof.store.tap import Tap
from ioprof.trace.kinds import Kind
from ioprof.trace.raw import raw_operations, raw_processes, raw_spans
from tests.small_dataset import local_dataset

PROCESSES = find_loader("processes")

pytestmark = [
    pytest.mark.usefixtures("nothing_left"),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
    pytest.mark.filterwarnings(r"ignore:\d+ workers on .*:ioprof.errors.CaveatWarning"),
]


def _open(job: LoadJob, **params: object) -> LoaderSession:
    return PROCESSES(PROCESSES.Params.model_validate(params)).open(job)


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


@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize("drop_last", [True, False])
def test_each_epoch_reads_every_sample_once_in_order_worker_after_worker(
    workers: int, drop_last: bool, tmp_path: Path, trace_dir: Path
) -> None:
    """Batch k is worker k's modulo their number; the reads that the workers recorded are those of the order."""
    dataset = local_dataset(tmp_path)
    session = _open(dataset.job(trace_dir, drop_last=drop_last), workers=workers)
    sizes = [8] * 6 + [2] * (not drop_last)
    wanted: list[list[int]] = []
    for epoch in (0, 1):
        batches = list(session.batches(epoch))
        first = len(wanted)
        assert [batch.number for batch in batches] == list(range(first, first + len(sizes)))
        assert [batch.worker for batch in batches] == [number % workers for number in range(len(sizes))]
        assert [batch.samples for batch in batches] == sizes
        assert {batch.data for batch in batches} == {None}
        order = dataset.workload.order(epoch).tolist()
        wanted += [order[8 * index : 8 * index + size] for index, size in enumerate(sizes)]
        of_epoch = wanted[first:]
        assert [batch.size_bytes for batch in batches] == [sum(dataset.sizes.of(samples)) for samples in of_epoch]
    session.close()
    session.close()
    assert session.process_ids() == []
    assert _read_in_batch(trace_dir) == dict(enumerate(wanted))


def test_stamps_follow_each_other_and_the_trace_knows_the_same_reads(tmp_path: Path, trace_dir: Path) -> None:
    """Dispatch, fetch, end; and what the workers wrote down adds up to what was delivered."""
    session = _open(local_dataset(tmp_path, decode="1ms").job(trace_dir, drop_last=False))
    batches = list(session.batches(0))
    session.close()
    for batch in batches:
        assert 0 < batch.dispatch_ns <= batch.fetch_start_ns <= batch.fetch_end_ns <= batch.collate_end_ns <= now_ns()
        assert 0 < batch.storage_ns + batch.prep_ns <= batch.fetch_end_ns - batch.fetch_start_ns
        assert batch.on_cpu_ns > 0
        assert batch.accounted_every >= 1
        assert batch.collate_end_ns == batch.fetch_end_ns, "nothing is joined"
    totals: Counter[Kind] = Counter()
    for row in raw_operations(raw_processes(trace_dir)[0]).to_pylist():
        totals[Kind(row["kind"])] += row["count"]
    assert totals == {Kind.OPEN: 50, Kind.READ: 50, Kind.CLOSE: 50, Kind.DECODE: 50}


@pytest.mark.parametrize(("workers", "prefetch"), [(1, 1), (2, 2), (3, 1)])
def test_a_batch_is_asked_for_when_the_one_that_makes_room_for_it_is_delivered(
    workers: int, prefetch: int, tmp_path: Path, trace_dir: Path
) -> None:
    """A closed loop: at most workers x prefetch batches are under way, and dispatch is the moment of the request."""
    job = local_dataset(tmp_path, files=100).job(trace_dir, batch_size=4)
    session = _open(job, workers=workers, prefetch=prefetch)
    ahead = workers * prefetch
    batches: list[Batch] = []
    asked_ns, got_ns = [], []
    source = session.batches(0)
    for _ in range(25):
        asked_ns.append(now_ns())
        batches.append(next(source))
        got_ns.append(now_ns())
    session.close()
    for number, batch in enumerate(batches):
        before = max(0, number - ahead)
        assert asked_ns[before] <= batch.dispatch_ns <= got_ns[before]
        assert batch.fetch_start_ns >= asked_ns[before]


def test_samples_that_cannot_be_read_are_left_out_and_counted(tmp_path: Path, trace_dir: Path) -> None:
    """A missing and a truncated file cost their samples, and nothing else; a batch of nothing is still a batch."""
    dataset = local_dataset(tmp_path, files=6, shuffle=False)
    for gone in (0, 1):
        dataset.store.unlink(dataset.path(gone))
    dataset.store.write(dataset.path(2), b"x")
    session = _open(dataset.job(trace_dir, batch_size=2))
    assert [(batch.samples, batch.errors) for batch in session.batches(0)] == [(0, 2), (1, 1), (2, 0)]
    session.close()


def test_it_stops_asking_when_the_run_wants_to_stop(tmp_path: Path, trace_dir: Path) -> None:
    """What is under way is delivered, and no more."""
    seen: list[int] = []
    job = local_dataset(tmp_path, files=400, file_size="1KiB").job(trace_dir, stop_requested=lambda: len(seen) >= 3)
    session = _open(job)
    for batch in session.batches(0):
        seen.append(batch.number)
    session.close()
    # The request that follows a delivery is made before the consumer has counted it.
    assert seen == list(range(7))


def test_an_epoch_that_was_left_half_way_does_not_show_in_the_next(tmp_path: Path, trace_dir: Path) -> None:
    """Batches made for it are dropped, requests for it passed over; closing half-way leaves nothing."""
    dataset = local_dataset(tmp_path)
    session = _open(dataset.job(trace_dir, drop_last=False))
    first = session.batches(0)
    assert [next(first).number, next(first).number] == [0, 1]
    batches = list(session.batches(0))
    assert [batch.samples for batch in batches] == [8] * 6 + [2]
    assert [batch.number for batch in batches] == list(range(batches[0].number, batches[0].number + 7))
    read = _read_in_batch(trace_dir)
    order = dataset.workload.order(0).tolist()
    assert [sample for batch in batches for sample in read[batch.number]] == order
    assert next(iter(session.batches(1))).samples == 8
    session.close()
    assert session.process_ids() == []


def test_a_closed_session_leaves_no_descriptors(tmp_path: Path, trace_dir: Path) -> None:
    """A program that runs many loaders one after the other must not run out of them."""
    dataset = local_dataset(tmp_path)

    def run() -> int:
        session = _open(dataset.job(trace_dir))
        next(iter(session.batches(0)))
        session.close()
        return len(os.listdir("/proc/self/fd"))

    assert run() >= run()


@dataclass(frozen=True)
class _FailingReader:
    """Fails at one sample; picklable."""

    sample: int
    error: Exception

    def read(self, tap: Tap, samples: Sequence[int]) -> list[bytes]:
        """Return empty samples."""
        if self.sample in samples:
            raise self.error
        return [b""] * len(samples)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ValueError("a broken\ntransform"), "worker 1 failed: ValueError: a broken transform; what was measured"),
        (OSError(28, "No space left on device"), "worker 1 failed: OSError: .Errno 28. No space left on device; "),
        (RunError("the store is gone"), "worker 1 failed: the store is gone; what was measured is kept"),
        (ValueError("x" * 200_000), "worker 1 failed: ValueError: x+; what was measured is kept"),
    ],
)
def test_what_fails_in_a_worker_fails_in_the_consumer_in_one_line(
    error: Exception, told: str, tmp_path: Path, trace_dir: Path
) -> None:
    """After the batches before it; the worker's traceback goes along as the cause."""
    job = local_dataset(tmp_path, shuffle=False).job(trace_dir)
    session = _open(replace(job, worker=replace(job.worker, source=_FailingReader(25, error))))
    delivered = []
    with pytest.raises(RunError, match=f"^{told}") as caught:
        delivered.extend(batch.number for batch in session.batches(0))
    assert delivered == [0, 1, 2]
    assert "\n" not in str(caught.value)
    assert "in read" in str(caught.value.__cause__)
    session.close()
    assert session.process_ids() == []


def test_a_failure_is_told_to_a_consumer_that_was_busy_meanwhile(tmp_path: Path, trace_dir: Path) -> None:
    """The worker is gone when it is asked for more; its batches come all the same, and then what it failed of."""
    job = local_dataset(tmp_path, shuffle=False, files=80).job(trace_dir)
    source = _FailingReader(25, ValueError("a broken transform"))
    session = _open(replace(job, worker=replace(job.worker, source=source)), workers=1, prefetch=2)
    batches = session.batches(0)
    assert [next(batches).number, next(batches).number] == [0, 1]
    for worker in multiprocessing.active_children():
        worker.join()
    assert session.process_ids() == []
    assert next(batches).number == 2
    with pytest.raises(RunError, match=r"^worker 0 failed: ValueError: a broken transform; what was measured is kept$"):
        next(batches)
    session.close()


def test_a_trace_that_cannot_be_written_is_told_by_its_worker(tmp_path: Path, trace_dir: Path) -> None:
    """Not as a worker that vanished."""
    job = local_dataset(tmp_path).job(trace_dir / "missing")
    session = _open(job)
    with pytest.raises(RunError, match=r"worker 0 failed: .*missing.* cannot record operations there"):
        next(iter(session.batches(0)))
    session.close()


def test_a_killed_worker_is_found(tmp_path: Path, trace_dir: Path) -> None:
    """The broken connection is an error of no kind of ours; which worker died, and of what, the session knows."""
    session = _open(local_dataset(tmp_path, files=400).job(trace_dir), workers=2)
    batches = session.batches(0)
    next(batches)
    victim = session.process_ids()[1]
    os.kill(victim, signal.SIGKILL)
    with pytest.raises(EOFError):
        list(batches)
    dead = session.dead_workers()
    assert [(one.worker, one.pid, one.exit_code) for one in dead] == [(1, victim, -signal.SIGKILL)]
    session.close()
    assert session.process_ids() == []


def test_workers_end_when_the_consumer_closes_while_they_work(tmp_path: Path, trace_dir: Path) -> None:
    """Each finishes its batch, finds nobody to tell, and leaves a trace that reads."""
    dataset = local_dataset(tmp_path, files=40, decode="5ms")
    session = _open(dataset.job(trace_dir), workers=2)
    next(iter(session.batches(0)))
    session.close()
    processes, caveats = raw_processes(trace_dir)
    assert (len(processes), caveats) == (2, [])


def test_more_workers_than_cpus_are_a_caveat(tmp_path: Path, trace_dir: Path) -> None:
    """In the words of this loader, which has nothing to do with torch."""
    cpus = len(os.sched_getaffinity(0))
    with pytest.warns(CaveatWarning, match=rf"^{cpus + 1} workers on {cpus} CPU.*they wait for each other\.$"):
        _open(local_dataset(tmp_path).job(trace_dir), workers=cpus + 1).close()


def test_an_epoch_that_grows_is_refused(tmp_path: Path, trace_dir: Path) -> None:
    """Workers share memory for the order of the first one."""

    def order(epoch: int) -> Indices:
        return np.arange(8 * (epoch + 1), dtype=np.int64)

    session = _open(replace(local_dataset(tmp_path).job(trace_dir), order=order))
    assert len(list(session.batches(0))) == 1
    with pytest.raises(RunError, match="an epoch of 16 samples after one of 8"):
        next(iter(session.batches(1)))
    session.close()


def test_all_that_is_under_way_fits_a_pipe() -> None:
    """Or a consumer that asks and a worker that answers would wait for each other."""
    most = PROCESSES.Params.model_fields["prefetch"].metadata
    (limit,) = (one.le for one in most if hasattr(one, "le"))
    reader, writer = os.pipe()
    pipe_bytes = fcntl.fcntl(writer, fcntl.F_GETPIPE_SZ)
    os.close(reader)
    os.close(writer)
    assert limit * max(REQUEST.size, RECORD.size) <= pipe_bytes
