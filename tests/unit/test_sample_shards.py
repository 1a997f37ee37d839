"""Streams as benchmark configurations describe them: sizes, what is delivered, what a sample costs."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from ioprof.workloads.sample_shards import SampleShards, ShardSet

from ioprof.contract import Part
from ioprof.errors import SpecError
from ioprof.store.local import LocalStore
from ioprof.store.local_tap import tap_store
from ioprof.store.tap import Tap
from ioprof.trace.kinds import Kind
from ioprof.trace.recorder import Recorder
from tests.small_dataset import KnownSizes


def _shards(**changed: object) -> ShardSet:
    values = {"format": "tfrecord", "files": 4, "samples_per_file": 5, "record_bytes": 3000}
    return ShardSet(**{**values, **changed})  # type: ignore[arg-type]


def _read(
    shards: ShardSet, tmp_path: Path, trace_dir: Path, parts: int = 3, worker: int = 0
) -> tuple[list[bytes], Tap]:
    """Write the shards, then read one epoch in so many parts."""
    made, store = SampleShards(shards, 7), LocalStore(str(tmp_path / "store"))
    layout = made.layout()
    sizes = KnownSizes(layout.sizes(0, layout.count).tolist())
    store.make_dir("")
    for obj in range(layout.count):
        store.write(layout.path(obj), bytes(layout.render(obj, sizes.sizes_bytes[obj])))
    tap = tap_store(store, Recorder(str(trace_dir), rank=0, worker=worker, span_budget=1000))
    stream = pickle.loads(pickle.dumps(made.stream(sizes)))  # noqa: S301 - made in the line itself
    found = [bytes(one) for part in range(parts) for one in stream.samples(tap, 0, Part(index=part, count=parts))]
    assert made.discover(store, tap) == made.samples() == len(found)
    return found, tap


def test_sizes_of_samples_spread_around_the_mean(tmp_path: Path, trace_dir: Path) -> None:
    """As CosmoFlow's do: every sample its own size, none empty."""
    found, tap = _read(_shards(files=20, record_stdev_bytes=500), tmp_path, trace_dir)
    lengths = {len(one) for one in found}
    assert len(lengths) > 50
    assert 3000 - 4 * 500 < min(lengths) < 3000 < max(lengths) < 3000 + 4 * 500
    assert tap.tapped_bytes == sum(map(len, found)) + 16 * len(found)
    tap.recorder.close()


@pytest.mark.parametrize("delivered_bytes", [100, 9000])
def test_a_resized_sample_has_its_own_first_bytes(delivered_bytes: int, tmp_path: Path, trace_dir: Path) -> None:
    """Cut where it is longer, zeros behind where it is shorter; all of it was read."""
    found, tap = _read(_shards(delivered_bytes=delivered_bytes), tmp_path, trace_dir)
    whole, _ = _read(_shards(), tmp_path / "whole", trace_dir, worker=1)
    assert found == [one[:delivered_bytes].ljust(delivered_bytes, b"\0") for one in whole]
    assert tap.tapped_bytes == 20 * (3000 + 16)
    tap.recorder.close()


def test_a_preprocessing_time_is_spent_on_each_sample(tmp_path: Path, trace_dir: Path) -> None:
    """And told as decode."""
    _, tap = _read(_shards(files=1, preprocess_ns=1_000_000), tmp_path, trace_dir, parts=1)
    singles = tap.recorder.singles
    slept = [
        end - start for kind, start, end in zip(*(singles[n::6] for n in range(3)), strict=True) if kind == Kind.DECODE
    ]
    # Checking the shard's checksums is told as decode as well.
    assert sum(duration_ns >= 1_000_000 for duration_ns in slept) >= 5
    tap.recorder.close()


def test_only_some_columns_of_parquet_are_read(tmp_path: Path, trace_dir: Path) -> None:
    """As DLRM's: a fifth of the columns is a fifth of each sample, and far fewer bytes than the files have."""
    shards = _shards(format="parquet", samples_per_file=400, columns=10, project=2, row_group=100)
    found, tap = _read(shards, tmp_path, trace_dir)
    assert {len(one) for one in found} == {600}
    assert tap.tapped_bytes < 0.3 * 4 * 400 * 3000
    tap.recorder.close()


def test_parquet_holds_samples_of_one_size() -> None:
    """A spread is refused before anything is written."""
    with pytest.raises(SpecError, match="parquet"):
        SampleShards(_shards(format="parquet", record_stdev_bytes=5), 7)
