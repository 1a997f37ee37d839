"""A run's spec: refused in one line with place, value and the nearest right name; rendered, it gives itself again."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from ioprof.api import spec_of
from ioprof.errors import PluginError, SpecError
from ioprof.plugins import find_loader, find_workload
from ioprof.spec.flags import raw_spec
from ioprof.spec.model import AcceleratorSection, LoaderSection, RunSection, RunSpec, StoreSection
from ioprof.spec.quantities import Bytes, Count, DurationNs
from ioprof.spec.render import allowed, shown, to_toml
from ioprof.spec.resolve import DEFAULT_DURATION_NS, resolve
from ioprof.spec.sources import RawSpec, put_assignment, read_toml


def _raw(**sections: dict[str, str | int | float | bool]) -> RawSpec:
    raw = RawSpec()
    raw.put("workload", "name", "small-files", "test")
    for section, values in sections.items():
        for key, value in values.items():
            raw.put(section, key, value, f"{section}.{key}")
    return raw


def _file(folder: Path, text: str) -> Path:
    path = folder / "my.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_defaults_make_a_run_of_thirty_seconds_with_torch() -> None:
    """Nothing but the workload's name is needed."""
    spec = resolve(_raw())
    assert (spec.workload, spec.loader, spec.run.duration, spec.run.epochs) == (
        "small-files",
        "torch-map",
        DEFAULT_DURATION_NS,
        None,
    )


def test_epochs_alone_set_no_duration() -> None:
    """Who asks for two epochs gets two epochs, however long they take."""
    assert resolve(_raw(run={"epochs": 2})).run.duration is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[loader]\nwokers = 4", "loader.wokers = 4: unknown key 'wokers' in [loader]; did you mean 'workers'?"),
        ("[workload]\nfilez = 4", "workload.filez = 4: unknown key 'filez' in [workload]; did you mean 'files'?"),
        ("[run]\nzzzzz = 1", "run.zzzzz = 1: unknown key 'zzzzz' in [run]; known here: "),
        ("[lodaer]\nworkers = 4", "unknown section [lodaer]; did you mean 'loader'?"),
        ("loader = 4", "'loader' must be a section: write [loader] and its keys below it"),
        ("[loader]\nworkers = [1, 2]", "loader.workers = [1, 2] must be one plain value"),
        ("[loader]\nworkers = 2000", "loader.workers = 2000: input should be less than or equal to 1024"),
        ("[loader]\nworkers = -1", "loader.workers = -1: input should be greater than or equal to 0"),
        ("[loader]\nworkers = 'many'", "loader.workers = 'many': 'many' is not a count; write it like 500, 20k or 1M"),
        ("[loader]\npersistent = 'perhaps'", "loader.persistent = 'perhaps': input should be a valid boolean"),
        (
            "[loader]\nstart_method = 'vfork'",
            "loader.start_method = 'vfork': input should be 'fork', 'spawn' or 'forkserver'",
        ),
        ("[workload]\nfiles = 0", "workload.files = 0: input should be greater than or equal to 1"),
        ("[workload]\nfile_size = '4 apples'", "workload.file_size = '4 apples': '4 apples': unknown unit 'apples'"),
        ("[workload]\ndecode = '-1s'", "workload.decode = '-1s': input should be greater than or equal to 0"),
        ("[run]\ncache = 'hot'", "run.cache = 'hot': input should be 'cold', 'warm' or 'asis'"),
        ("[run]\nduration = '0s'", "run.duration = '0s': input should be greater than 0"),
        ("[run]\nlabel = 'a/b'", "run.label = 'a/b': "),
        ("[accelerator]\ncompute = 20", "accelerator.compute = 20: 20 has no unit; write 20ms or 20s"),
        ("[accelerator]\ncompute = '2 weeks'", "accelerator.compute = '2 weeks': '2 weeks': unknown unit 'weeks'"),
        ("[workload]\nname = 4", "workload.name = 4: a name is text"),
        ("[loader", "not a TOML file: "),
        ("a = " + "[" * 5000 + "]" * 5000, "not a TOML file: nested too deeply"),
    ],
)
def test_a_wrong_spec_file_is_refused_in_one_line_with_place_and_value(
    content: str, message: str, tmp_path: Path
) -> None:
    """File, key, value, and what is right instead."""
    path = _file(tmp_path, content)
    with pytest.raises(SpecError) as caught:
        raw = read_toml(path)
        if "name" not in raw.values["workload"]:
            raw.put("workload", "name", "small-files", "test")
        resolve(raw)
    text = str(caught.value)
    assert text.startswith(f"{path}: {message}"), text
    assert "\n" not in text


