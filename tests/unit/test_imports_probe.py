"""Modules are tried in a process of their own: whatever an import does, it is told, and this process goes on."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path
from typing import ClassVar

import pytest

from ioprof import imports_probe, plugins
from ioprof.contract import Capabilities, PluginParams
from ioprof.errors import PluginError
from ioprof.imports_probe import ImportProbe
from ioprof.plugins import LOADERS, find_loader, list_loaders

pytestmark = pytest.mark.usefixtures("nothing_left", "no_descriptor_left")

HARMFUL = {
    "ioprof_raises": ("raise RuntimeError('no such\\nop')", "import ioprof_raises: RuntimeError: no such op"),
    "ioprof_exits": ("import os; os._exit(3)", "importing ioprof_exits ends Python with exit code 3"),
    "ioprof_aborts": ("import os; os.abort()", "importing ioprof_aborts ends Python with SIGABRT"),
    "ioprof_leaves": ("import sys; sys.exit(0)", "import ioprof_leaves: SystemExit: 0"),
}


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder that Python looks for modules in; what imports is remembered below it."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


@pytest.mark.parametrize("name", HARMFUL)
def test_an_import_that_does_harm_is_told_and_not_remembered(name: str, modules: Path) -> None:
    """It raises anything, exits or aborts; mended, it is there at once."""
    source, told = HARMFUL[name]
    (modules / f"{name}.py").write_text(source)
    assert ImportProbe([name]).failure() == told
    (modules / f"{name}.py").write_text("")
    assert ImportProbe([name]).failure() is None


def test_an_import_that_never_ends_is_given_up(modules: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The child and what it started are ended."""
    monkeypatch.setattr(imports_probe, "LIMIT_S", 0.3)
    (modules / "ioprof_hangs.py").write_text(
        "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "time.sleep(60)"
    )
    assert ImportProbe(["ioprof_hangs"]).failure() == "importing ioprof_hangs took longer than 0 s"


def test_what_imported_is_tried_once_until_it_changes(modules: Path) -> None:
    """The list of loaders stays quick."""
    module = modules / "ioprof_fine.py"
    module.write_text(f"open({str(modules / 'imported')!r}, 'a').write('x')")
    for _ in range(3):
        assert ImportProbe(["ioprof_fine"]).failure() is None
    assert (modules / "imported").read_text() == "x"
    module.write_text("raise ValueError")
    assert str(ImportProbe(["ioprof_fine"]).failure()).startswith("import ioprof_fine: ValueError")


def test_a_home_that_cannot_be_written_changes_nothing_else(modules: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is tried again each time."""
    (modules / "ioprof_fine.py").write_text("")
    (modules / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(modules / "file"))
    assert [ImportProbe(["ioprof_fine"]).failure() for _ in range(2)] == [None, None]


class NeedsHarmful:
    """A loader whose library is installed, and ends the process that imports it."""

    name = "needs-harmful"
    summary = "cannot run here"
    requires = ("ioprof_aborts",)
    extra: str | None = "harmful"
    reads_storage = True
    capabilities: ClassVar[Capabilities] = Capabilities(reads_with="native", workers=("engine",))
    Params = PluginParams


def test_a_list_survives_libraries_and_plugins_that_end_the_process(
    modules: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both are listed with what happened, others as they are; using one is refused with the same words."""
    for name, (source, _) in HARMFUL.items():
        (modules / f"{name}.py").write_text(source)
    points = {
        "needs-harmful": EntryPoint("needs-harmful", f"{__name__}:NeedsHarmful", LOADERS),
        "foreign": EntryPoint("foreign", "ioprof_exits:Loader", LOADERS),
        "null": EntryPoint("null", "ioprof.loaders.null:Null", LOADERS),
    }
    monkeypatch.setattr(plugins, "_points", lambda group: points)
    listed = {one.name: one for one in list_loaders()}
    harm = HARMFUL["ioprof_aborts"][1]
    assert listed["needs-harmful"].missing == f"{harm}; install it anew: pip install 'ioprof[harmful]'"
    assert listed["foreign"].missing == f"does not import: {HARMFUL['ioprof_exits'][1]}"
    assert listed["null"].missing is None
    assert str(listed["null"].capabilities) == "I/O: nothing; workers: none"
    with pytest.raises(PluginError, match=r"needs-harmful.*SIGABRT"):
        find_loader("needs-harmful")
    with pytest.raises(PluginError, match=r"foreign.*exit code 3"):
        find_loader("foreign")
