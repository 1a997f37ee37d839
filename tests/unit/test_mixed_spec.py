"""Mixed runs: which pipelines a file or a command line means; what is wrong is told with the pipeline and the key."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ioprof.compound.mixed_spec import MixedSpec, is_mixed, phases_of, raw_mixed, resolve_mixed
from ioprof.compound.mixed_text import mixed_toml
from ioprof.errors import PluginError, SpecError, UsageError
from ioprof.spec.resolve import resolve
from ioprof.spec.sources import read_toml

GOOD = """
[store]
url = "./here"
[run]
duration = "7s"
[pipeline.train]
workload.name = "small-files"
workload.files = 300
loader.workers = 3
[pipeline.tiny.workload]
name = "small-files"
files = 200
[pipeline.tiny.run]
warmup = 2
cache = "asis"
"""


def spec_of(folder: Path, text: str, *assignments: str, flags: dict[str, str] | None = None) -> MixedSpec:
    """Write a file and resolve it."""
    (folder / "m.toml").write_text(text)
    return resolve_mixed(raw_mixed(str(folder / "m.toml"), (flags or {}).items(), assignments, []))


def test_each_pipeline_has_its_own_spec_and_all_share_store_and_duration(tmp_path: Path) -> None:
    """Both ways to write a section mean the same."""
    spec = spec_of(tmp_path, GOOD)
    train, tiny = spec.pipelines.values()
    assert list(spec.pipelines) == ["train", "tiny"]
    assert (train.sections(as_text=False)["loader"]["workers"], train.run.warmup, train.run.cache) == (3, 5, "cold")
    assert (tiny.sections(as_text=False)["workload"]["files"], tiny.run.warmup, tiny.run.cache) == (200, 2, "asis")
    assert {one.store.url for one in (train, tiny)} == {"./here"}
    assert {one.run.duration for one in (train, tiny)} == {spec.duration_ns} == {7 * 10**9}


def test_flags_and_assignments_reach_all_or_the_named_pipeline(tmp_path: Path) -> None:
    """What was typed wins over the file."""
    words = ["pipeline.train.workload.files=99", "run.seed=5"]
    spec = spec_of(tmp_path, GOOD, *words, flags={"duration": "2s", "store": "./there"})
    assert spec.pipelines["train"].workload_params.model_dump()["files"] == 99
    assert {one.run.seed for one in spec.pipelines.values()} == {5}
    assert (spec.duration_ns, spec.store_url) == (2 * 10**9, "./there")


def test_a_printed_mixed_run_gives_the_same_again(tmp_path: Path) -> None:
    """`--dry-run` writes every default out."""
    first = spec_of(tmp_path, GOOD)
    text = mixed_toml(first)
    assert tomllib.loads(text)["pipeline"]["tiny"]["workload"]["files"] == 200
    again = spec_of(tmp_path, text)
    assert mixed_toml(again) == text
    assert again.pipelines == first.pipelines


def test_mixed_without_a_file_takes_what_is_installed() -> None:
    """Training on small files beside another load, and all phases within the minute."""
    spec = resolve_mixed(raw_mixed("mixed", [], [], []))
    assert next(iter(spec.pipelines)) == "train"
    assert len(spec.pipelines) == 2
    assert 20 * 10**9 <= spec.duration_ns * len(spec.phases) <= 60 * 10**9


@given(st.lists(st.from_regex(r"[a-z]{1,5}", fullmatch=True), min_size=2, max_size=7, unique=True))
def test_phases_are_each_alone_then_all_then_every_pair(names: list[str]) -> None:
    """Every pair meets exactly once, or in the phase of all where there are only two."""
    phases = phases_of(names)
    assert phases[: len(names)] == tuple((name,) for name in names)
    assert phases[len(names)] == tuple(names)
    pairs = [frozenset(phase) for phase in phases if len(phase) == 2]
    assert len(set(pairs)) == len(pairs) == len(names) * (len(names) - 1) // 2


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[workload]\nname = 'mixed'\n", "no pipelines: a mixed run needs two or more; write [pipeline.train]"),
        ("[pipeline.a]\nworkload.name = 'small-files'\n", "one pipeline: a mixed run needs two or more"),
        (GOOD + "[pipelin.x]\n", "unknown section [pipelin]; did you mean 'pipeline'?"),
        (GOOD + "[pipeline.train.lodaer]\n", "unknown section [pipeline.train.lodaer]; did you mean 'loader'?"),
        (GOOD + "[pipeline.tiny.loader]\nworkrs = 3\n", "pipeline.tiny.loader.workrs = 3: unknown key 'workrs'"),
        (GOOD + "[pipeline.tiny.loader]\nworkrs = 3\n", "did you mean 'workers'?"),
        (GOOD + "[pipeline.x]\nloader.workers = 1\n", "pipeline.x: no workload named: write workload.name"),
        (GOOD + "[pipeline.x]\nworkload.name = 'mixed'\n", "pipeline.x.workload.name = 'mixed': a pipeline cannot"),
        (GOOD + "[pipeline.x]\nstore.url = './x'\n", "pipeline.x.store.url: all pipelines use one store"),
        (GOOD + "[pipeline.x]\nrun.duration = '3s'\n", "pipeline.x.run.duration: is the same for all pipelines"),
        (GOOD + "[pipeline.x]\nrun.epochs = 3\n", "pipeline.x.run.epochs: the phases of a mixed run last equally long"),
        (GOOD + "[loader]\nworkers = 3\n", "[loader] is each pipeline's own: write [pipeline.NAME.loader]"),
        (GOOD + "[workload]\nfiles = 3\n", "workload.files: is each pipeline's own"),
        (GOOD + "[pipeline.'a b']\nworkload.name = 'small-files'\n", "pipeline name 'a b': use up to 24 letters"),
        (GOOD + "[pipeline.train]\n", "there are two pipelines called 'train'; give one another name"),
        ("pipeline = 3\n", "m.toml: one pipeline: a mixed run needs two or more"),
        (GOOD.replace('duration = "7s"', "epochs = 3"), "run.epochs: the phases of a mixed run last equally long"),
        (GOOD.replace('duration = "7s"', "duration = '7'"), "run.duration = '7'"),
        (GOOD.replace("warmup = 2", "warmup = 0"), "pipeline.tiny.run.warmup = 0: the first step of a pipeline waits"),
        (GOOD.replace('duration = "7s"', "warmup = 0"), "pipeline.train: "),
    ],
)
def test_a_wrong_file_is_told_with_the_pipeline_and_the_key(tmp_path: Path, text: str, told: str) -> None:
    """One line that starts with the file."""
    with pytest.raises(SpecError) as caught:
        spec_of(tmp_path, text)
    assert told in str(caught.value)
    assert str(tmp_path / "m.toml") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_pipeline_with_an_unknown_workload_is_named(tmp_path: Path) -> None:
    """With the nearest name, as everywhere."""
    with pytest.raises(PluginError, match=r"m\.toml: pipeline\.x\.workload\.name = 'smal-files': .* 'small-files'\?"):
        spec_of(tmp_path, GOOD + "[pipeline.x]\nworkload.name = 'smal-files'\n")


@pytest.mark.parametrize(
    ("assignment", "told"),
    [
        ("pipeline.trian.workload.files=3", "no pipeline 'trian'; did you mean 'train'?"),
        ("workload.files=3", "is each pipeline's own: --set pipeline.NAME.workload.files=3"),
        ("pipeline.train.run.duration=3s", "is the same for all pipelines"),
        ("pipeline.train.wrkload.files=3", "unknown section 'wrkload'"),
        ("pipeline.train.run.warmup=0", "pipeline.train: --set run.warmup = 0: the first step of a pipeline waits"),
        ("nonsense", "write it as section.key=value"),
        ("pipeline.train.loader.workrs=3", "pipeline.train: --set loader.workrs = '3': unknown key 'workrs'"),
    ],
)
def test_a_wrong_assignment_is_told(tmp_path: Path, assignment: str, told: str) -> None:
    """Which pipelines there are, and where the key belongs."""
    with pytest.raises(SpecError) as caught:
        spec_of(tmp_path, GOOD, assignment)
    assert told in str(caught.value)


@pytest.mark.parametrize("flag", ["workers", "files", "epochs", "accelerator"])
def test_flags_of_one_pipeline_are_refused_with_the_way_to_say_it(tmp_path: Path, flag: str) -> None:
    """A mixed run has no single loader that --workers could mean."""
    with pytest.raises(UsageError, match=r"of which pipeline|use --duration"):
        spec_of(tmp_path, GOOD, flags={flag: "3"})


def test_a_mixed_file_is_recognised_and_refused_where_one_run_is_meant(tmp_path: Path) -> None:
    """By its pipelines or by the name; other files are none."""
    for name, text, mixed in (
        ("a.toml", GOOD, True),
        ("b.toml", "[workload]\nname = 'mixed'\n", True),
        ("c.toml", "[workload]\nname = 'small-files'\n", False),
    ):
        (tmp_path / name).write_text(text)
        assert is_mixed(str(tmp_path / name)) is mixed
    assert is_mixed("mixed")
    assert not is_mixed("small-files")
    with pytest.raises(SpecError, match="has pipelines: it is a mixed run"):
        resolve(read_toml(tmp_path / "a.toml"))