def test_a_spec_file_that_is_not_there_or_no_text_is_refused(tmp_path: Path) -> None:
    """The path and the reason, nothing more."""
    with pytest.raises(SpecError, match=r"my\.toml: cannot be read: No such file"):
        read_toml(tmp_path / "my.toml")
    binary = tmp_path / "my.toml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SpecError, match="not a TOML file"):
        read_toml(binary)


def test_a_spec_without_a_workload_and_one_with_an_unknown_loader_are_refused() -> None:
    """There is no default workload; names are checked against what is installed."""
    with pytest.raises(SpecError, match="no workload named"):
        resolve(RawSpec())
    with pytest.raises(PluginError, match="did you mean 'torch-map'"):
        resolve(_raw(loader={"name": "torchmap"}))


@pytest.mark.parametrize("text", ["workers=4", "loader=4", "loader.=4", "loader.workers"])
def test_an_assignment_of_another_form_is_refused_with_an_example(text: str) -> None:
    """``--set`` takes section.key=value."""
    with pytest.raises(SpecError, match=r"write it as section\.key=value"):
        put_assignment(RawSpec(), text)


def test_an_assignment_to_an_unknown_section_offers_the_nearest() -> None:
    """As in a file."""
    with pytest.raises(SpecError, match="unknown section 'runn'; did you mean 'run'"):
        put_assignment(RawSpec(), "runn.epochs=2")


SECTIONS = st.fixed_dictionaries(
    {
        "workload": st.fixed_dictionaries(
            {
                "files": st.integers(1, 10**9),
                "file_size": st.sampled_from(["4KiB", "uniform:1KiB-64KiB", "lognormal:112KiB:0.5"]),
                "files_per_dir": st.integers(1, 10**7),
                "compress_ratio": st.floats(1, 100),
                "decode": st.integers(0, 60 * 10**9).map(lambda ns: f"{ns}ns"),
                "shuffle": st.booleans(),
                "discovery": st.sampled_from(["list", "list+stat", "none"]),
            }
        ),
        "store": st.fixed_dictionaries(
            {"url": st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=30)}
        ),
        "loader": st.fixed_dictionaries(
            {
                "name": st.just("torch-map"),
                "batch_size": st.integers(1, 10**7),
                "workers": st.integers(0, 1024),
                "in_order": st.booleans(),
                "start_method": st.sampled_from(["fork", "spawn", "forkserver"]),
            }
        ),
        "accelerator": st.fixed_dictionaries(
            {"name": st.sampled_from(["none", "h100", "H100", "v100"])},
            optional={"compute": st.integers(0, 3600 * 10**9).map(lambda ns: f"{ns}ns")},
        ),
        "run": st.fixed_dictionaries(
            {"seed": st.integers(0, 2**63 - 1), "cache": st.sampled_from(["cold", "warm", "asis"])},
            optional={
                "epochs": st.integers(1, 10**6),
                "duration": st.integers(1, 30 * 86400 * 10**9).map(lambda ns: f"{ns}ns"),
                "label": st.text("abcXYZ019._-", min_size=1, max_size=64),
            },
        ),
    }
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(sections=SECTIONS)
def test_the_rendered_spec_is_a_file_that_gives_the_same_spec(
    sections: dict[str, dict[str, str | int]], tmp_path: Path
) -> None:
    """What --dry-run prints can be run, and is the same run to the byte and the nanosecond."""
    spec = resolve(_raw(**sections))
    again = resolve(read_toml(_file(tmp_path, to_toml(spec))))
    assert again == spec
    assert to_toml(again) == to_toml(spec)


def _models() -> list[type[BaseModel]]:
    plugins = [find_workload("small-files").Params, find_loader("torch-map").Params, find_loader("null").Params]
    return [StoreSection, LoaderSection, AcceleratorSection, RunSection, *plugins]


@pytest.mark.parametrize("model", _models())
def test_every_field_is_described_and_its_default_can_be_shown(model: type[BaseModel]) -> None:
    """`ioprof list NAME` has a line for each; a default is printed as people write it."""
    for key, field in model.model_fields.items():
        assert field.description, key
        assert shown(model, key), key


