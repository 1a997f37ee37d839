"""What is measured once a run's steps are over: ceiling and baselines, skipped where they would mean nothing."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

import ioprof
from ioprof import api
from ioprof.analysis.summary import Summary
from ioprof.contract import EpochStart, SampleReader
from ioprof.runner import beside_run
from ioprof.runner.baselines import MemoryReader, MemoryStream, fed_from_memory, fed_to_one_worker, without_workers
from ioprof.runner.interrupt import Interrupted
from ioprof.runner.observer import Silent
from ioprof.runner.plan import RunPlan, plan_run
from ioprof.runner.run_dataset import RunDataset, run_dataset
from ioprof.store.tap import Tap
from ioprof.trace.probe_record import BaselineRecord, ProbeRecord, read_probe

BASELINE_NS = 300_000_000

pytestmark = [
    pytest.mark.usefixtures("nothing_left"),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]


def spec(folder: Path, loader: dict[str, object], **run: object) -> dict[str, dict[str, object]]:
    """Return a small spec in a folder."""
    return {
        "workload": {"name": "small-files", "files": 400, "file_size": "4KiB", "files_per_dir": 100},
        "store": {"url": str(folder / "data")},
        "loader": {"batch_size": 8, **loader},
        "accelerator": {"compute": "1ms"},
        "run": {"cache": "warm", "results": str(folder / "results"), **run},
    }


def prepared(folder: Path, loader: dict[str, object], **workload: object) -> tuple[RunPlan, RunDataset]:
    """Return a plan and its dataset, ready to be read."""
    values = spec(folder, loader)
    if workload:
        values["workload"] = workload
    plan = plan_run(api.spec_of(values))
    return plan, run_dataset(plan, api.prepare_plan(plan))


@pytest.mark.parametrize("loader", [{"name": "processes", "workers": 2}, {"name": "torch-map", "workers": 1}])
def test_a_loader_fed_from_memory_reads_nothing(loader: dict[str, object], tmp_path: Path) -> None:
    """The rate is that of moving batches: it needs no dataset once the lengths of its samples are known."""
    plan, dataset = prepared(tmp_path, loader)
    assert plan.layout.path(399)
    found = fed_from_memory(plan, dataset, BASELINE_NS)
    assert found.reason is None
    assert (found.samples_per_s or 0.0) == pytest.approx(found.batches * 8 / found.seconds)


def test_beside_a_run_without_workers_one_worker_is_fed_from_memory(tmp_path: Path) -> None:
    """What moving a batch would take is not to be seen in such a run; a run with workers shows it by itself."""
    plan, dataset = prepared(tmp_path, {"name": "torch-map", "workers": 0})
    moved = fed_to_one_worker(plan, dataset, BASELINE_NS)
    assert moved is not None
    assert moved.reason is None
    assert (moved.samples_per_s or 0.0) == pytest.approx(moved.batches * 8 / moved.seconds)
    plan, dataset = prepared(tmp_path, {"name": "torch-map", "workers": 1})
    assert fed_to_one_worker(plan, dataset, BASELINE_NS) is None


class OpeningReader:
    """Reads nothing before it was told that an epoch begins, as one that opens its shards then."""

    def __init__(self, reader: SampleReader) -> None:
        self._reader = reader
        self._is_open = False

    def begin_epoch(self, tap: Tap, start: EpochStart) -> None:
        """Open."""
        self._is_open = True

    def read(self, tap: Tap, samples: Sequence[int]) -> Sequence[bytes | memoryview]:
        """Read what the workload's own reader does."""
        assert self._is_open
        return self._reader.read(tap, samples)


