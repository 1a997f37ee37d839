"""What a whole run through other libraries' loaders tells: how much of the reading was seen."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from ioprof import api
from tests.extras.known_samples import usable

pytestmark = [
    pytest.mark.usefixtures("nothing_left"),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]
FILES = {"name": "small-files", "files": 256, "file_size": "20KiB"}
SHARDS = {"name": "streaming-shards", "shards": 4, "samples_per_shard": 64, "sample_size": "20KiB"}


@pytest.mark.parametrize(
    ("name", "workload"),
    [("grain", FILES), ("spdl", FILES), ("torchdata-nodes", FILES), ("webdataset", SHARDS | {"format": "tar"})],
)
def test_a_run_sees_every_read(name: str, workload: dict[str, str | int], tmp_path: Path) -> None:
    """The bytes that passed the taps are those that the kernel counted, thread by thread and process by process."""
    usable(name)
    run = api.run(
        {
            "workload": workload,
            "loader": {"name": name, "batch_size": 16},
            "accelerator": {"name": "none"},
            "run": {"epochs": 2, "warmup": 0, "results": str(tmp_path / "results"), "probe": False},
            "store": {"url": str(tmp_path / "data")},
        }
    )
    assert run.summary.outcome == "complete"
    assert run.summary.coverage.ratio == pytest.approx(1.0, abs=0.01)
    assert run.summary.samples == 512
    counted = run.record.engine_counters
    if name == "spdl":
        assert (counted["spdl.make.tasks"], counted["spdl.make.failed_tasks"]) == (32, 0)
        assert 0 < counted["spdl.make.task_s"] < 60
    assert run.summary.engine_counters == (counted or None)
    assert run.summary.operations["open"].count == (8 if name == "webdataset" else 512)


def test_grain_times_its_stages_where_it_is_asked_to(tmp_path: Path) -> None:
    """Each sample and batch of both epochs is counted once, and no thread of Grain's is left behind."""
    usable("grain")
    before = threading.active_count()
    run = api.run(
        {
            "workload": FILES,
            "loader": {"name": "grain", "batch_size": 1, "stage_timing": True},
            "accelerator": {"name": "none"},
            "run": {"epochs": 2, "warmup": 0, "results": str(tmp_path / "results"), "probe": False},
            "store": {"url": str(tmp_path / "data")},
        }
    )
    counted = run.summary.engine_counters
    assert counted is not None
    assert counted["grain.MapMapDataset.elements"] == counted["grain.PrefetchDatasetIterator.elements"] == 512
    assert 0 < counted["grain.MapMapDataset.stage_s"] < 60
    assert threading.active_count() == before
