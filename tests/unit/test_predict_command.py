"""`ioprof predict`, on run directories written by hand."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from test_report_command import write_run
from trace_builder import MS, Pipeline, run_record

from ioprof.analysis.command import command_with
from ioprof.cli.predict import Asked, change_of, predict_command
from ioprof.errors import IoprofError, RunDirectoryError, UsageError

COMMAND = ["ioprof", "run", "small-files", "--workers", "2", "--set", "loader.prefetch=2", "--store=./my data"]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Return the directory of a run whose two workers starve the accelerator."""
    run = Pipeline(fetch=[20 * MS] * 80, prep=[MS] * 80, compute=[5 * MS] * 80)
    return write_run(tmp_path / "run", run.trace(busy_ns=5 * MS, command=COMMAND, host={"affinity_cores": 16}))


def told(directory: Path, capsys: pytest.CaptureFixture[str], asked: Asked, *, as_json: bool = False) -> str:
    """Return what the command prints."""
    assert predict_command(directory, [], asked, as_json=as_json) == 0
    return capsys.readouterr().out


def test_it_prints_now_and_then_and_what_to_type(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The table holds the measured and the predicted figures; the command is the user's own with the flags changed."""
    text = " ".join(told(directory, capsys, Asked(workers=4, prefetch=3)).split())
    assert "with workers 4, prefetch 3" in text
    assert "measured predicted 95 % CI" in text and "utilisation 47" in text
    assert "ioprof run small-files '--store=./my data' --workers 4 --prefetch 3" in text.replace("Try: ", "")


def test_json_has_the_public_keys(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Rates and utilisation with their intervals, and all that they rest on."""
    found = json.loads(told(directory, capsys, Asked(workers=8, compute="2ms"), as_json=True))
    assert found["samples_per_s_ci95"][0] < found["samples_per_s"] < found["samples_per_s_ci95"][1]
    assert 0 < found["accelerator_utilization"] < 1 and len(found["accelerator_utilization_ci95"]) == 2
    assert found["setting"]["workers"] == 8 and found["measured"]["steps"] == 80
    assert found["replayed_steps"] >= 80 and "steps" not in found
    assert isinstance(found["assumptions"], list) and isinstance(found["outside"], list)


def test_an_accelerator_says_where_its_step_time_is_from(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A number from a table has its source beside it; a time that was typed needs none."""
    asked = Asked(accelerator="h100")
    assert "The step time of h100 is" in " ".join(told(directory, capsys, asked).split())
    assert any("h100" in one for one in json.loads(told(directory, capsys, asked, as_json=True))["assumptions"])
    assert "step time" not in told(directory, capsys, Asked(compute="2ms"))


def test_without_compute_there_is_no_utilisation_and_no_question_mark(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The change says why."""
    text = told(directory, capsys, Asked(compute="0"))
    assert "as fast as they come, so no utilisation" in " ".join(text.split())
    assert "no accelerator" in text and "?" not in text


def test_many_ranks_on_one_host_are_told_what_ends_them(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Their CPUs do, where they compute."""
    text = " ".join(told(directory, capsys, Asked(ranks=64, compute="0", cores=1.0)).split())
    assert "The CPUs are the limit: the 64 ranks of a host keep 1.0 of 1 busy" in text


def test_what_no_flag_of_a_run_does_has_no_command(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Another store cannot be typed."""
    assert "Try:" not in told(directory, capsys, Asked(workers=4, store_latency="x0.5"))


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (Asked(store_latency="fast"), "write a factor such as x0.5"),
        (Asked(store_iops="x-1"), "write a factor"),
        (Asked(stages=["raed=x2"]), "did you mean 'read'"),
        (Asked(stages=["read"]), "--stage read=x0.5"),
        (Asked(stages=["in_order=x0"]), "no such stage"),
        (Asked(compute="soon"), "--compute soon"),
        (Asked(in_order="no"), "--in-order no: write true or false"),
        (Asked(cpu_speed="x0"), "cpu speed factor is 0.0; it must be positive"),
        (Asked(accelerator="h10000"), "h10000"),
        (Asked(ranks=8, hosts=3), "cannot be shared out evenly"),
        (Asked(accelerator="none", compute="2ms"), "none"),
    ],
)
def test_a_flag_that_makes_no_sense_is_refused_with_its_value(asked: Asked, words: str) -> None:
    """In one line, with exit code 2."""
    with pytest.raises(UsageError) as refused:
        change_of(asked, run_record())
    assert words in str(refused.value) and "\n" not in str(refused.value)
    assert refused.value.exit_code == 2


def test_flags_of_the_loader_are_written_as_for_a_run() -> None:
    """`--in-order false`, as `ioprof run` takes it."""
    change = change_of(Asked(in_order="false", pin="TRUE", cpu_speed="x1.2"), run_record())
    assert (change.in_order, change.pin, change.cpu_speed_factor) == (False, True, 1.2)


@pytest.mark.parametrize("factor", ["x0.5", "0.5x", "0.5", " X0.5 "])
def test_factors_are_read_as_people_write_them(factor: str) -> None:
    """With the cross before or behind, or without."""
    assert change_of(Asked(store_bandwidth=factor), run_record()).store_bandwidth_factor == 0.5


def test_a_directory_that_is_no_run_is_refused(tmp_path: Path) -> None:
    """As by the report."""
    with pytest.raises(RunDirectoryError, match="not a run directory"):
        predict_command(tmp_path, [], Asked(), as_json=False)


def test_a_killed_run_with_hardly_any_steps_is_told_what_it_lacks(tmp_path: Path) -> None:
    """Clear words, and no figures."""
    short = Pipeline(fetch=[MS] * 4, prep=[MS] * 4, compute=[MS] * 4).trace()
    directory = write_run(tmp_path / "run", dataclasses.replace(short))
    with pytest.raises(IoprofError, match="4 measured steps"):
        predict_command(directory, [], Asked(workers=4), as_json=False)


def test_a_command_keeps_what_is_not_changed() -> None:
    """Flags are replaced in both spellings, and assignments of the same keys go."""
    run = run_record(command=["ioprof", "run", "x", "--workers=2", "--set", "loader.workers=3", "--seed", "1"])
    assert command_with(run, {"workers": "4"}) == "ioprof run x --seed 1 --workers 4"
    assert command_with(run_record(command=["python", "train.py"]), {"workers": "4"}) is None