@pytest.mark.parametrize("measure", [fed_from_memory, None])
def test_a_reader_that_wants_to_know_when_an_epoch_begins_is_told(
    measure: Callable[[RunPlan, RunDataset, int], BaselineRecord] | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As the run's own workers tell it: whether its lengths are looked up, or the loader reads without workers."""
    plan, dataset = prepared(tmp_path, {"name": "torch-map", "workers": 1})
    plain = plan.workload.reader
    monkeypatch.setattr(plan.workload, "reader", lambda sizes: OpeningReader(plain(sizes)))
    if measure is not None:
        found = measure(plan, dataset, BASELINE_NS)
    else:
        found = without_workers(plan, dataset, plan.workload.order, BASELINE_NS)
    assert found.reason is None


def test_a_stream_is_fed_from_memory_as_well(tmp_path: Path) -> None:
    """Each worker gets its part of the samples."""
    plan, dataset = prepared(
        tmp_path, {"name": "processes", "workers": 2}, name="streaming-shards", shards=2, samples_per_shard=64,
        sample_size="4KiB",
    )  # fmt: skip
    assert fed_from_memory(plan, dataset, BASELINE_NS).samples_per_s


def test_a_loader_without_workers_reads_in_this_process(tmp_path: Path) -> None:
    """Where a loader cannot, or has no workers to leave out, the reason stands in place of a rate."""
    plan, dataset = prepared(tmp_path, {"name": "torch-map", "workers": 2})
    found = without_workers(plan, dataset, lambda _: plan.workload.order(0), BASELINE_NS)
    assert found.batches >= 40
    assert found.samples_per_s
    plan, dataset = prepared(tmp_path, {"name": "torch-map", "workers": 8, "prefetch": 8})
    ahead_of_all = without_workers(plan, dataset, lambda _: plan.workload.order(0), BASELINE_NS)
    assert ahead_of_all.batches >= 40
    plan, dataset = prepared(tmp_path, {"name": "processes", "workers": 2})
    refused = without_workers(plan, dataset, None, BASELINE_NS)
    assert (refused.samples_per_s, refused.reason) == (None, "processes needs worker processes")


def test_the_climb_beside_a_run_ends_where_any_other_does() -> None:
    """Memory for thousands of processes is not there because a run has hundreds of workers."""
    assert [beside_run._most_processes(workers) for workers in (1, 4, 64, 300)] == [32, 64, 128, 300]


def test_samples_from_memory_are_as_long_as_the_stores() -> None:
    """Lengths repeat; parts of a stream share its samples out."""
    reader = MemoryReader([3, 5])
    assert [len(sample) for sample in reader.read(None, [0, 1, 2, 7])] == [3, 5, 3, 5]
    stream = MemoryStream([3, 5], 5)
    parts = [list(stream.samples(None, 0, ioprof.contract.Part(index=i, count=2))) for i in (0, 1)]
    assert [len(part) for part in parts] == [3, 2]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let short runs be probed, for a short time."""
    monkeypatch.setattr(beside_run, "SHORTEST_RUN_NS", 0)
    monkeypatch.setattr(beside_run, "BUDGET_NS", 1_000_000_000)
    monkeypatch.setattr(beside_run, "BASELINE_NS", BASELINE_NS)


def run(folder: Path, loader: dict[str, object], **settings: object) -> tuple[Summary, ProbeRecord]:
    """Run one epoch; return the summary and what probe.json holds."""
    done = ioprof.run(spec(folder, loader, epochs=1, **settings))
    record = read_probe(done.directory)
    assert record is not None
    return done.summary, record


@pytest.mark.usefixtures("quick")
def test_a_run_has_its_ceiling_and_baselines_from_its_own_directory(tmp_path: Path) -> None:
    """What probe.json holds is what the summary says, with a level for the loader's own number of workers."""
    summary, record = run(tmp_path, {"name": "processes", "workers": 2})
    assert (record.outcome, record.ceiling is not None) == ("complete", True)
    assert summary.ceiling is not None
    assert summary.ceiling_samples_per_s == summary.ceiling.samples_per_s
    same = record.level(2)
    assert same is not None
    assert summary.ceiling.at_workers_samples_per_s == same.samples_per_s
    assert summary.baselines.transport_samples_per_s
    assert summary.baselines.no_workers_samples_per_s is None
    assert summary.reasons["baselines.no_workers_samples_per_s"] == "processes needs worker processes"


@pytest.mark.parametrize(
    ("loader", "settings", "why"),
    [
        ({"name": "null"}, {}, "the loader null reads no storage"),
        ({"name": "processes"}, {"probe": False}, "it was not asked for (run.probe = false)"),
        ({"name": "processes"}, {}, "runs below 2 s are not probed"),
    ],
)
def test_a_probe_that_is_skipped_says_why(
    loader: dict[str, object], settings: dict[str, object], why: str, tmp_path: Path
) -> None:
    """In probe.json, and as the reason of every null that hangs on it."""
    summary, record = run(tmp_path, loader, **settings)
    assert (record.outcome, summary.ceiling) == ("skipped", None)
    for key in ("ceiling", "ceiling_samples_per_s", "baselines.transport_samples_per_s"):
        assert why in summary.reasons[key]


def test_a_probe_that_another_left_out_is_not_said_to_be_the_users_wish(tmp_path: Path) -> None:
    """The spec stands as it was resolved, and the reason is the one that was handed down."""
    plan = plan_run(api.spec_of(spec(tmp_path, {"name": "processes"}, epochs=1)))
    done = api.record_and_load(plan, api.prepare_plan(plan), ["test"], Silent(), unprobed="others are running")
    assert (done.record.spec["run"]["probe"], done.summary.ceiling) == (True, None)
    assert "others are running" in done.summary.reasons["ceiling"]


class _Impatient(Silent):
    """Presses Ctrl-C as soon as the probe has begun."""

    def phase(self, text: str) -> None:
        """Interrupt the probe, and nothing before it."""
        if text.startswith("probing"):
            raise Interrupted(signal.SIGINT)


@pytest.mark.usefixtures("quick")
def test_an_interrupted_probe_leaves_a_complete_run(tmp_path: Path) -> None:
    """Its steps were all measured: only ceiling and baselines are missing, and say so."""
    with pytest.raises(Interrupted):
        ioprof.run(spec(tmp_path, {"name": "processes"}, epochs=1), observer=_Impatient())
    (directory,) = (tmp_path / "results").iterdir()
    found = ioprof.load(directory)
    assert found.record.outcome == "complete"
    assert "the probe was interrupted: SIGINT received" in found.summary.reasons["ceiling"]
