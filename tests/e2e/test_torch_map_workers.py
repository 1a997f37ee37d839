"""`torch-map` in real worker processes of every start method: the same samples, once, with the right bytes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ioprof.plugins import find_loader
from ioprof.trace.kinds import Kind
from ioprof.trace.raw import raw_operations, raw_processes
from tests.small_dataset import local_dataset

TORCH_MAP = find_loader("torch-map")

pytestmark = [
    pytest.mark.usefixtures("nothing_left"),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]


@pytest.mark.parametrize("start_method", ["fork", "spawn", "forkserver"])
@pytest.mark.parametrize("workers", [1, 2])
def test_every_start_method_delivers_every_sample_once_per_epoch(
    start_method: str, workers: int, tmp_path: Path, trace_dir: Path
) -> None:
    """In order, byte for byte as computed anew, over two epochs; every worker left its trace."""
    dataset = local_dataset(tmp_path, files=40, decode="1ms")
    params = TORCH_MAP.Params.model_validate({"workers": workers, "start_method": start_method})
    session = TORCH_MAP(params).open(dataset.job(trace_dir))
    for epoch in (0, 1):
        order = dataset.workload.order(epoch).tolist()
        got = []
        for batch in session.batches(epoch):
            assert isinstance(batch.data, torch.Tensor)
            got.append(batch.data.numpy().tobytes())
            del batch
        assert got == [b"".join(map(dataset.content, order[start : start + 8])) for start in range(0, 40, 8)]
    session.close()
    assert session.process_ids() == []
    processes, caveats = raw_processes(trace_dir)
    assert (len(processes), caveats) == (workers, [])
    rows = raw_operations(processes).to_pylist()
    for kind in (Kind.OPEN, Kind.READ, Kind.CLOSE, Kind.DECODE):
        assert sum(row["count"] for row in rows if row["kind"] == kind) == 80
