"""`--plugin FILE`: classes of a file by name, in all processes; what is wrong with one is told in one line."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ioprof import plugin_files
from ioprof.errors import PluginError, SpecError
from ioprof.plugin_check import plugins_in
from ioprof.plugins import find_workload, list_loaders, list_workloads, use_plugin_file
from ioprof.spec.resolve import resolve
from ioprof.spec.sources import read_toml

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "my_workload.py"


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Forget the files of a test."""
    monkeypatch.setenv(plugin_files.VARIABLE, "")
    yield
    for name in [name for name in sys.modules if name.startswith("ioprof.plugin_files.")]:
        del sys.modules[name]


def written(folder: Path, old: str, new: str, name: str = "mine.py") -> Path:
    """Write the example with one change."""
    text = EXAMPLE.read_text()
    assert old in text
    (folder / name).write_text(text.replace(old, new))
    return folder / name


def test_a_files_workload_is_found_by_name_and_listed_with_its_path() -> None:
    """It stands beside the built-in ones; those that it does not define are not told as its own."""
    use_plugin_file(EXAMPLE)
    assert find_workload("my-records").summary.startswith("random records")
    assert {one.name: one.provider for one in list_workloads()}["my-records"] == str(EXAMPLE)
    assert str(EXAMPLE) not in {one.provider for one in list_loaders()}
    use_plugin_file(EXAMPLE)  # a second time changes nothing
    assert plugin_files.files() == [EXAMPLE]


def test_its_objects_unpickle_in_a_process_that_was_told_nothing() -> None:
    """Neither of the command line nor of the file: the environment is enough."""
    use_plugin_file(EXAMPLE)
    workload = find_workload("my-records")
    layout = workload(workload.Params(), 1).layout()
    script = "import pickle, sys; print(pickle.loads(sys.stdin.buffer.read()).path(3))"
    child = subprocess.run([sys.executable, "-c", script], input=pickle.dumps(layout), capture_output=True, check=True)
    assert child.stdout.decode().strip() == layout.path(3)


def test_a_loader_of_a_file_is_found_too(tmp_path: Path) -> None:
    """A subclass of an installed one, under a name of its own."""
    text = "from ioprof.loaders.null import Null\nclass Mine(Null):\n    name = 'my-null'\n    summary = 'mine'\n"
    (tmp_path / "my_null.py").write_text(text)
    use_plugin_file(tmp_path / "my_null.py")
    assert "my-null" in {one.name for one in list_loaders()}


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (
            "    def samples(self)",
            "    def number(self)",
            "MyRecords is no workload yet: it lacks the method 'samples'",
        ),
        ("    def order(self", "    def sequence(self", "it lacks the method 'order'"),
        ('= "map"', '= "random"', "access = 'random' must be 'map' or 'stream'"),
        ('    summary: ClassVar[str] = "', '    text: ClassVar[str] = "', "lacks the class attribute 'summary'"),
        ("    Params: Cl", "    Parameters: Cl", "lacks the class attribute 'Params', a subclass of"),
        ("    reference_model: Cl", "    model: Cl", "it lacks the class attribute 'reference_model'"),
        (', description="number of files")', ")", "MyParams.files lacks its description"),
        ("Count = Field(8, ", "Count = Field(", "MyParams.files has no valid default"),
        ('"my-records"', '"small-files"', "workload 'small-files' exists already (ioprof); give yours another name"),
        ("class MyRecords", "class _MyRecords", "defines no workload and no loader"),
        ('"my-records"', '"my records"', "the name 'my records' cannot be typed as one"),
    ],
)
def test_a_class_that_breaks_the_contract_is_refused_with_what_it_lacks(
    tmp_path: Path, old: str, new: str, told: str
) -> None:
    """One line that names the file; afterwards the process is as it was."""
    path = written(tmp_path, old, new)
    with pytest.raises(PluginError) as caught:
        use_plugin_file(path)
    assert told in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert os.environ[plugin_files.VARIABLE] == ""


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("x = 1\ny = 1 / 0\n", "mine.py:2: ZeroDivisionError: division by zero"),
        ("x = 1\n\ndef broken(:\n", "mine.py:3: SyntaxError: "),
        ("import nowhere_to_be_found\n", "mine.py:1: ModuleNotFoundError: No module named 'nowhere_to_be_found'"),
        ("raise SystemExit(3)\n", "mine.py:1: SystemExit: 3"),
    ],
)
def test_an_error_in_the_file_is_told_with_its_line(tmp_path: Path, text: str, told: str) -> None:
    """The author needs the place, not ioprof's own frames."""
    (tmp_path / "mine.py").write_text(text)
    with pytest.raises(PluginError) as caught:
        use_plugin_file(tmp_path / "mine.py")
    assert str(caught.value).startswith(str(tmp_path))
    assert told in str(caught.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """Before anything is imported."""
    with pytest.raises(PluginError, match=r"gone\.py: no such plug-in file"):
        use_plugin_file(tmp_path / "gone.py")


def test_a_path_that_no_file_can_have_is_refused(tmp_path: Path) -> None:
    """A name that is too long, and a link to itself: told in a line, as by every other refusal."""
    (tmp_path / "loop.py").symlink_to(tmp_path / "loop.py")
    for path, told in ((tmp_path / ("x" * 300 + ".py"), "File name too long"), (tmp_path / "loop.py", "loop.py: ")):
        with pytest.raises(PluginError, match=told):
            use_plugin_file(path)


def test_two_files_of_one_name_or_one_workload_are_refused(tmp_path: Path) -> None:
    """Pickles name the file's stem, so that two of them would be mixed up."""
    use_plugin_file(EXAMPLE)
    with pytest.raises(PluginError, match="has the same name; rename one of them"):
        use_plugin_file(written(tmp_path, "my-records", "other", "my_workload.py"))
    with pytest.raises(PluginError, match=r"'my-records' exists already \(.*my_workload\.py\)"):
        use_plugin_file(written(tmp_path, "16KiB", "8KiB", "again.py"))
    assert plugin_files.files() == [EXAMPLE]


def test_a_class_that_is_only_imported_is_not_the_files_own(tmp_path: Path) -> None:
    """Otherwise every file that builds on a built-in workload would clash with it."""
    (tmp_path / "sub.py").write_text(
        "from ioprof.workloads.small_files import SmallFiles\n"
        "class Sub(SmallFiles):\n    name = 'sub'\n    summary = 'one'\n"
    )
    module = plugin_files.add_file(tmp_path / "sub.py")
    assert [one.name for one in plugins_in(module)] == ["sub"]


def test_a_spec_file_names_its_plugins_relative_to_itself() -> None:
    """So that both can be moved together."""
    spec = resolve(read_toml(EXAMPLE.with_suffix(".toml")))
    assert spec.workload == "my-records"
    assert spec.workload_params.model_dump()["record_size"] == 16384


@pytest.mark.parametrize(
    ("line", "told", "kind"),
    [
        ("plugin = 3", "plugin = 3: write the path of a Python file", SpecError),
        ('plugin = "gone.py"', "gone.py: no such plug-in file", PluginError),
    ],
)
def test_a_wrong_plugin_key_is_told_with_the_spec_file(
    tmp_path: Path, line: str, told: str, kind: type[Exception]
) -> None:
    """Which file says so, and what."""
    (tmp_path / "s.toml").write_text(f'{line}\n[workload]\nname = "small-files"\n')
    with pytest.raises(kind) as caught:
        read_toml(tmp_path / "s.toml")
    assert str(caught.value).startswith(f"{tmp_path / 's.toml'}: ")
    assert told in str(caught.value)
