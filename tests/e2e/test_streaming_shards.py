"""`ioprof run streaming-shards` for real: every format, damaged shards, more workers than shards."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.driver import ioprof
from tests.shard_dataset import FORMATS

SHARDS = ["--shards", "4", "--samples-per-shard", "64", "--sample-size", "4KiB", "--row-group", "16"]
QUICK = [*SHARDS, "--batch-size", "16", "--compute", "1ms", "--epochs", "2", "--warmup", "0", "--read-size", "64KiB"]
BOTH_LOADERS = [*((name, "processes") for name in FORMATS), ("tar", "torch-iterable"), ("parquet", "torch-iterable")]


def summary_of(tmp_path: Path, *words: str) -> dict[str, object]:
    """Run with --json and return the summary."""
    done = ioprof("run", "streaming-shards", *QUICK, "--json", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize(("name", "loader"), BOTH_LOADERS)
def test_every_format_is_prepared_verified_and_read(name: str, loader: str, tmp_path: Path) -> None:
    """Each sample once per epoch; idle parts sum to idle; every sample's bytes are among the traced reads."""
    done = ioprof("prepare", "streaming-shards", *SHARDS, "--format", name, "--verify", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    summary = summary_of(tmp_path, "--format", name, "--loader", loader)
    assert (summary["outcome"], summary["samples"], summary["errors"]) == ("complete", 2 * 4 * 64, {})
    assert sum(part or 0.0 for part in summary["idle_by_cause"].values()) == pytest.approx(summary["idle_s"], rel=1e-3)
    assert summary["operations"]["read"]["bytes"] >= 2 * 4 * 64 * 4096
    assert summary["operations"]["open"]["count"] == summary["operations"]["close"]["count"] == 2 * 4


@pytest.mark.parametrize("start_method", ["spawn", "forkserver"])
def test_every_start_method_reads_the_same(start_method: str, tmp_path: Path) -> None:
    """Formats and streams travel to workers that do not inherit memory."""
    words = ["--loader", "processes", "--start-method", start_method]
    summary = summary_of(tmp_path, "--format", "parquet", *words)
    assert summary["samples"] == 2 * 4 * 64


def test_remote_stores_are_read_by_ranges(tmp_path: Path) -> None:
    """A URL goes through fsspec; reads are counted as get."""
    summary = summary_of(tmp_path, "--store", f"file://{tmp_path}/remote", "--format", "arrow", "--loader", "processes")
    assert (summary["samples"], summary["errors"]) == (2 * 4 * 64, {})
    assert summary["operations"]["get"]["bytes"] > 2 * 4 * 64 * 4096


def test_damaged_shards_are_counted_by_kind_and_the_rest_goes_on(tmp_path: Path) -> None:
    """A truncated one and a flipped bit: each under its kind and name, and what they cost."""
    assert ioprof("prepare", "streaming-shards", *SHARDS, "--format", "tfrecord", cwd=tmp_path).returncode == 0
    shards = sorted(tmp_path.glob("ioprof-data/*/shard-*"))
    content = bytearray(shards[0].read_bytes())
    content[5000] ^= 1
    shards[0].write_bytes(content)
    shards[1].write_bytes(shards[1].read_bytes()[: 32 * (4096 + 16)])
    summary = summary_of(tmp_path, "--format", "tfrecord", "--loader", "processes", "--set", "loader.drop_last=false")
    assert summary["errors"] == {
        "read": {"count": 2, "by_name": {"short-read": 2}},
        "decode": {"count": 2, "by_name": {"bad-checksum": 2}},
    }
    assert summary["samples"] == 2 * (4 * 64 - 1 - 32)


def test_too_many_lost_samples_end_the_run_in_one_line(tmp_path: Path) -> None:
    """A shard that is gone costs all its samples, which is more than --max-errors allows."""
    assert ioprof("prepare", "streaming-shards", *SHARDS, cwd=tmp_path).returncode == 0
    min(tmp_path.glob("ioprof-data/*/shard-*")).unlink()
    done = ioprof("run", "streaming-shards", *QUICK, "--max-errors", "10", "--json", cwd=tmp_path)
    assert done.returncode == 1
    told = [line for line in done.stderr.splitlines() if line.startswith("ioprof: error")]
    assert len(told) == 1
    assert "--max-errors 10" in told[0]


def test_more_workers_than_shards_are_told(tmp_path: Path) -> None:
    """Archives cannot be split, so two of six workers have nothing to do; raw shards can."""
    quiet = ["--loader", "processes", "--workers", "6", "--batch-size", "8"]
    told = summary_of(tmp_path, "--format", "tar", *quiet)["caveats"]
    assert any(caveat.startswith("2 of 6 workers delivered no batch") for caveat in told)
    split = summary_of(tmp_path, "--format", "raw", *quiet)
    assert not any("delivered no batch" in caveat for caveat in split["caveats"])


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--format", "zip"], "--format = 'zip'"),
        (["--format", "raw", "--sample-size", "lognormal:4KiB"], "--sample-size"),
        (["--format", "parquet", "--columns", "4", "--project", "5"], "project = 5"),
        (["--format", "parquet", "--columns", "200", "--sample-size", "100B"], "columns = 200"),
        (["--sample-size", "2GiB"], "held in memory"),
        (["--sample-size", "100MiB"], "use --shuffle-buffer 10 or less"),
        (["--read-size", "0"], "--read-size"),
        (["--loader", "torch-map"], "--loader"),
    ],
)
def test_bad_input_is_refused_in_one_line(words: list[str], expected: str, tmp_path: Path) -> None:
    """Exit code 2 and one line that names the value."""
    done = ioprof("run", "streaming-shards", *words, cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert expected in done.stderr
    assert list(tmp_path.iterdir()) == []
