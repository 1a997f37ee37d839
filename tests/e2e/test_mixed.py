"""`ioprof run` of several pipelines for real: alone, together, failing, interrupted and killed."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from ioprof.compound.mixed_spec import raw_mixed, resolve_mixed
from ioprof.compound.phase import run_phase
from ioprof.dataset.prepare import prepare
from ioprof.runner.plan import plan_run
from tests.e2e.driver import ioprof, leftovers, signalled, start, wait_for

MIXED = """
[store]
url = "{folder}/data"
[run]
duration = "{duration}"
cache = "asis"
results = "{folder}/results"
[pipeline.train]
workload.name = "small-files"
workload.files = 400
workload.file_size = "4KiB"
loader.batch_size = 16
loader.workers = 1
accelerator.compute = "5ms"
run.warmup = 2
[pipeline.tiny]
workload.name = "small-files"
workload.files = 200
workload.file_size = "1KiB"
loader.name = "processes"
loader.batch_size = 8
loader.workers = 1
accelerator.compute = "3ms"
run.warmup = 2
run.max_errors = 0
"""


def written(folder: Path, duration: str = "1500ms") -> Path:
    """Write the file of a mixed run."""
    (folder / "m.toml").write_text(MIXED.format(folder=folder, duration=duration))
    return folder / "m.toml"


def mixed_directory(folder: Path) -> Path:
    """Return the only mixed run's directory."""
    (directory,) = (folder / "results").glob("*-mixed*")
    return directory


def damage(folder: Path) -> None:
    """Prepare both datasets and empty the files of `tiny`: each of its reads fails."""
    spec = resolve_mixed(raw_mixed(str(folder / "m.toml"), [], [], []))
    for name, one in spec.pipelines.items():
        plan = plan_run(one)
        prepared = prepare(plan.store, one.workload, plan.layout)
        root = Path(str(prepared.store.local_root))
        for index in range(plan.layout.count if name == "tiny" else 0):
            (root / plan.layout.path(index)).write_bytes(b"")


def test_pipelines_run_alone_and_together_and_each_run_reads(tmp_path: Path) -> None:
    """Four ordinary run directories, one result; they measured side by side though one started later."""
    done = ioprof("run", str(written(tmp_path)), "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert (record["outcome"], [phase["name"] for phase in record["phases"]]) == (
        "complete",
        ["alone-train", "alone-tiny", "together"],
    )
    directory = mixed_directory(tmp_path)
    assert json.loads((directory / "mixed.json").read_text()) == record
    for run in [run for phase in record["phases"] for run in phase["runs"]]:
        summary = json.loads((directory / run["directory"] / "summary.json").read_text())
        assert summary["samples_per_s"] == run["figures"]["samples_per_s"] > 0
        assert "left out in mixed runs" in summary["reasons"]["ceiling"]
    together = record["phases"][2]["runs"]
    assert all(run["overlap_ratio"] > 0.6 for run in together), together
    assert {(one["pipeline"], one["beside"][0]) for one in record["interference"]} == {
        ("train", "tiny"),
        ("tiny", "train"),
    }
    assert all(0.05 < one["samples_per_s_ratio"] < 5 for one in record["interference"])
    shown = ioprof("report", str(directory), cwd=tmp_path)
    assert (shown.returncode, "keeps of its samples/s alone" in shown.stdout) == (0, True), shown.stderr
    assert ioprof("report", str(directory / together[0]["directory"]), cwd=tmp_path).returncode == 0


def test_a_pipeline_that_fails_alone_is_told_and_what_needs_it_is_skipped(tmp_path: Path) -> None:
    """The other one is measured all the same; the exit code says that something failed."""
    path = written(tmp_path, "1s")
    damage(tmp_path)
    done = ioprof("run", str(path), cwd=tmp_path)
    assert done.returncode == 1
    assert "pipeline tiny failed in phase alone-tiny: " in done.stderr
    assert "Traceback" not in done.stderr
    record = json.loads((mixed_directory(tmp_path) / "mixed.json").read_text())
    assert [phase["outcome"] for phase in record["phases"]] == ["complete", "failed", "skipped"]
    assert record["phases"][0]["runs"][0]["figures"]["samples_per_s"] > 0


def test_a_pipeline_that_fails_beside_another_ends_it(tmp_path: Path) -> None:
    """Both close their run directories; the healthy one says why it was ended."""
    path = written(tmp_path, "60s")
    damage(tmp_path)
    spec = resolve_mixed(raw_mixed(str(path), [], [], []))
    end = run_phase(spec.of_phase(("train", "tiny"), tmp_path / "results" / "p"), ["test"])
    assert (end.failed, end.interrupted) == ("tiny", None)
    assert "could not be read" in str(end.ended["tiny"].problem)
    assert end.ended["train"].problem == "ended because tiny failed"
    for one in end.ended.values():
        assert one.directory is not None
        assert json.loads((Path(one.directory) / "run.json").read_text())["outcome"] in ("failed", "interrupted")
    assert leftovers(tmp_path) == []


def measuring_both(folder: Path) -> bool:
    """Return whether both pipelines of the last phase record steps."""
    return len(list((folder / "results").glob("*-mixed/3-together/*/trace/steps-0.log"))) == 2


@pytest.mark.parametrize(("signum", "code", "group"), [(signal.SIGINT, 130, True), (signal.SIGTERM, 143, False)])
def test_a_signal_ends_all_pipelines_and_keeps_what_was_measured(
    tmp_path: Path, signum: signal.Signals, code: int, group: bool
) -> None:
    """Every process ends, every run directory is closed, mixed.json says interrupted and shows."""
    process = start("run", str(written(tmp_path, "3s")), cwd=tmp_path)
    wait_for(lambda: measuring_both(tmp_path), timeout_s=180)
    returncode, _, err = signalled(process, signum, group=group)
    assert returncode == code, err
    assert "partial mixed run kept" in err
    assert "Traceback" not in err
    directory = mixed_directory(tmp_path)
    record = json.loads((directory / "mixed.json").read_text())
    assert (record["outcome"], record["phases"][2]["outcome"]) == ("interrupted", "interrupted")
    assert not list(directory.glob("*/*/trace"))
    assert ioprof("report", str(directory), cwd=tmp_path).returncode == 0
    wait_for(lambda: not leftovers(tmp_path), timeout_s=10)


def test_nothing_outlives_a_mixed_run_that_is_killed(tmp_path: Path) -> None:
    """The pipelines, their workers and samplers end by themselves; what is there reads."""
    process = start("run", str(written(tmp_path, "20s")), cwd=tmp_path)
    wait_for(lambda: len(list((tmp_path / "results").glob("*-mixed/1-alone-train/*/trace/steps-0.log"))) == 1, 120)
    assert signalled(process, signal.SIGKILL, group=False)[0] == -signal.SIGKILL
    wait_for(lambda: not leftovers(tmp_path), timeout_s=15)
    shown = ioprof("report", str(mixed_directory(tmp_path)), cwd=tmp_path)
    assert (shown.returncode, "was killed" in shown.stdout) == (0, True), shown.stderr
    (run,) = mixed_directory(tmp_path).glob("1-alone-train/*")
    assert ioprof("report", str(run), cwd=tmp_path).returncode == 0


def test_prepare_makes_the_datasets_of_all_pipelines(tmp_path: Path) -> None:
    """So that a later run starts at once."""
    done = ioprof("prepare", str(written(tmp_path)), cwd=tmp_path)
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 2), done.stderr
    assert all(Path(line).is_dir() for line in done.stdout.splitlines())
