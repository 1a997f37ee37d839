"""WebDataset on shards that are not as they should be."""

from __future__ import annotations

from pathlib import Path

import pytest

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
