"""Suites: which runs a name or a file means, all checked before the first one starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from ioprof.cli.report import past_runs
from ioprof.compound import suite_spec as suite_module
from ioprof.compound.mixed_spec import MixedSpec
from ioprof.compound.suite_lists import SUITES, ListedEntry, ListedSuite
from ioprof.compound.suite_record import SUITE_FORMAT, SUITE_JSON, SuiteEntryRecord, SuiteRecord
from ioprof.compound.suite_spec import SuiteSpec, suite_spec
from ioprof.errors import PluginError, RunDirectoryError, SpecError
from ioprof.report.suite import render_suite
from ioprof.spec.model import RunSpec
from ioprof.trace.json_record import read_record, write_record
from tests.unit.test_interference import figures

GOOD = """
name = "nightly"
[store]
url = "./here"
[run]
duration = "7s"
seed = 3
[[entry]]
workload.name = "small-files"
workload.files = 300
run.seed = 4
[[entry]]
name = "many"
workload.name = "small-files"
loader.workers = 1
"""


def spec_of(folder: Path, text: str, *assignments: str, flags: dict[str, str] | None = None) -> SuiteSpec:
    """Write a file and resolve it."""
    (folder / "s.toml").write_text(text)
    return suite_spec(str(folder / "s.toml"), (flags or {}).items(), assignments)


def run_of(suite: SuiteSpec, name: str) -> RunSpec:
    """Return an entry's spec."""
    (found,) = [entry.spec for entry in suite.entries if entry.name == name]
    assert isinstance(found, RunSpec)
    return found


@pytest.mark.parametrize("name", SUITES)
def test_built_in_suites_can_be_run_as_they_are_listed(name: str) -> None:
    """Every setting exists, every value is in range; nothing that ioprof brings is missing."""
    suite = suite_spec(name, [], [])
    assert [entry.name for entry in suite.entries] == [entry.workload for entry in SUITES[name].entries]
    assert [entry.missing for entry in suite.entries] == [None] * len(suite.entries)


def test_what_is_not_installed_is_skipped_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A built-in list does not fail because a package lacks; a wrong setting would."""
    listed = ListedSuite(summary="x", entries=(ListedEntry(workload="nowhere"), ListedEntry(workload="small-files")))
    monkeypatch.setattr(suite_module, "SUITES", {"part": listed})
    entries = suite_spec("part", [], []).entries
    assert [(entry.name, entry.missing) for entry in entries] == [("nowhere", "not installed"), ("small-files", None)]
    monkeypatch.setattr(suite_module, "SUITES", {"part": ListedSuite(summary="x", entries=listed.entries[:1])})
    with pytest.raises(SpecError, match="suite part: nothing of it is installed here"):
        suite_spec("part", [], [])


def test_an_entrys_own_value_wins_over_the_common_one(tmp_path: Path) -> None:
    """And the common one over the default."""
    suite = spec_of(tmp_path, GOOD)
    assert (suite.name, suite.store_url) == ("nightly", "./here")
    first, many = run_of(suite, "small-files"), run_of(suite, "many")
    assert (first.run.seed, many.run.seed) == (4, 3)
    assert {one.run.duration for one in (first, many)} == {7 * 10**9}
    assert {one.store.url for one in (first, many)} == {"./here"}


def test_what_is_typed_wins_over_the_file(tmp_path: Path) -> None:
    """For all entries, or for the named one."""
    words = ["run.seed=9", "many.workload.files=77"]
    suite = spec_of(tmp_path, GOOD, *words, flags={"store": "./there", "results": "./out"})
    first, many = run_of(suite, "small-files"), run_of(suite, "many")
    assert (first.run.seed, many.run.seed) == (9, 9)
    assert [one.workload_params.model_dump()["files"] for one in (first, many)] == [300, 77]
    assert (suite.store_url, first.store.url, str(suite.results)) == ("./there", "./there", "out")


def test_an_entry_may_be_a_file_or_a_mixed_run(tmp_path: Path) -> None:
    """Relative to the suite's file; what stands in the entry goes on top of the file."""
    (tmp_path / "one.toml").write_text('[workload]\nname = "small-files"\nfiles = 99\n[loader]\nworkers = 1\n')
    text = (
        '[[entry]]\nfile = "one.toml"\nworkload.files = 100\n[[entry]]\nworkload.name = "mixed"\nrun.duration = "2s"\n'
    )
    suite = spec_of(tmp_path, text, "mixed.pipeline.train.workload.files=200")
    spec = run_of(suite, "small-files")
    assert (spec.workload_params.model_dump()["files"], spec.loader_params.model_dump()["workers"]) == (100, 1)
    mixed = suite.entries[1].spec
    assert isinstance(mixed, MixedSpec)
    assert mixed.duration_ns == 2 * 10**9
    assert mixed.pipelines["train"].workload_params.model_dump()["files"] == 200


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("name = 'x'\n", "no entries: write [[entry]]"),
        ("name = 3\n[[entry]]\nworkload.name = 'small-files'\n", "name = 3: a name is text"),
        (GOOD + "[loader]\nworkers = 3\n", "[loader]: each entry's own: write it below [[entry]]"),
        (GOOD + "[sore]\nurl = 'x'\n", "[sore]: unknown here; did you mean 'store'?"),
        (GOOD + "[[entry]]\nloader.workers = 1\n", "entry 3: no workload named: write workload.name"),
        (GOOD + "[[entry]]\nworklod.name = 'x'\n", "entry 3: unknown key 'worklod'; did you mean 'workload'?"),
        (GOOD + "[[entry]]\nname = 'many'\nworkload.name = 'small-files'\n", "there are two entries called 'many'"),
        (GOOD + "[[entry]]\nstore.url = 'x'\nworkload.name = 'small-files'\n", "all entries use one store"),
        (GOOD + "[[entry]]\nfile = 3\n", "entry 3: file = 3: write the path of a spec file"),
        (GOOD + "[[entry]]\nfile = 'gone.toml'\n", "gone.toml: cannot be read"),
        (GOOD + "[[entry]]\nname = 'x'\nworkload.name = 'small-files'\nworkload.fils = 3\n", "entry x: "),
        (GOOD + "[[entry]]\nworkload.name = 'mixed'\nloader.workers = 3\n", "loader is each pipeline's own"),
        (GOOD.replace("seed = 3", "epochs = 3"), "run.epochs: not every entry has epochs"),
        (
            GOOD.replace("loader.workers = 1", "loader.batch_size = '1M'"),
            "entry many: loader.batch_size = 1000000: more",
        ),
        ("entry = 3\n", "no entries"),
    ],
)
def test_a_wrong_file_is_told_with_the_entry(tmp_path: Path, text: str, told: str) -> None:
    """One line, before anything runs."""
    with pytest.raises(SpecError) as caught:
        spec_of(tmp_path, text)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_unknown_names_are_refused_with_the_nearest(tmp_path: Path) -> None:
    """Suites, workloads of a file of one's own, entries of an assignment."""
    with pytest.raises(SpecError, match="unknown suite 'quik'; did you mean 'quick'"):
        suite_spec("quik", [], [])
    with pytest.raises(SpecError, match="unknown suite 'zzz'; known: quick, full"):
        suite_spec("zzz", [], [])
    with pytest.raises(PluginError, match=r"entry smal-files: .*did you mean 'small-files'"):
        spec_of(tmp_path, GOOD + "[[entry]]\nworkload.name = 'smal-files'\n")
    with pytest.raises(SpecError, match=r"unknown section 'nobody'|no entry or section 'nobody'"):
        spec_of(tmp_path, GOOD, "nobody.workload.files=3")


