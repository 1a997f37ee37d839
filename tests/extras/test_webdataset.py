"""WebDataset on shards that are not as they should be, and what a run over it tells."""

from __future__ import annotations

from pathlib import Path

import pytest

from ioprof import api
from tests.extras.known_samples import known_samples, opened, samples_in, usable

pytestmark = [
    pytest.mark.usefixtures("nothing_left"),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]


@pytest.mark.parametrize("damage", ["missing", "cut off"])
def test_a_damaged_shard_costs_its_samples_and_no_others(damage: str, tmp_path: Path, trace_dir: Path) -> None:
    """They are counted as errors of the batches that went on without them."""
    loader = usable("webdataset")
    known = known_samples(tmp_path, "tar")
    shard = tmp_path / "store" / known.layout.path(2)
    if damage == "missing":
        shard.unlink()
    else:
        shard.write_bytes(shard.read_bytes()[:-20_000])
    session = opened(loader, known.job(trace_dir), workers=1)
    delivered: list[bytes] = []
    errors = 0
    for batch in session.batches(0):
        delivered += samples_in(batch)
        errors += batch.errors
        del batch
    session.close()
    assert set(delivered) < set(known.contents())
    assert len(delivered) + errors == known.count
    assert errors == 15 if damage == "missing" else 1 <= errors < 15


def test_a_run_sees_every_read(tmp_path: Path) -> None:
    """Shards are opened through the tap: coverage is whole, and operations are those that tarfile asks for."""
    usable("webdataset")
    run = api.run(
        {
            "workload": {"name": "streaming-shards", "shards": 4, "samples_per_shard": 64, "sample_size": "20KiB"},
            "loader": {"name": "webdataset", "batch_size": 16},
            "accelerator": {"name": "none"},
            "run": {
                "epochs": 2,
                "warmup": 0,
                "results": str(tmp_path / "results"),
                "probe": False,
            },
            "store": {"url": str(tmp_path / "data")},
        }
    )
    assert run.summary.coverage.ratio is not None
    assert run.summary.coverage.ratio == pytest.approx(1.0, abs=0.01)
    assert run.summary.samples == 2 * 4 * 64
    assert run.summary.operations["open"].count == 8
