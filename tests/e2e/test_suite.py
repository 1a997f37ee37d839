"""`ioprof suite` for real: several runs, one that fails, a signal in the middle."""

from __future__ import annotations

import json
import signal
from pathlib import Path

from ioprof.cli.report import past_runs
from ioprof.compound.suite_spec import suite_spec
from ioprof.dataset.prepare import prepare
from ioprof.runner.plan import plan_run
from ioprof.spec.model import RunSpec
from tests.e2e.driver import ioprof, leftovers, signalled, start, wait_for

SUITE = """
name = "tiny"
[store]
url = "{folder}/data"
[run]
duration = "{duration}"
cache = "asis"
warmup = 2
results = "{folder}/results"
[[entry]]
name = "first"
workload.name = "small-files"
workload.files = 400
workload.file_size = "4KiB"
loader.batch_size = 16
accelerator.compute = "5ms"
[[entry]]
name = "second"
workload.name = "small-files"
workload.files = 200
workload.file_size = "1KiB"
loader.name = "processes"
loader.batch_size = 16
run.max_errors = 0
[[entry]]
name = "third"
workload.name = "small-files"
workload.files = 100
workload.file_size = "1KiB"
loader.batch_size = 16
loader.workers = 0
run.epochs = 2
"""


def written(folder: Path, duration: str = "1s") -> Path:
    """Write the file of a suite."""
    (folder / "s.toml").write_text(SUITE.format(folder=folder, duration=duration))
    return folder / "s.toml"


def suite_directory(folder: Path) -> Path:
    """Return the only suite's directory."""
    (directory,) = (folder / "results").glob("*-suite-tiny*")
    return directory


def test_a_suite_goes_on_after_a_failure_and_its_runs_read(tmp_path: Path) -> None:
    """The second dataset is damaged: the first and the third run all the same; the exit code tells."""
    path = written(tmp_path)
    spec = suite_spec(str(path), [], []).entries[1].spec
    assert isinstance(spec, RunSpec)
    plan = plan_run(spec)
    prepared = prepare(plan.store, spec.workload, plan.layout)
    for index in range(plan.layout.count):
        (Path(str(prepared.store.local_root)) / plan.layout.path(index)).write_bytes(b"")
    done = ioprof("suite", str(path), "--json", cwd=tmp_path)
    assert (done.returncode, "Traceback" in done.stderr) == (1, False), done.stderr
    assert done.stderr.endswith("ioprof: error: 1 of 3 failed: second\n")
    record = json.loads(done.stdout)
    directory = suite_directory(tmp_path)
    assert json.loads((directory / "suite.json").read_text()) == record
    assert [entry["outcome"] for entry in record["entries"]] == ["complete", "failed", "complete"]
    assert "could not be read" in record["entries"][1]["reason"]
    for entry in record["entries"]:
        run = json.loads((directory / entry["directory"] / "run.json").read_text())
        assert run["outcome"] == entry["outcome"]
        assert ioprof("report", str(directory / entry["directory"]), cwd=tmp_path).returncode == 0
    assert record["entries"][2]["figures"]["samples_per_s"] > 0
    shown = ioprof("report", str(directory), cwd=tmp_path)
    assert (shown.returncode, "suite tiny" in shown.stdout) == (0, True), shown.stderr


def test_ctrl_c_keeps_what_was_done(tmp_path: Path) -> None:
    """The present run closes its directory, the next ones never begin, nothing is left behind; exit code 130."""
    process = start("suite", str(written(tmp_path, "60s")), "--set", "first.run.duration=1s", cwd=tmp_path)
    wait_for(lambda: len(list((tmp_path / "results").glob("*-suite-tiny/*/run.json"))) == 2, 120)
    wait_for(lambda: len(list((tmp_path / "results").glob("*-suite-tiny/*/trace/steps-0.log"))) == 1, 120)
    returncode, _, err = signalled(process, signal.SIGINT, group=True)
    assert (returncode, "Traceback" in err) == (130, False), err
    assert "partial suite kept" in err
    directory = suite_directory(tmp_path)
    record = json.loads((directory / "suite.json").read_text())
    assert record["outcome"] == "interrupted"
    assert [entry["outcome"] for entry in record["entries"]] == ["complete", "interrupted", "waiting"]
    assert sorted(run.outcome for run in past_runs(directory)) == ["complete", "interrupted"]
    shown = ioprof("report", str(directory), cwd=tmp_path)
    assert (shown.returncode, "third: waiting, not begun" in shown.stdout) == (0, True), shown.stderr
    wait_for(lambda: not leftovers(tmp_path), timeout_s=10)


def test_an_unknown_suite_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    """With the nearest name; nothing is made."""
    done = ioprof("suite", "quikc", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("ioprof: error: unknown suite 'quikc'; did you mean 'quick'?")
    assert list(tmp_path.iterdir()) == []
