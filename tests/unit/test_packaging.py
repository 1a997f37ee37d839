"""What is installed: every package, no other, and built-in plug-ins that can be reached."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
FOLDERS = {"ioprof": "ioprof", "loaders": "ioprof.loaders", "workloads": "ioprof.workloads"}


def _packages_of_the_tree() -> set[str]:
    found = set()
    for folder, package in FOLDERS.items():
        for init in (ROOT / folder).rglob("__init__.py"):
            found.add(".".join([package, *init.parent.relative_to(ROOT / folder).parts]))
    return found


def test_the_listed_packages_are_the_packages_of_the_tree() -> None:
    """A package that is not listed would be missing from the wheel and nowhere else."""
    listed = PROJECT["tool"]["setuptools"]["packages"]
    assert set(listed) == _packages_of_the_tree()
    assert listed == sorted(listed)


def test_every_module_lies_in_a_package() -> None:
    """A folder without ``__init__.py`` works in a checkout and is missing from the wheel."""
    for folder in FOLDERS:
        for module in (ROOT / folder).rglob("*.py"):
            assert (module.parent / "__init__.py").exists(), module


@pytest.mark.parametrize("group", ["ioprof.loaders", "ioprof.workloads"])
def test_entry_points_lead_to_classes_of_the_same_name(group: str) -> None:
    """A plug-in is found under the name that it gives itself in results."""
    declared = PROJECT["project"]["entry-points"][group]
    installed = {point.name: point for point in entry_points(group=group) if point.dist and point.dist.name == "ioprof"}
    assert {name: point.value for name, point in installed.items()} == declared
    for name, point in installed.items():
        assert point.load().name == name


@pytest.mark.parametrize("folder", ["loaders", "workloads"])
def test_built_ins_refuse_to_be_imported_under_another_name(folder: str) -> None:
    """A second copy of a class would break pickling and isinstance checks."""
    child = subprocess.run([sys.executable, "-c", f"import {folder}"], cwd=ROOT, capture_output=True, text=True)
    assert child.returncode == 1
    assert f"ImportError: import this package as ioprof.{folder}, not {folder}" in child.stderr


def test_extras_that_loaders_name_exist() -> None:
    """The install command that ioprof prints works."""
    extras = PROJECT["project"]["optional-dependencies"]
    for point in entry_points(group="ioprof.loaders"):
        extra = point.load().extra
        assert extra is None or extra in extras


def test_constraints_pin_every_dependency_to_a_version_that_the_project_allows() -> None:
    """The README's commands install what was tested."""
    constraints = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    pinned = dict(re.findall(r"^([\w.-]+)==(\S+)$", constraints, re.MULTILINE))
    wanted = [*PROJECT["project"]["dependencies"], *PROJECT["project"]["optional-dependencies"]["test"]]
    for requirement in wanted:
        name, _, least = requirement.partition(">=")
        assert name in pinned, f"{name} is not in constraints.txt"
        assert _numbers(pinned[name]) >= _numbers(least), requirement
    assert len(pinned) == len(wanted)


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".") if part]


def test_ci_runs_the_command_that_the_readme_prints() -> None:
    """CI reads it from between the markers, so there is exactly one line there, and it runs pytest."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    block = re.search(r"<!-- test-command -->\n```sh\n(.*)\n```\n<!-- /test-command -->", readme)
    assert block is not None
    assert block[1].endswith(" -m pytest -n auto --dist worksteal")
    assert "README.md" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_the_version_is_the_same_everywhere() -> None:
    """The package, the metadata and the changelog speak of one version."""
    from ioprof import __version__

    assert PROJECT["project"]["version"] == __version__
    assert f"## [{__version__}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
