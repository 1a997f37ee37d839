"""Which classes of a plug-in file are workloads and loaders, and whether they keep the contract."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Literal

from pydantic import ValidationError

from ioprof.contract import Capabilities, PluginParams
from ioprof.errors import PluginError

PluginKind = Literal["workload", "loader"]

_OWN: dict[PluginKind, tuple[str, ...]] = {
    "workload": (
        "reference_model", "access", "defaults", "layout", "samples", "discover", "order", "reader", "stream",
    ),
    "loader": ("accepts", "capabilities", "reads_storage", "requires", "extra", "load", "open"),
}  # fmt: skip
"""Names that only one kind of plug-in has; a class with two of them is meant to be one."""
_CONSTANTS: dict[PluginKind, tuple[str, ...]] = {
    "workload": ("reference_model", "access", "defaults"),
    "loader": ("accepts", "capabilities", "reads_storage", "requires", "extra"),
}
_METHODS: dict[PluginKind, tuple[str, ...]] = {
    "workload": ("layout", "samples", "discover"),
    "loader": ("load", "open"),
}
_METHODS_BY_ACCESS = {"map": ("order", "reader"), "stream": ("stream",)}


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundPlugin:
    """A workload or loader class of a plug-in file."""

    kind: PluginKind
    name: str
    """What it is called on the command line."""
    attribute: str
    """The class's name in its module."""


def plugins_in(module: ModuleType) -> list[FoundPlugin]:
    """Return the workloads and loaders that a module defines; those that it only imports are not its own.

    A class whose name starts with an underscore is none.

    Raises:
        PluginError: there is none, one breaks the contract, or two have one name.
    """
    found: list[FoundPlugin] = []
    for attribute, value in vars(module).items():
        if not inspect.isclass(value) or value.__module__ != module.__name__ or attribute.startswith("_"):
            continue
        kind = _kind(value)
        if kind is None:
            continue
        if (problem := broken_promise(value, kind)) is not None:
            raise PluginError(f"{_place(module, value)}: {attribute} is no {kind} yet: {problem} (see ioprof.contract)")
        one = FoundPlugin(kind=kind, name=str(vars_of(value, "name")), attribute=attribute)
        if any((other.kind, other.name) == (one.kind, one.name) for other in found):
            raise PluginError(f"{_place(module, value)}: {attribute}: the file has two {kind}s called '{one.name}'")
        found.append(one)
    if not found:
        raise PluginError(
            f"{module.__file__}: defines no workload and no loader; docs/examples/my_workload.py shows one"
        )
    return found


def vars_of(plugin: type, name: str) -> object:
    """Return a class attribute, inherited ones included; None where there is none."""
    return getattr(plugin, name, None)


def broken_promise(plugin: type, kind: PluginKind) -> str | None:
    """Return the first thing that keeps a class from being a workload or a loader; None: all is there."""
    checks = (
        _missing_text(plugin),
        _wrong_params(vars_of(plugin, "Params")),
        _missing(plugin, _CONSTANTS[kind], "the class attribute"),
        _wrong_access(plugin) if kind == "workload" else _wrong_loader(plugin),
        _missing(plugin, _methods(plugin, kind), "the method"),
    )
    return next((problem for problem in checks if problem is not None), None)


def _kind(plugin: type) -> PluginKind | None:
    kinds: tuple[PluginKind, ...] = ("workload", "loader")
    return next((kind for kind in kinds if sum(hasattr(plugin, name) for name in _OWN[kind]) >= 2), None)


def _missing_text(plugin: type) -> str | None:
    for name in ("name", "summary"):
        value = vars_of(plugin, name)
        if not isinstance(value, str) or not value.strip() or "\n" in value:
            return f"it lacks the class attribute '{name}', one line of text"
    name = str(vars_of(plugin, "name"))
    if name.endswith(".toml") or "/" in name or " " in name:
        return f"the name {name!r} cannot be typed as one; use letters, digits and dashes"
    return None


def _wrong_params(params: object) -> str | None:
    if not (inspect.isclass(params) and issubclass(params, PluginParams)):
        return "it lacks the class attribute 'Params', a subclass of ioprof.contract.PluginParams"
    for key, value in params.model_fields.items():
        if not value.description:
            return f"{params.__name__}.{key} lacks its description: write Field(..., description='...')"
    try:
        params.model_validate({})
    except ValidationError as error:
        first = error.errors()[0]
        return f"{params.__name__}.{first['loc'][0] if first['loc'] else ''} has no valid default ({first['msg']})"
    return None


def _missing(plugin: type, names: tuple[str, ...], what: str) -> str | None:
    for name in names:
        if not hasattr(plugin, name):
            return f"it lacks {what} '{name}'"
        if what == "the method" and not callable(vars_of(plugin, name)):
            return f"'{name}' must be a method"
    return None


def _methods(plugin: type, kind: PluginKind) -> tuple[str, ...]:
    return _METHODS[kind] + (_METHODS_BY_ACCESS.get(str(vars_of(plugin, "access")), ()) if kind == "workload" else ())


def _wrong_access(plugin: type) -> str | None:
    access, defaults = vars_of(plugin, "access"), vars_of(plugin, "defaults")
    if access not in _METHODS_BY_ACCESS:
        return f"access = {access!r} must be 'map' or 'stream'"
    return None if isinstance(defaults, Mapping) else "defaults must be a mapping, such as {}"


def _wrong_loader(plugin: type) -> str | None:
    accepts, capabilities = vars_of(plugin, "accepts"), vars_of(plugin, "capabilities")
    if not (isinstance(accepts, frozenset) and accepts and accepts <= set(_METHODS_BY_ACCESS)):
        return f"accepts = {accepts!r} must be a frozenset of 'map' and 'stream'"
    if not isinstance(capabilities, Capabilities):
        return (
            "it lacks the class attribute 'capabilities': write capabilities = "
            "ioprof.contract.Capabilities(reads_with='python', workers=('none',))"
        )
    return None


def _place(module: ModuleType, plugin: type) -> str:
    try:
        return f"{module.__file__}:{inspect.getsourcelines(plugin)[1]}"
    except OSError:
        return str(module.__file__)
