"""What every loader of another library must do, driven for real: each sample once, as stored, and nothing left."""

from __future__ import annotations

import gc
import os
import signal
import time
from pathlib import Path

import pytest

from ioprof.contract import Loader
from ioprof.errors import WorkerDiedError
from ioprof.runner.worker_death import worker_deaths_told
from tests.extras.known_samples import SAMPLE_BYTES, known_samples, opened, samples_in, usable

CASES = [
    ("grain", "files"),
    ("spdl", "files"),
    ("torchdata-nodes", "files"),
    ("torchdata-stateful", "files"),
    ("torchdata-stateful", "tar"),
    ("webdataset", "tar"),
]

pytestmark = [
    pytest.mark.usefixtures("nothing_left"),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
    pytest.mark.filterwarnings(r"ignore:\d+ workers on .*:ioprof.errors.CaveatWarning"),
]


@pytest.fixture(params=CASES, ids=[f"{name}-{stored_format}" for name, stored_format in CASES])
def case(request: pytest.FixtureRequest) -> tuple[type[Loader], str]:
    """Return a loader whose library is installed, and a format that it delivers."""
    name, stored_format = request.param
    return usable(name), stored_format


def test_each_sample_comes_once_an_epoch_as_it_is_stored(
    case: tuple[type[Loader], str], tmp_path: Path, trace_dir: Path
) -> None:
    """Two epochs; numbers go on and are unique; stamps that are known are in order; closing twice is safe."""
    loader, stored_format = case
    known = known_samples(tmp_path, stored_format)
    session = opened(loader, known.job(trace_dir))
    numbers: list[int] = []
    for epoch in (0, 1):
        delivered: list[bytes] = []
        size_bytes = 0
        for batch in session.batches(epoch):
            numbers.append(batch.number)
            delivered += samples_in(batch)
            size_bytes += batch.size_bytes
            stamps = (batch.dispatch_ns, batch.fetch_start_ns, batch.fetch_end_ns, batch.collate_end_ns)
            told = [stamp for stamp in stamps if stamp != -1]
            assert told == sorted(told)
            del batch
        assert sorted(delivered) == known.contents()
        assert size_bytes >= known.count * SAMPLE_BYTES
    assert len(set(numbers)) == len(numbers)
    session.close()
    session.close()
    assert session.process_ids() == []


def test_a_run_that_is_to_stop_ends_with_what_is_under_way(
    case: tuple[type[Loader], str], tmp_path: Path, trace_dir: Path
) -> None:
    """No batch is asked for any more; of sixty only those come that were under way."""
    loader, stored_format = case
    seen: list[int] = []
    job = known_samples(tmp_path, stored_format).job(trace_dir, batch_size=1, stop_requested=lambda: len(seen) >= 3)
    session = opened(loader, job, workers=2)
    for batch in session.batches(0):
        seen.append(batch.number)
        del batch
        time.sleep(0.002)
    session.close()
    assert 3 <= len(seen) < 40


def test_an_epoch_may_be_left_half_way(case: tuple[type[Loader], str], tmp_path: Path, trace_dir: Path) -> None:
    """As a run does that has had its steps: closing ends what is under way, and leaves nothing."""
    loader, stored_format = case
    session = opened(loader, known_samples(tmp_path, stored_format).job(trace_dir))
    batches = session.batches(0)
    assert next(batches).samples == 8
    del batches
    session.close()
    assert session.process_ids() == []


def test_what_a_users_own_code_raises_comes_through(
    case: tuple[type[Loader], str], tmp_path: Path, trace_dir: Path
) -> None:
    """With its message, on the consumer's side: no library may drop the batch and go on."""
    loader, stored_format = case
    if stored_format != "files" and not loader.capabilities.formats:
        pytest.skip("the workload's own stream reads, which has its tests")
    session = opened(loader, known_samples(tmp_path, stored_format).broken_job(trace_dir))
    with pytest.raises(Exception, match="sample 40 is not what it should be"):
        for batch in session.batches(0):
            del batch
    session.close()


# torch tells of a dead worker from a signal handler, which may strike while a library makes a temporary file: the file
# is then left to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_killed_worker_is_named_within_seconds(
    case: tuple[type[Loader], str], tmp_path: Path, trace_dir: Path
) -> None:
    """The run ends with an error that names it; nothing of its family is left."""
    loader, stored_format = case
    if "process" not in loader.capabilities.workers:
        pytest.skip("its batches are made in threads, which cannot be killed")
    session = opened(loader, known_samples(tmp_path, stored_format).job(trace_dir, batch_size=1))
    batches = session.batches(0)
    next(batches)
    victim = session.process_ids()[0]
    os.kill(victim, signal.SIGKILL)
    started_s = time.monotonic()
    with pytest.raises(WorkerDiedError, match=f"{victim}"), worker_deaths_told(session):
        for batch in batches:
            del batch
    assert time.monotonic() - started_s < 20
    session.close()
    gc.collect()
