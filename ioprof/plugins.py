"""Workloads and loaders by name: built-in ones and other packages' come through the same entry points.

Those of a plug-in file (`--plugin`) are told as entry points too, so that one road leads to all.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, cast

from ioprof import plugin_files
from ioprof.errors import PluginError, nearest
from ioprof.imports_probe import ImportProbe

if TYPE_CHECKING:
    from ioprof.contract import Capabilities, Loader, Workload

WORKLOADS = "ioprof.workloads"
LOADERS = "ioprof.loaders"
MIXED = "mixed"
"""Stands where a workload is named, for several of them at once; `ioprof.compound` runs them."""
_WORDS = {WORKLOADS: "workload", LOADERS: "loader"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One plug-in as `ioprof list` shows it."""

    name: str
    summary: str
    provider: str
    """Distribution or plug-in file that brings it."""
    missing: str | None
    """Why it cannot be used here, with the command that mends it; None if it can."""
    capabilities: Capabilities | None = None
    """What a loader declares of itself; None for workloads, and where it does not import."""


def _typed(group: str, points: Iterable[str]) -> list[str]:
    """Return what may be typed where a plug-in of that group is named."""
    return [*points, MIXED] if group == WORKLOADS else list(points)


def use_plugin_file(path: Path) -> None:
    """Make the workloads and loaders of a file known, in this process and in all that it starts.

    Raises:
        PluginError: the file does not import, breaks the contract, or has a name that is taken.
    """
    before = plugin_files.files()
    plugin_files.add_file(path)
    try:
        for group in (WORKLOADS, LOADERS):
            _points(group)
    except PluginError:
        plugin_files.set_files(before)
        raise


def _points(group: str) -> dict[str, EntryPoint]:
    points = {point.name: point for point in entry_points(group=group)}
    for path in plugin_files.files():
        for point in _points_of_file(path, group):
            if point.name in _typed(group, points):
                provider = _provider(points[point.name]) if point.name in points else "ioprof"
                raise PluginError(
                    f"{path}: {_WORDS[group]} '{point.name}' exists already ({provider}); give yours another name"
                )
            points[point.name] = point
    return points


def _points_of_file(path: Path, group: str) -> list[EntryPoint]:
    # Imported here: it needs the contract, and with it pydantic and numpy, which a plain list of names does not.
    from ioprof.plugin_check import plugins_in

    found = [one for one in plugins_in(plugin_files.import_file(path)) if one.kind == _WORDS[group]]
    return [EntryPoint(one.name, f"{plugin_files.module_name(path)}:{one.attribute}", group) for one in found]


def _provider(point: EntryPoint) -> str:
    if point.dist is not None:
        return point.dist.name
    files = [str(path) for path in plugin_files.files() if plugin_files.module_name(path) == point.module]
    return files[0] if files else "unknown"


def _find(group: str, name: str, what: str) -> object:
    points = _points(group)
    if name not in points:
        known = ", ".join(sorted(points)) or "none installed"
        raise PluginError(f"unknown {what} '{name}'{nearest(name, _typed(group, points)) or f'; known: {known}'}")
    point = points[name]
    failure = None if _is_safe(point) else ImportProbe([point.module]).failure()
    if failure is not None:
        raise PluginError(f"{what} '{name}' cannot be loaded: {failure}")
    try:
        return point.load()
    except (ImportError, AttributeError) as error:
        raise PluginError(f"{what} '{name}' cannot be loaded: {error}") from error


def _is_safe(point: EntryPoint) -> bool:
    """Return whether a plug-in's module may be imported here untried: ours import nothing that can do harm.

    One that is imported already has shown it, as those of plug-in files have.
    """
    return point.module in sys.modules or _provider(point) == "ioprof"


def find_workload(name: str) -> type[Workload]:
    """Return the workload class of that name.

    Raises:
        PluginError: unknown (the nearest name is offered), or it does not import.
    """
    return cast("type[Workload]", _find(WORKLOADS, name, "workload"))


def find_loader(name: str) -> type[Loader]:
    """Return the loader class of that name.

    Raises:
        PluginError: unknown (the nearest name is offered), it does not import, or its extra is missing.
    """
    found = cast("type[Loader]", _find(LOADERS, name, "loader"))
    missing = missing_extra(found)
    if missing:
        raise PluginError(f"loader '{name}' {missing}")
    return found


def missing_extra(loader: type[Loader]) -> str | None:
    """Return why a loader cannot be used here and the command that mends it, or None.

    What it requires is imported in a process of its own: it may abort, or raise anything.
    """
    absent = _absent(loader)
    return absent if absent is not None or not loader.requires else _broken(loader, ImportProbe(loader.requires))


def _absent(loader: type[Loader]) -> str | None:
    absent = [module for module in loader.requires if not _is_there(module)]
    return f"needs {', '.join(absent)}: {_install(loader, absent)}" if absent else None


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        # The package that a sub-module is looked for in is missing, or does not import.
        return False


def _broken(loader: type[Loader], probe: ImportProbe) -> str | None:
    failure = probe.failure()
    return failure and f"{failure}; install it anew: {_install(loader, loader.requires)}"


def _install(loader: type[Loader], modules: Sequence[str]) -> str:
    extra = f"'ioprof[{loader.extra}]'" if loader.extra else " ".join(modules)
    return f"pip install {extra}"


def list_workloads() -> list[Listed]:
    """Return all installed workloads, by name."""
    return list(_listed(WORKLOADS))


def list_loaders() -> list[Listed]:
    """Return all installed loaders, by name, those whose extra is missing included."""
    return list(_listed(LOADERS))


def _listed(group: str) -> Iterator[Listed]:
    points = sorted(_points(group).items())
    tried = {name: ImportProbe([point.module]) for name, point in points if not _is_safe(point)}
    found: list[tuple[Listed, type[Loader] | None]] = []
    for name, point in points:
        plugin, failure = _loaded(point, tried.get(name))
        one = Listed(
            name=name,
            summary="" if plugin is None else plugin.summary,
            provider=_provider(point),
            missing=None if failure is None else f"does not import: {failure}",
            capabilities=getattr(plugin, "capabilities", None),
        )
        found.append((one, cast("type[Loader]", plugin) if group == LOADERS and plugin is not None else None))
    yield from _with_extras(found)


def _loaded(point: EntryPoint, tried: ImportProbe | None) -> tuple[type[Workload] | type[Loader] | None, str | None]:
    """Return a plug-in, or why it does not import."""
    failure = None if tried is None else tried.failure()
    if failure is None:
        try:
            return point.load(), None
        except (ImportError, AttributeError) as error:
            failure = str(error)
    return None, failure


def _with_extras(found: Sequence[tuple[Listed, type[Loader] | None]]) -> Iterator[Listed]:
    """Add what loaders lack; all that must be tried is tried at once."""
    lacking = [None if loader is None else _absent(loader) for _, loader in found]
    probes = [
        ImportProbe(loader.requires) if loader is not None and loader.requires and lack is None else None
        for (_, loader), lack in zip(found, lacking, strict=True)
    ]
    for (one, loader), lack, probe in zip(found, lacking, probes, strict=True):
        broken = _broken(loader, probe) if loader is not None and probe is not None else None
        yield one if lack is None and broken is None else replace(one, missing=lack or broken)