def record() -> SuiteRecord:
    """Return a suite of which one ran, one failed, one was interrupted, one was skipped and one never began."""
    entries = [
        SuiteEntryRecord(
            name="small-files", workload="small-files", outcome="complete", seconds=12.0, figures=figures(1234),
            directory="d", verdict="The accelerator waited for storage.",
        ),
        SuiteEntryRecord(name="etl", workload="etl", outcome="failed", reason="the store is full", seconds=1.0),
        SuiteEntryRecord(name="record-reads", workload="record-reads", outcome="interrupted", reason="SIGINT received"),
        SuiteEntryRecord(name="x", workload="x", outcome="skipped", reason="not installed"),
        SuiteEntryRecord(name="mixed", workload="mixed", outcome="waiting"),
    ]  # fmt: skip
    return SuiteRecord(
        ioprof_version="1", suite="quick", outcome="interrupted", reason="SIGINT received", started_utc="x", command=[],
        label=None, store="./s", entries=entries,
    )  # fmt: skip


def test_a_report_shows_each_entry_and_why_it_is_missing() -> None:
    """Nobody has to guess what became of a workload."""
    text = "\n".join(line.plain for line in render_suite(record(), 80))
    assert "1,234  50.0 %  3,702" in text
    assert "small-files: The accelerator waited for storage." in text
    assert "etl: the store is full" in text
    assert "x: skipped, not installed" in text
    assert "mixed: waiting, not begun" in text
    assert text.endswith("interrupted: SIGINT received")


def test_suite_json_reads_back_and_refuses_what_it_cannot_read(tmp_path: Path) -> None:
    """Newer formats and damaged files end in one line."""
    path = tmp_path / SUITE_JSON
    write_record(path, record())
    assert read_record(path, SuiteRecord, SUITE_FORMAT) == record()
    path.write_text(record().model_dump_json().replace('"format":1', '"format":99'))
    with pytest.raises(RunDirectoryError, match="format 99 is newer than 1"):
        read_record(path, SuiteRecord, SUITE_FORMAT)
    path.write_text("{}")
    with pytest.raises(RunDirectoryError, match="corrupt"):
        read_record(path, SuiteRecord, SUITE_FORMAT)
    path.write_text('{"format": 1}')
    with pytest.raises(RunDirectoryError, match="corrupt: ioprof_version"):
        read_record(path, SuiteRecord, SUITE_FORMAT)


def test_past_suites_are_listed_with_their_outcome(tmp_path: Path) -> None:
    """A damaged one is listed as unreadable and hurts no other."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_record(tmp_path / name / SUITE_JSON, record())
    (tmp_path / "b" / SUITE_JSON).write_text("{}")
    assert {(run.name, run.workload, run.outcome) for run in past_runs(tmp_path)} == {
        ("a", "suite quick", "interrupted"),
        ("b", None, "unreadable"),
    }
