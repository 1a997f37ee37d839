"""Plug-ins are found by name; what is missing is said with the command that mends it."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from ioprof import plugins
from ioprof.contract import PluginParams
from ioprof.errors import PluginError
from ioprof.plugins import LOADERS, find_loader, find_workload, list_loaders, list_workloads


class NeedsMore:
    """A loader whose extra is not installed."""

    name = "needs-more"
    summary = "cannot run here"
    requires = ("ioprof_module_that_is_nowhere",)
    extra: str | None = "more"
    reads_storage = True
    Params = PluginParams


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Install a loader without its extra, and one that does not import."""
    here = EntryPoint("needs-more", f"{__name__}:NeedsMore", LOADERS)
    gone = EntryPoint("gone", "ioprof_module_that_is_nowhere:Loader", LOADERS)
    monkeypatch.setattr(plugins, "_points", lambda group: {"needs-more": here, "gone": gone})


def test_built_in_plugins_come_through_entry_points_of_this_distribution() -> None:
    """The same road as a vendor's own package."""
    assert {(one.name, one.provider, one.missing) for one in list_workloads()} >= {("small-files", "ioprof", None)}
    assert {one.name for one in list_loaders()} >= {"torch-map", "null"}
    assert all(one.summary for one in [*list_workloads(), *list_loaders()])


@pytest.mark.parametrize("find", [find_workload, find_loader])
def test_an_unknown_name_is_refused_with_all_known_ones(find: object) -> None:
    """One line, exit code 2."""
    with pytest.raises(PluginError, match=r"unknown .* 'zzz'; known: ") as caught:
        find("zzz")  # type: ignore[operator]
    assert caught.value.exit_code == 2


def test_a_near_miss_is_offered_the_right_name() -> None:
    """A slip of the finger costs one glance."""
    with pytest.raises(PluginError, match="did you mean 'small-files'"):
        find_workload("smal-files")


def test_a_loader_without_its_extra_is_listed_with_the_command_that_brings_it(broken: None) -> None:
    """It is not hidden, and its neighbours are not hurt."""
    missing = {one.name: one.missing for one in list_loaders()}
    assert missing["needs-more"] == "needs ioprof_module_that_is_nowhere: pip install 'ioprof[more]'"
    assert "does not import" in str(missing["gone"])


def test_using_a_loader_without_its_extra_says_what_to_install(broken: None) -> None:
    """The same words as in the list."""
    with pytest.raises(PluginError, match=r"pip install 'ioprof\[more\]'"):
        find_loader("needs-more")
    with pytest.raises(PluginError, match="'gone' cannot be loaded"):
        find_loader("gone")
