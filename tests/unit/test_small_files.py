"""The workload `small-files`: an order that repeats, discovery that counts, a reader that gives the right bytes."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from ioprof.plugins import find_workload
from ioprof.store.local_tap import tap_store
from ioprof.trace.kinds import Kind, Phase
from ioprof.trace.raw import raw_operations, raw_processes
from ioprof.trace.recorder import Recorder
from tests.small_dataset import SmallDataset, local_dataset

SMALL_FILES = find_workload("small-files")


def _order(files: int, seed: int, epoch: int, *, shuffle: bool = True) -> list[int]:
    params = SMALL_FILES.Params.model_validate({"files": files, "shuffle": shuffle})
    return SMALL_FILES(params, seed).order(epoch).tolist()


@settings(max_examples=40)
@given(files=st.integers(1, 3000), seed=st.integers(0, 2**63 - 1), epoch=st.integers(0, 10**6))
def test_an_epoch_is_a_permutation_and_the_same_for_the_same_seed(files: int, seed: int, epoch: int) -> None:
    """Each sample once, in an order that depends on seed and epoch alone."""
    order = _order(files, seed, epoch)
    assert sorted(order) == list(range(files))
    assert order == _order(files, seed, epoch)


def test_epochs_and_seeds_differ() -> None:
    """A loader must not meet the same order twice."""
    orders = {tuple(_order(200, seed, epoch)) for seed in range(4) for epoch in range(4)}
    assert len(orders) == 16
    assert len({tuple(_order(200, 0, epoch, shuffle=False)) for epoch in range(4)}) == 1
    assert _order(5, 0, 3, shuffle=False) == [0, 1, 2, 3, 4]


def test_the_order_is_the_same_in_every_version() -> None:
    """A published run can be repeated: this is what seed 1 has always given."""
    assert _order(8, 1, 0) == [3, 1, 7, 4, 5, 0, 2, 6]


def test_the_order_is_spread_evenly() -> None:
    """Over many epochs each sample is first about equally often (chi-square, far out of reach of a fair shuffle)."""
    files, epochs = 8, 800
    first = np.bincount([_order(files, 3, epoch)[0] for epoch in range(epochs)], minlength=files)
    expected = epochs / files
    assert ((first - expected) ** 2 / expected).sum() < 40


def _discover(dataset: SmallDataset, trace_dir: Path) -> tuple[int, dict[Kind, int]]:
    recorder = Recorder(str(trace_dir), rank=0, worker=-2, span_budget=1000)
    recorder.begin(int(Phase.DISCOVERY))
    found = dataset.workload.discover(dataset.store, tap_store(dataset.store, recorder))
    recorder.close()
    rows = raw_operations(raw_processes(trace_dir)[0]).to_pylist()
    return found, {Kind(row["kind"]): row["count"] for row in rows}


@pytest.mark.parametrize(
    ("discovery", "counts"),
    [("list", {Kind.LIST: 4}), ("list+stat", {Kind.LIST: 4, Kind.STAT: 50}), ("none", {})],
)
def test_discovery_walks_the_tree_and_counts_the_files(
    discovery: str, counts: dict[Kind, int], tmp_path: Path, trace_dir: Path
) -> None:
    """50 files in three directories below the root: four listings, and a stat per file if asked for."""
    dataset = local_dataset(tmp_path, discovery=discovery)
    dataset.store.make_dir(".ioprof")
    dataset.store.write(".ioprof/manifest", b"not a sample")
    assert _discover(dataset, trace_dir) == (50, counts)


def test_discovery_misses_what_is_missing(tmp_path: Path, trace_dir: Path) -> None:
    """It looks at the store, not at the spec."""
    dataset = local_dataset(tmp_path)
    dataset.store.unlink(dataset.path(7))
    assert _discover(dataset, trace_dir)[0] == 49


@pytest.mark.parametrize("decode", ["0", "1ms"])
def test_the_reader_gives_each_samples_bytes_in_order(decode: str, tmp_path: Path, trace_dir: Path) -> None:
    """Also after a journey to another process, and with decoding, which is recorded sample by sample."""
    dataset = local_dataset(tmp_path, decode=decode)
    recorder = Recorder(str(trace_dir), rank=0, worker=0, span_budget=1000)
    recorder.begin(int(Phase.STEADY), batch=0)
    reader = pickle.loads(pickle.dumps(dataset.workload.reader(dataset.sizes)))  # noqa: S301 - made in the line itself
    wanted = [44, 3, 3, 0]
    read = list(reader.read(tap_store(dataset.store, recorder), wanted))
    assert read == [dataset.content(sample) for sample in wanted]
    recorder.close()
    counts = {Kind(row["kind"]): row["count"] for row in raw_operations(raw_processes(trace_dir)[0]).to_pylist()}
    assert counts.pop(Kind.DECODE, 0) == (0 if decode == "0" else 4)
    assert counts == {Kind.OPEN: 4, Kind.READ: 4, Kind.CLOSE: 4}


@pytest.mark.parametrize(
    "values",
    [{"files": 0}, {"files": -5}, {"files": "2G"}, {"file_size": "uniform:9KiB"}, {"file_size": "-4KiB"},
     {"compress_ratio": 0.5}, {"decode": "-1s"}, {"decode": "2h"}, {"discovery": "guess"}, {"fils": 3}],
)  # fmt: skip
def test_parameters_that_make_no_sense_are_refused(values: dict[str, object]) -> None:
    """Zero files, negative or absurd sizes, unknown keys."""
    with pytest.raises(ValidationError):
        SMALL_FILES.Params.model_validate(values)
