"""How commands end when nobody reads what they print."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ioprof.cli.exits import reported
from ioprof.errors import StoreError

DATASET = ["small-files", "--files", "200", "--file-size", "4KiB", "--batch-size", "16", "--accelerator", "none"]
RUN = ["run", *DATASET, "--loader", "null", "--epochs", "2"]


def _without_reader(cwd: Path, *words: str, stderr_too: bool = False) -> tuple[int, str]:
    """Run ioprof with a stdout, or a stderr as well, whose reading end is closed; return exit code and stderr."""
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "ioprof.cli.main", *words]
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            stdout=writing,
            stderr=writing if stderr_too else subprocess.PIPE,
            check=False,
            timeout=120,
        )
    finally:
        os.close(writing)
    return done.returncode, (done.stderr or b"").decode()


@pytest.mark.parametrize(
    "words",
    [
        ["list"],
        ["list", "--json"],
        ["list", "small-files"],
        ["list", "h100"],
        ["run", "small-files", "--dry-run"],
        ["prepare", "small-files", "--files", "100", "--file-size", "4KiB", "--quiet"],
        [*RUN, "--quiet"],
        [*RUN, "--quiet", "--json"],
    ],
    ids=" ".join,
)
def test_a_command_whose_output_nobody_reads_on_ends_quietly(words: list[str], tmp_path: Path) -> None:
    """`| head -1` is no failure: exit code 0, no traceback."""
    assert _without_reader(tmp_path, *words) == (0, "")


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_an_unmet_requirement_is_told_even_when_nobody_reads_the_report(form: list[str], tmp_path: Path) -> None:
    """A gate in a pipeline must not open because of `| head`."""
    code, told = _without_reader(tmp_path, *RUN, "--quiet", "--require", "samples>1e12", *form)
    assert code == 3
    assert told.startswith("ioprof: error: --require samples_per_s>1e+12: not met")


def test_a_run_goes_on_when_nobody_reads_its_progress(tmp_path: Path) -> None:
    """`2>&1 | head -1`: the measurement is what matters, and it is complete."""
    code, _ = _without_reader(tmp_path, *RUN, stderr_too=True)
    assert code == 0
    (record,) = tmp_path.glob("results/*/run.json")
    assert json.loads(record.read_text())["outcome"] == "complete"


def test_a_run_that_fails_prints_the_summary_of_what_it_measured_as_json(tmp_path: Path) -> None:
    """Who asked for JSON gets it on stdout; the exit code and the reason on stderr stay."""
    command = [sys.executable, "-m", "ioprof.cli.main"]
    subprocess.run([*command, "prepare", *DATASET[:5]], cwd=tmp_path, check=True, capture_output=True)
    objects = [path for path in tmp_path.glob("ioprof-data/**/*") if path.is_file() and ".ioprof" not in path.parts]
    assert len(objects) == 200
    for path in objects:
        path.unlink()
    failing = ["run", *DATASET, "--workers", "0", "--epochs", "2", "--max-errors", "3", "--json", "--quiet"]
    done = subprocess.run([*command, *failing], cwd=tmp_path, check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "max-errors" in done.stderr
    assert json.loads(done.stdout)["outcome"] == "failed"


def test_prepare_tells_where_the_dataset_stands_without_the_secret(tmp_path: Path) -> None:
    """Its line on stdout ends up in logs of pipelines, and so does what stderr says."""
    words = ["prepare", "small-files", "--files", "10", "--file-size", "4KiB", "--store", "memory://me:se/cret@bucket"]
    done = subprocess.run(
        [sys.executable, "-m", "ioprof.cli.main", *words], cwd=tmp_path, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("memory://bucket/")
    assert "cret" not in done.stdout + done.stderr


def test_no_error_shows_a_secret_whoever_words_it(capsys: pytest.CaptureFixture[str]) -> None:
    """The last place that every message passes."""

    def failing() -> int:
        raise StoreError("s3://me:se/cret@bucket/x: refused; ask me@home")

    with pytest.raises(SystemExit):
        reported(failing)()
    assert capsys.readouterr().err == "ioprof: error: s3://bucket/x: refused; ask me@home\n"
