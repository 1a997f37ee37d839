"""A refusal for a dataset's size names the flags that decide it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ioprof.cli.main import main
from ioprof.errors import SpecError
from ioprof.runner.plan import plan_run
from ioprof.spec.flags import raw_spec
from ioprof.spec.resolve import resolve

DLIO = "dataset: {format: npz, num_files_train: 4, record_length_bytes: 1000}\nreader: {batch_size: 3}\n"


@pytest.mark.parametrize(
    ("target", "flags"),
    [
        ("small-files", "--files, --file-size"),
        ("streaming-shards", "--shards, --samples-per-shard, --sample-size"),
        ("mlperf-unet3d", "--scale, --files, --record-size"),
        ("dlio:my.yaml", "--scale, --files, --samples-per-file, --record-size"),
    ],
)
def test_each_workload_has_its_own_flags(
    target: str, flags: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--scale` comes first where there is one."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.yaml").write_text(DLIO)
    assert resolve(raw_spec(target, [], [], [])).size_flags == flags


def test_a_scale_that_leaves_no_batch_is_told_with_the_flag(tmp_path: Path) -> None:
    """Whoever typed --scale must read it in the refusal."""
    (tmp_path / "my.yaml").write_text(DLIO)
    spec = resolve(raw_spec(f"dlio:{tmp_path}/my.yaml", [], [], ["--scale", "0.25"]))
    with pytest.raises(SpecError, match="more data \\(--scale, --files"):
        plan_run(spec)


def test_a_scale_that_does_not_fit_the_disk_is_told_with_the_flag(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found before anything is written, in one line."""
    words = ["prepare", "mlperf-unet3d", "--scale", "5000", "--store", str(tmp_path / "store")]
    monkeypatch.setattr(sys, "argv", ["ioprof", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    told = capsys.readouterr().err
    assert "use a smaller dataset (--scale, --files, --record-size)" in told and told.count("\n") == 1
