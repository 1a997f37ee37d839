"""What binds real runs that need no probe to tell."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import ioprof
from ioprof.accelerator import resolve
from ioprof.accelerator.table import find

pytestmark = [
    pytest.mark.usefixtures("nothing_left"),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]


def test_a_slow_link_is_named_without_a_probe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a megabyte over 10 MB/s takes 50 ms a batch, which the workers spend waiting."""
    monkeypatch.setattr(resolve, "find", lambda name: replace(find(name), h2d_bytes_per_s=10e6))
    summary = ioprof.run(
        {
            "workload": {"name": "small-files", "files": 256, "file_size": "64KiB"},
            "store": {"url": str(tmp_path / "store")},
            "loader": {"name": "processes", "workers": 2, "batch_size": 8},
            "accelerator": {"name": "h100", "compute": "10ms"},
            "run": {"epochs": 1, "probe": False, "cache": "warm", "results": str(tmp_path / "results")},
        }
    ).summary
    assert summary.verdict.bound == "transfer"
    assert "of its idle time went into copies to the accelerator" in summary.verdict.sentence
