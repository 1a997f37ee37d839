"""The end of an epoch in workers that write: every sample gets to the store, whatever the loader and the numbers."""

from __future__ import annotations

import io
import os
import signal
import tarfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from ioprof.workloads.etl import Etl, EtlParams
from ioprof.workloads.shard_writer import member_bytes

from ioprof.contract import LoaderSession, LoadJob, WorkerJob
from ioprof.errors import CaveatWarning
from ioprof.plugins import find_loader
from ioprof.store.base import Store
from ioprof.store.open_store import open_store
from ioprof.trace.kinds import Kind, Phase
from ioprof.trace.raw import raw_operations, raw_processes
from tests.small_dataset import KnownSizes

SCRATCH = "scratch"
END_BYTES = 1024
"""What ends an archive."""

pytestmark = [
    pytest.mark.usefixtures("nothing_left"),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
    pytest.mark.filterwarnings(r"ignore:\d+ workers on .*:ioprof.errors.CaveatWarning"),
]


class Ingest:
    """An `etl` over a few files."""

    def __init__(self, url: str, trace_dir: Path, files: int) -> None:
        values = {"files": files, "file_size": "uniform:1-9KiB", "shard_size": "40KiB", "fsync": False}
        self.workload = Etl(EtlParams.model_validate(values), 5)
        self.store = open_store(url)
        self.trace_dir = trace_dir
        layout = self.workload.layout()
        self.sizes = [int(size) for size in layout.sizes(0, layout.count)]
        for directory in layout.directories():
            self.store.make_dir(directory)
        for obj, size_bytes in enumerate(self.sizes):
            self.store.write(layout.path(obj), bytes(layout.render(obj, size_bytes)))

    def opened(
        self, loader: str, stop_requested: Callable[[], bool] = lambda: False, **params: object
    ) -> LoaderSession:
        """Open a loader over it, in batches of four."""
        worker = WorkerJob(
            source=self.workload.reader(KnownSizes(self.sizes)),
            store=self.store,
            trace_dir=str(self.trace_dir),
            rank=0,
            warmup_batches=0,
            span_budget=10**6,
            scratch=SCRATCH,
        )
        job = LoadJob(
            worker=worker,
            order=self.workload.order,
            samples=self.workload.samples(),
            batch_size=4,
            drop_last=False,
            stop_requested=stop_requested,
        )
        plugin = find_loader(loader)
        return plugin(plugin.Params.model_validate(params)).open(job)

    def counts(self, phase: Phase) -> Counter[str]:
        """Return how often each kind of operation was done in a phase."""
        rows = raw_operations(raw_processes(self.trace_dir)[0]).to_pylist()
        found: Counter[str] = Counter()
        for row in rows:
            found[Kind(row["kind"]).label] += row["count"] * (row["phase"] == phase)
        return +found

    def bytes_put(self) -> int:
        """Return the bytes of all objects put."""
        rows = raw_operations(raw_processes(self.trace_dir)[0]).to_pylist()
        return sum(row["bytes"] for row in rows if row["kind"] == Kind.PUT)

    def names(self, samples: int) -> Counter[str]:
        """Return each of the first samples' name once."""
        return Counter(f"{sample:09d}.bin" for sample in range(samples))


def shards_on(store: Store) -> list[bytes]:
    """Return the shards that are on a store, all of them whole."""
    found = []
    for worker in store.list(SCRATCH):
        for entry in store.list(f"{SCRATCH}/{worker.name}"):
            assert entry.name.endswith(".tar")
            found.append(
                bytes(store.read(path := f"{SCRATCH}/{worker.name}/{entry.name}", store.stat(path).size_bytes))
            )
    return found


def members_of(shards: list[bytes]) -> Counter[str]:
    """Return how often each name is in them."""
    return Counter(name for shard in shards for name in tarfile.open(fileobj=io.BytesIO(shard)).getnames())


LOADERS = [
    ("processes", {"workers": 1}),
    ("processes", {"workers": 3, "prefetch": 1}),
    ("torch-map", {"workers": 0}),
    ("torch-map", {"workers": 2}),
    ("torch-map", {"workers": 3, "persistent": False}),
]


@pytest.mark.parametrize(("loader", "params"), LOADERS)
@pytest.mark.parametrize("files", [3, 41])
def test_every_sample_is_in_a_shard_when_its_epoch_ends(
    tmp_path: Path, trace_dir: Path, loader: str, params: dict[str, object], files: int
) -> None:
    """In the last batches of each epoch, and counted there; the epoch before is gone. Workers may get no batch."""
    ingest = Ingest(f"file://{tmp_path}/store", trace_dir, files)
    session = ingest.opened(loader, **params)
    for epoch in (0, 1):
        assert sum(batch.samples for batch in session.batches(epoch)) == files
        shards = shards_on(ingest.store)
        assert members_of(shards) == ingest.names(files)
    session.close()
    steady, removed = ingest.counts(Phase.STEADY), ingest.counts(Phase.EPOCH_START)["unlink"]
    assert steady["put"] == removed + len(shards)
    assert ingest.bytes_put() == 2 * sum(map(member_bytes, ingest.sizes)) + END_BYTES * steady["put"]
    assert (steady["rename"], ingest.counts(Phase.CLOSING)) == (0, {})


