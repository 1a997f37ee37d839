"""What `ioprof tune` refuses before it measures anything, and what it requires of the winner."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ioprof.cli.tune import run_words, tune_command
from ioprof.errors import RequirementError, UsageError
from ioprof.tuning.setting import Setting

pytestmark = [
    pytest.mark.usefixtures("nothing_left"),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]


def tune(folder: Path, *more: tuple[str, str], budget: str | None = None, require: tuple[str, ...] = ()) -> int:
    """Tune no more than one worker against none, in runs of a second."""
    flags = [("store", str(folder / "data")), ("results", str(folder / "results")), ("files", "200"),
             ("file-size", "4KiB"), ("batch-size", "8"), ("prefetch", "2"), ("duration", "1s"), ("cache", "warm"),
             ("loader", "processes"), *more]  # fmt: skip
    return tune_command(
        "small-files", flags, [], [], most_workers=1, budget=budget, require=list(require), dry_run=False,
        as_json=True, quiet=True,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("budget", "require", "told"),
    [
        ("0s", (), r"^--budget 0s: must be above 0"),
        ("-5s", (), r"^--budget"),
        (None, ("au>=high",), r"^--require"),
        (None, ("au>=0.5",), r"there is no utilisation without an accelerator"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_made(
    budget: str | None, require: tuple[str, ...], told: str, tmp_path: Path
) -> None:
    """One line of usage, and no folder."""
    with pytest.raises(UsageError, match=told):
        tune(tmp_path, ("accelerator", "none"), budget=budget, require=require)
    assert not list(tmp_path.iterdir())


def test_the_winners_run_must_meet_what_is_required(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The answer is printed all the same; the error names the requirement."""
    with pytest.raises(RequirementError, match=r"--require samples_per_s>=1e\+12: not met"):
        tune(tmp_path, ("accelerator", "none"), require=("samples>=1e12", "samples>0"))
    assert json.loads(capsys.readouterr().out)["chosen"]["setting"]["workers"] in (0, 1)


def test_the_command_for_the_winner_leaves_out_what_only_tune_knows() -> None:
    """A run that must reach what the tuning had to would be another question."""
    words = ["ioprof", "tune", "small-files", "--require", "au>=0.9", "--budget=60s", "--seed", "3"]
    assert run_words(words, Setting(2, 4)) == "ioprof run small-files --seed 3 --workers 2 --prefetch 4"