class _Bounded(BaseModel):
    """Every kind of limit."""

    wait: DurationNs = Field(0, ge=0, le=60 * 10**9)
    some_wait: DurationNs | None = Field(None, gt=0, le=10**9)
    room: Bytes = Field(4096, ge=1024)
    files: Count = Field(1, ge=1, le=10**9)
    seed: int = Field(0, ge=0, lt=2**63)
    ratio: float = Field(1.0, ge=1.0, le=100.0)
    few: Count | None = Field(None, le=12)
    some: Annotated[Count, Field(ge=0, le=1000)] | Literal["auto"] = "auto"
    shuffle: bool = True
    method: Literal["fork", "spawn", "forkserver"] | None = None
    label: str = ""


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("wait", "0s to 60s"),
        ("some_wait", "more than 0s to 1s"),
        ("room", "1KiB and up"),
        ("files", "1 to 1G"),
        ("seed", "0 to 2^63 - 1"),
        ("ratio", "1 to 100"),
        ("few", "up to 12"),
        ("some", "0 to 1k or auto"),
        ("shuffle", "true or false"),
        ("method", "fork, spawn or forkserver"),
        ("label", ""),
    ],
)
def test_a_range_is_told_in_the_units_that_people_write(key: str, text: str) -> None:
    """Limits stand in the help as they may be typed."""
    assert allowed(_Bounded, key) == text


def test_the_warmup_may_be_left_to_the_run() -> None:
    """``auto`` keeps its name in the spec and leaves out as many steps as the default in any case."""
    spec = resolve(_raw(run={"warmup": "auto"}))
    assert (spec.run.warmup, spec.run.warmup_steps) == ("auto", resolve(_raw()).run.warmup_steps)
    assert 'warmup = "auto"' in to_toml(spec)
    for wrong, why in (("-1", "greater than or equal to 0"), ("2M", "less than or equal to"), ("often", "1M, or auto")):
        with pytest.raises(SpecError, match=rf"run\.warmup = '?{wrong}'?: .*{why}"):
            resolve(_raw(run={"warmup": wrong}))


def test_plain_and_written_values_of_a_spec_agree() -> None:
    """run.json holds plain units, spec files written ones."""
    spec: RunSpec = resolve(_raw(workload={"decode": "2ms"}, accelerator={"compute": "20ms"}))
    assert spec.sections(as_text=False)["workload"]["decode"] == 2_000_000
    assert spec.sections(as_text=True)["accelerator"]["compute"] == "20ms"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (4, "4 is no spec: "),
        (None, "None is no spec: "),
        ([("workload", {})], "is no spec: "),
        ({"workload": "small-files"}, "workload = 'small-files': a section is a mapping"),
        ({"workload": {"name": "small-files"}, "lodaer": {}}, "unknown section 'lodaer'; did you mean 'loader'"),
        ({1: {}}, "unknown section '1'"),
    ],
)
def test_what_python_gives_that_is_no_spec_is_refused_in_one_line(source: object, message: str) -> None:
    """As on the command line: no traceback about attributes or keys."""
    with pytest.raises(SpecError, match=re.escape(message)) as caught:
        spec_of(source)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[workload]\nname = 'smallfile'", "workload.name = 'smallfile': unknown workload 'smallfile'; did you mean"),
        ("[workload]\nname = 'small-files'\n[loader]\nname = 'torchmap'", "loader.name = 'torchmap': unknown loader"),
        (
            "[workload]\nname = 'small-files'\n[accelerator]\nname = 'h1000'",
            "accelerator.name = 'h1000': no accelerator 'h1000'",
        ),
        ("[run]\nepochs = 2", "no workload named: write name = 'small-files', or another's, below [workload]"),
    ],
)
@pytest.mark.parametrize("flags", [[], [("batch-size", "8")]])
def test_a_wrong_name_in_a_file_is_told_with_file_and_key(
    content: str, message: str, flags: list[tuple[str, str]], tmp_path: Path
) -> None:
    """With flags on top, which need the plug-ins, and without."""
    path = _file(tmp_path, content)
    with pytest.raises((SpecError, PluginError)) as caught:
        resolve(raw_spec(str(path), flags, [], []))
    assert str(caught.value).startswith(f"{path}: {message}")


def test_a_wrong_name_on_the_command_line_needs_no_place() -> None:
    """The user has just typed it."""
    with pytest.raises(PluginError, match=r"^unknown workload .smallfile.; did you mean .small-files.\?"):
        raw_spec("smallfile", [], [], [])


@pytest.mark.parametrize("given", [{}, {"duration": "30s"}, {"epochs": 3}, {"epochs": 3, "duration": "30s"}])
@pytest.mark.parametrize("flags", [[("epochs", "2")], [("duration", "5s")], []])
def test_flags_on_top_of_a_rendered_spec_do_what_they_do_without_it(
    given: dict[str, str | int | float | bool], flags: list[tuple[str, str]], tmp_path: Path
) -> None:
    """The default duration gives way to epochs in both; one that was asked for stays in both."""
    rendered = _file(tmp_path, to_toml(resolve(_raw(run=given))))
    sets = [f"run.{key}={value}" for key, value in given.items() if key not in dict(flags)]
    assert resolve(raw_spec(str(rendered), flags, [], [])) == resolve(raw_spec("small-files", flags, sets, []))
