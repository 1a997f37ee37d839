"""WebDataset on shards that are not as they should be."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from ioprof.trace.kinds import Kind
from tests.extras.known_samples import known_samples, opened, samples_in, usable
from tests.unit.capture_ways import capturing

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


def test_what_a_program_fetches_for_a_watched_pipeline_is_seen(tmp_path: Path) -> None:
    """Each read of the pipe, its bytes, and a program that fails; the method is its own again afterwards."""
    usable("webdataset")
    shard = tmp_path / "one.tar"
    shard.write_bytes(bytes(50_000))
    gopen = importlib.import_module("webdataset.gopen")
    before = gopen.Pipe.read
    with capturing(tmp_path / "trace") as (_, seen):
        with gopen.gopen(f"pipe:cat {shard}") as pipe:
            assert sum(len(piece) for piece in iter(lambda: pipe.read(10_000), b"")) == 50_000
        # Once when it is read, and once more when it is closed.
        with pytest.raises(OSError, match="exit 3"), gopen.gopen("pipe:exit 3") as failing:
            failing.proc.wait()
            failing.read()
    assert gopen.Pipe.read is before
    assert seen[0].counts(Kind.GET) == (7, 50_000, 1)
    assert (seen[0].io.object_bytes, seen[0].io.tapped_bytes) == (50_000, 0)
