"""`ioprof compare` as a user meets it: kept runs, and what cannot be compared."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.e2e.driver import ioprof

PUBLISHED = Path(__file__).parents[2] / "results" / "published"
SMALL = next((PUBLISHED / "suite-quick").glob("*-small-files-*"))
SHARDS = next((PUBLISHED / "suite-quick").glob("*-streaming-shards-*"))


@pytest.fixture
def pair(tmp_path: Path) -> tuple[str, str]:
    """The same run twice, in folders of other names, on stores of other names."""
    for name, label in (("one", "first"), ("two", "second")):
        shutil.copytree(SMALL, tmp_path / name)
        path = tmp_path / name / "run.json"
        record = json.loads(path.read_text())
        record["label"], record["store"]["url"] = label, f"/mnt/{label}/small-files-x"
        path.write_text(json.dumps(record))
    return str(tmp_path / "one"), str(tmp_path / "two")


def test_alike_runs_are_compared_and_nobody_wins(pair: tuple[str, str], tmp_path: Path) -> None:
    """A ratio of one, what differs, exit code 0; the page is written."""
    done = ioprof("compare", *pair, "--html", "c.html", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "B delivers 1.000 x the samples/s of A" in " ".join(done.stdout.split())
    assert "no difference beyond 2 %" in " ".join(done.stdout.split())
    assert "store: /mnt/first against /mnt/second" in " ".join(done.stdout.split())
    assert "<h2" in (tmp_path / "c.html").read_text()


def test_sides_may_be_labels(pair: tuple[str, str], tmp_path: Path) -> None:
    """As JSON, for machines."""
    done = ioprof("compare", *pair, "--by", "label", "--json", cwd=tmp_path)
    content = json.loads(done.stdout)
    assert [side["name"] for side in content["sides"]] == ["first", "second"]
    assert content["comparisons"][0]["ratios"][0]["ratio"] == 1.0


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["{one}"], 2, "one run: there is nothing to compare"),
        (["{one}", "{one}"], 2, "named twice"),
        (["{one}", "{two}", "--by", "loader"], 2, "all 2 runs have the loader 'torch-map'"),
        (["{one}", str(SHARDS)], 2, "the runs are not alike: "),
        (["{one}", "/nowhere"], 1, "/nowhere: not a run directory"),
        (["{one}", str(PUBLISHED / "suite-quick")], 1, "holds several runs; name them, such as "),
        (["{one}", "{two}", "--at-least", "1.5"], 3, "--at-least 1.5: not met"),
        (["{one}", "{two}", "--by", "colour"], 2, "colour"),
    ],
)
def test_what_cannot_be_compared_is_said_in_a_line(
    pair: tuple[str, str], tmp_path: Path, words: list[str], code: int, told: str
) -> None:
    """With the exit code that fits."""
    done = ioprof("compare", *(word.format(one=pair[0], two=pair[1]) for word in words), cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert told in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_what_is_not_alike_is_compared_by_force_and_said(pair: tuple[str, str], tmp_path: Path) -> None:
    """Every unfair difference stands in the report."""
    done = ioprof("compare", pair[0], str(SHARDS), "--force", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "! not alike: workload: small-files against streaming-shards" in done.stdout
