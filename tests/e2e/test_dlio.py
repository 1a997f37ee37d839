"""`ioprof run dlio:FILE.yaml` and `mlperf-*` through the real command line, tiny."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.e2e.driver import ioprof, leftovers

CONFIGS = Path(__file__).parents[1] / "data" / "dlio"
QUICK = ["--compute", "2ms", "--warmup", "1", "--set", "workload.record_size=3KiB", "--json"]


def summary_of(tmp_path: Path, *words: str) -> tuple[dict[str, object], str]:
    """Run and return the summary and what stood on stderr."""
    done = ioprof("run", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert not leftovers(tmp_path)
    found: dict[str, object] = json.loads(done.stdout)
    return found, done.stderr


def test_a_configuration_of_npz_files_runs_and_its_unhonoured_keys_are_told_first(tmp_path: Path) -> None:
    """Whole files are read, two epochs of 100 samples; the keys are named on stderr and kept in run.json."""
    name = f"dlio:{CONFIGS / 'unet3d_h100.yaml'}"
    words = ["--set", "workload.record_stdev=0", "--set", "workload.deliver=100", "--set", "checkpoint.size=64KiB"]
    summary, told = summary_of(tmp_path, name, "--files", "98", "--epochs", "2", *QUICK, *words, "--workers", "2")
    assert (summary["samples"], summary["outcome"]) == (2 * 98 - 7, "complete")
    assert summary["operations"]["read"]["bytes"] == (2 * 98 - 7) * (3072 + 252)  # type: ignore[index]
    assert told.index("not honoured: checkpoint.checkpoint_after_epoch") < told.index("98 objects")
    (run,) = (tmp_path / "results").glob("*/run.json")
    record = json.loads(run.read_text())
    assert any("checkpoint.checkpoint_after_epoch" in caveat for caveat in record["caveats"])
    assert record["mlperf"]["threshold"] == 0.90
    assert summary["mlperf"]["comparable"] is False  # type: ignore[index]


@pytest.mark.parametrize(("name", "format_"), [("resnet50_tf", "tfrecord"), ("v3_flux_b200", "parquet")])
def test_configurations_of_streamed_files_run(tmp_path: Path, name: str, format_: str) -> None:
    """All samples of all files reach the accelerator but for each worker's last, incomplete batch."""
    words = ["--scale", "0.001", "--set", "workload.samples_per_file=64", "--batch-size", "8", "--workers", "2"]
    extra = [] if format_ == "parquet" else ["--set", "workload.deliver=50"]
    summary, _ = summary_of(tmp_path, f"dlio:{CONFIGS / name}.yaml", "--files", "4", *QUICK, *words, *extra)
    assert summary["samples"] == 4 * 64 - 8


def test_steps_end_a_run_exactly(tmp_path: Path) -> None:
    """total_training_steps and --steps: so many steps, warm-up included, in the middle of an epoch."""
    summary, _ = summary_of(tmp_path, f"dlio:{CONFIGS / 'default.yaml'}", "--steps", "23", "--workers", "2", *QUICK)
    assert (summary["steps"], summary["warmup_steps"], summary["outcome"]) == (22, 1, "complete")
    assert summary["epochs"] == 2


def test_a_checkpoint_configuration_runs(tmp_path: Path) -> None:
    """Ten saves, one after each step, and a restore."""
    name = f"dlio:{CONFIGS / 'llama_7b.yaml'}"
    summary, _ = summary_of(tmp_path, name, "--scale", "0.000001", "--compute", "2ms", "--json")
    assert summary["checkpoints"]["saves"] == 10  # type: ignore[index]
    assert summary["checkpoints"]["restores"] == 1  # type: ignore[index]


@pytest.mark.parametrize("name", ["unet3d", "retinanet", "resnet50", "cosmoflow", "flux", "dlrm", "bert"])
def test_every_preset_runs_and_says_that_it_is_not_comparable(tmp_path: Path, name: str) -> None:
    """With the files that the rules ask for, their figures beside ours, and no failed operation."""
    words = ["--files", "24", "--record-size", "3KiB", "--batch-size", "4", "--workers", "2", "--compute", "1ms"]
    shards = name not in ("unet3d", "retinanet")
    words += ["--samples-per-file", "8"] if shards else []
    done = ioprof("run", f"mlperf-{name}", *words, "--epochs", "2", "--warmup", "1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    told = " ".join(done.stdout.split())
    assert re.search(r"utilisation by MLPerf Storage's own formula.*MiB/s; not comparable with published", told)
    assert "24 files where" in told
    (path,) = (tmp_path / "results").glob("*/summary.json")
    summary = json.loads(path.read_text())
    assert summary["samples"] == 2 * 24 * (8 if shards else 1) - 4
    assert not summary["errors"]


def test_a_dry_run_of_a_configuration_is_a_spec_file(tmp_path: Path) -> None:
    """It runs as one, and says the same."""
    first = ioprof("run", f"dlio:{CONFIGS / 'default.yaml'}", "--dry-run", cwd=tmp_path)
    (tmp_path / "mine.toml").write_text(first.stdout)
    again = ioprof("run", "mine.toml", "--dry-run", cwd=tmp_path)
    assert (again.returncode, again.stdout) == (0, first.stdout)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["dlio:none.yaml"], "none.yaml: cannot be read"),
        (["dlio:"], "write dlio:FILE.yaml"),
        (["dlio:job.yaml", "--scale", "0"], "--scale = '0'"),
        (["dlio:job.yaml", "--flies", "3"], "did you mean '--files'?"),
        (["dlio:job.yaml", "--set", "workload.record_sise=3"], "did you mean 'record_size'?"),
        (["mlperf-unet3d", "--scale", "0"], "--scale = '0'"),
        (["mlperf-unet4d"], "did you mean 'mlperf-unet3d'?"),
        (["mlperf-resnet50", "--accelerator", "b200"], "no step time of resnet50 is known for b200"),
    ],
)
def test_bad_input_is_refused_in_one_line(tmp_path: Path, words: list[str], expected: str) -> None:
    """Exit code 2, with the value and what to do."""
    (tmp_path / "job.yaml").write_text("dataset: {format: npz}\ntrain: {computation_time: 0.01}\n")
    done = ioprof("run", *words, cwd=tmp_path)
    assert (done.returncode, expected in done.stderr) == (2, True), done.stderr
    assert done.stderr.count("\n") == 1
