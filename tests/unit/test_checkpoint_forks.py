"""Background saves beside workers that are forked anew in each epoch, while threads are inside torch.save."""

from __future__ import annotations

from pathlib import Path

import pytest

from ioprof.api import run, spec_of
from ioprof.trace.reader import load_trace

pytestmark = [
    pytest.mark.usefixtures("nothing_left"),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]


def test_workers_are_forked_while_a_save_is_under_way(tmp_path: Path) -> None:
    """No worker hangs, no save fails, and what is read back is what was saved: the store is made slow enough for it."""
    done = run(
        spec_of(
            {
                "workload": {"name": "small-files", "files": 24, "file_size": "4KiB"},
                "store": {"url": f"throttle+{tmp_path / 'store'}?bandwidth=60MB/s"},
                "loader": {"name": "torch-map", "workers": 2, "persistent": False, "batch_size": 4},
                "accelerator": {"name": "none"},
                "run": {
                    "results": str(tmp_path / "results"),
                    "epochs": 6,
                    "warmup": 0,
                    "cache": "asis",
                    "probe": False,
                },
                "checkpoint": {
                    "every": 6,
                    "size": "24MiB",
                    "mode": "background",
                    "shards": 2,
                    "fsync": False,
                    "restore": True,
                },
            }
        )
    )
    assert (done.record.outcome, done.summary.steps) == ("complete", 36)
    found = done.summary.checkpoints
    assert found is not None
    assert (found.saves, found.failed, found.restores) == (6, 0, 1)
    trace = load_trace(done.directory)
    begun_ns = {epoch.start_ns for epoch in trace.run.epochs}
    saves = trace.checkpoints.to_pylist()
    under_way = [any(row["blocked_end_ns"] < at_ns < row["durable_ns"] for row in saves) for at_ns in begun_ns]
    assert any(under_way), "no save was under way when an epoch's workers were forked: the test shows nothing"