@pytest.mark.parametrize(("loader", "params"), LOADERS[1::2])
def test_local_shards_are_whole_and_have_their_names_when_their_epoch_ends(
    tmp_path: Path, trace_dir: Path, loader: str, params: dict[str, object]
) -> None:
    """No piece is left to be finished after the run, where nothing would be counted."""
    ingest = Ingest(str(tmp_path / "store"), trace_dir, 41)
    session = ingest.opened(loader, **params)
    for epoch in (0, 1):
        for _ in session.batches(epoch):
            pass
        shards = shards_on(ingest.store)
        assert members_of(shards) == ingest.names(41)
    session.close()
    steady = ingest.counts(Phase.STEADY)
    assert steady["rename"] == steady["create"] == ingest.counts(Phase.EPOCH_START)["unlink"] + len(shards)


def test_what_a_worker_puts_into_memory_of_its_own_is_counted(trace_dir: Path) -> None:
    """Nobody else can look there: the trace has the bytes of every sample of both epochs."""
    ingest = Ingest("memory://epoch-end", trace_dir, 9)
    session = ingest.opened("processes", workers=2)
    for epoch in (0, 1):
        assert sum(batch.samples for batch in session.batches(epoch)) == 9
    session.close()
    steady = ingest.counts(Phase.STEADY)
    assert ingest.bytes_put() == 2 * sum(map(member_bytes, ingest.sizes)) + END_BYTES * steady["put"]


@pytest.mark.parametrize(
    ("loader", "params"),
    [
        ("processes", {"workers": 2}),
        ("torch-map", {"workers": 0}),
        ("torch-map", {"workers": 2}),
        ("torch-map", {"workers": 2, "persistent": False}),
    ],
)
def test_where_a_run_ends_early_its_workers_hand_over_what_they_hold(
    tmp_path: Path, trace_dir: Path, loader: str, params: dict[str, object]
) -> None:
    """When they end, and counted apart; all that was read is on the store."""
    seen: list[int] = []
    ingest = Ingest(f"file://{tmp_path}/store", trace_dir, 200)
    session = ingest.opened(loader, lambda: len(seen) >= 5, **params)
    for batch in session.batches(0):
        seen.append(batch.samples)
    session.close()
    assert 20 <= sum(seen) < 100
    assert members_of(shards_on(ingest.store)) == ingest.names(sum(seen))
    assert 1 <= ingest.counts(Phase.CLOSING)["put"] <= 2


def test_a_loader_that_delivers_out_of_order_loses_nothing(tmp_path: Path, trace_dir: Path) -> None:
    """Which batch is a worker's last is a guess there; what it misses comes with the worker's end."""
    ingest = Ingest(f"file://{tmp_path}/store", trace_dir, 61)
    session = ingest.opened("torch-map", workers=3, in_order=False)
    for epoch in (0, 1):
        assert sum(batch.samples for batch in session.batches(epoch)) == 61
    session.close()
    assert members_of(shards_on(ingest.store)) == ingest.names(61)


@pytest.mark.parametrize(("loader", "workers"), [("processes", 1), ("torch-map", 0), ("torch-map", 1)])
def test_what_the_store_refuses_at_the_very_end_is_counted(
    tmp_path: Path, trace_dir: Path, capfd: pytest.CaptureFixture[str], loader: str, workers: int
) -> None:
    """No batch is left to tell it by, and nothing is printed: the trace has the failed put."""
    seen: list[int] = []
    ingest = Ingest(f"file://{tmp_path}/store", trace_dir, 200)
    session = ingest.opened(loader, lambda: bool(seen), workers=workers)
    for batch in session.batches(0):
        seen.append(batch.number)
    (place,) = (tmp_path / "store" / SCRATCH).iterdir()
    place.rename(tmp_path / "elsewhere")
    place.write_text("no directory any more")
    session.close()
    rows = raw_operations(raw_processes(trace_dir)[0]).to_pylist()
    (failed,) = [row for row in rows if row["phase"] == Phase.CLOSING]
    assert (failed["kind"], failed["count"], failed["errors"]) == (Kind.PUT, 1, 1)
    assert capfd.readouterr().err == ""


def test_a_worker_that_is_killed_before_its_end_is_told(tmp_path: Path, trace_dir: Path) -> None:
    """What it held is lost: a reader of the run must know."""
    ingest = Ingest(f"file://{tmp_path}/store", trace_dir, 200)
    session = ingest.opened("processes", workers=2)
    next(session.batches(0))
    os.kill(session.process_ids()[0], signal.SIGKILL)
    with pytest.warns(CaveatWarning, match="1 worker was ended before it had handed over all"):
        session.close()
