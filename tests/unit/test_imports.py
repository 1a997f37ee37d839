"""Who may import whom, read from the source; and what starting a command may load."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = {"ioprof": "ioprof", "loaders": "ioprof.loaders", "workloads": "ioprof.workloads"}


def _modules() -> Iterator[tuple[str, ast.Module]]:
    for folder, package in FOLDERS.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            name = ".".join([package, *(part for part in parts if part != "__init__")])
            yield name, ast.parse(path.read_text(encoding="utf-8"))


def _imported(tree: ast.Module) -> set[str]:
    """Return every module that a module imports anywhere, inside functions and for type checkers included."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide who imports whom"
            found |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


IMPORTS = {name: _imported(tree) for name, tree in _modules()}


def _inside(name: str, packages: tuple[str, ...]) -> bool:
    return any(name == package or name.startswith(package + ".") for package in packages)


def _offenders(importers: tuple[str, ...], forbidden: tuple[str, ...]) -> list[str]:
    return [
        f"{name} imports {imported}"
        for name, imports in IMPORTS.items()
        if _inside(name, importers)
        for imported in sorted(imports)
        if _inside(imported, forbidden)
    ]


PLUGINS = ("ioprof.loaders", "ioprof.workloads")
ENGINE = tuple(name for name in IMPORTS if name != "ioprof" and not _inside(name, PLUGINS))
OF_TENSORS = ("ioprof.checkpoint", "ioprof.checkpoint.state", "ioprof.selftest", "ioprof.selftest.plain_torch")
"""A checkpoint is made of tensors, and a plain program with torch's DataLoader delivers them: the modules that hold
them are imported when a state is saved or that program is run, and not before."""
WITHOUT_TENSORS = tuple(name for name in ENGINE if name not in OF_TENSORS)
BELOW_CLI = tuple(name for name in IMPORTS if not _inside(name, ("ioprof.cli",)) and name != "ioprof")

UNDER_TUNE = tuple(
    name
    for name in IMPORTS
    if not _inside(name, ("ioprof.tuning", "ioprof.cli"))
    and name
    not in (
        "ioprof",
        "ioprof.own_tune",
        "ioprof.report",
        "ioprof.report.tune",
        "ioprof.report.html",
        "ioprof.report.html.tune",
    )
)
"""A tuning makes runs and analyses them; only what shows it knows of it."""

UNDER_REPLAY = tuple(
    name for name in IMPORTS if not _inside(name, ("ioprof.replay", "ioprof.cli")) and name != "ioprof"
)
"""A replay makes runs of recorded ones; what it leaves is read and shown without it."""

STORING = ("ioprof.dataset", "ioprof.store")
ABOVE_TRACE = ("ioprof.analysis", "ioprof.report", "ioprof.runner", "ioprof.api")

DIRECTIONS = [
    (ENGINE, PLUGINS),
    (BELOW_CLI, ("ioprof.cli",)),
    (("ioprof.analysis",), ("ioprof.report", "ioprof.runner", "ioprof.api", "ioprof.spec", *STORING)),
    (("ioprof.report",), ("ioprof.runner", "ioprof.api", "ioprof.spec", *STORING)),
    (("ioprof.trace",), (*ABOVE_TRACE, "ioprof.spec", "ioprof.dataset")),
    (("ioprof.probe",), ("ioprof.runner", "ioprof.analysis", "ioprof.report", "ioprof.api")),
    (("ioprof.runner",), ("ioprof.analysis", "ioprof.report", "ioprof.api")),
    (("ioprof.capture",), (*ABOVE_TRACE, "ioprof.spec", "ioprof.dataset", "ioprof.contract", "rich")),
    (("ioprof.trace", "ioprof.store", "ioprof.host"), ("ioprof.capture",)),
    (UNDER_TUNE, ("ioprof.tuning",)),
    (("ioprof.tuning",), ("ioprof.report", "rich")),
    (("ioprof.store", "ioprof.dataset", "ioprof.host", "ioprof.accelerator", "ioprof.spec"),
     ("ioprof.analysis", "ioprof.report", "ioprof.runner", "ioprof.api")),
    (UNDER_REPLAY, ("ioprof.replay",)),
    (("ioprof.replay",), ("ioprof.report", "ioprof.tuning", "rich")),
    (("ioprof.watcher",), ("ioprof.cli", "ioprof.spec", "ioprof.dataset", "ioprof.probe", "ioprof.tuning")),
    (("ioprof.analysis", "ioprof.report", "ioprof.trace", "ioprof.runner", "ioprof.host", "ioprof.store", "ioprof.api"),
     ("ioprof.watcher",)),
    (WITHOUT_TENSORS, ("torch",)),
    (BELOW_CLI, ("typer", "click")),
    (("ioprof.analysis", "ioprof.trace", "ioprof.store", "ioprof.dataset", "ioprof.host", "ioprof.runner"), ("rich",)),
    (("ioprof.formats",), ("ioprof.contract", "ioprof.dataset", "ioprof.host", *ABOVE_TRACE)),
    (("ioprof.units", "ioprof.errors", "ioprof.clock"), ("ioprof", "numpy", "pydantic", "pyarrow")),
]  # fmt: skip


@pytest.mark.parametrize(("importers", "forbidden"), DIRECTIONS)
def test_imports_point_one_way(importers: tuple[str, ...], forbidden: tuple[str, ...]) -> None:
    """Cli -> report -> analysis -> trace and cli -> runner; plug-ins arrive by registry; torch stays with tensors."""
    assert any(_inside(name, importers) for name in IMPORTS)
    assert _offenders(importers, forbidden) == []


def _loaded_by(*arguments: str) -> set[str]:
    """Return the modules that a command has loaded when it ends."""
    script = (
        "import sys\n"
        "from ioprof.cli.main import main\n"
        f"sys.argv = ['ioprof', *{list(arguments)!r}]\n"
        "try:\n    main()\n"
        "except SystemExit:\n    pass\n"
        "sys.stderr.write('\\n' + ' '.join(sorted(sys.modules)))\n"
    )
    child = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd="/", check=True)
    assert child.stdout, child.stderr
    return set(child.stderr.splitlines()[-1].split())


def test_help_loads_nothing_that_takes_long() -> None:
    """``ioprof --help`` answers before anything heavy is needed."""
    heavy = {"torch", "numpy", "pyarrow", "pydantic", "plotly", "fsspec"}
    assert _loaded_by("--help") & heavy == set()
    assert _loaded_by("run", "--help") & heavy <= {"pydantic"}


def test_reports_are_made_without_torch(tmp_path: Path) -> None:
    """A run can be analysed on a machine without torch."""
    script = "import sys, ioprof.cli.report, ioprof.api; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0


def test_list_is_made_without_torch(tmp_path: Path) -> None:
    """``ioprof list`` only tells names; importing torch for it would take seconds."""
    assert "torch" not in _loaded_by("list", "--results", str(tmp_path))
