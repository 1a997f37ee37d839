"""From raw values to a validated RunSpec; every refusal is one line with place, value and the nearest right name."""

from __future__ import annotations

from typing import TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from ioprof.contract import Loader, Workload
from ioprof.errors import SpecError, nearest
from ioprof.plugins import find_loader, find_workload
from ioprof.spec.model import AcceleratorSection, LoaderSection, RunSection, RunSpec, Section, StoreSection
from ioprof.spec.sources import RawSpec, Value

_Model = TypeVar("_Model", bound=BaseModel)
DEFAULT_LOADER = "torch-map"
DEFAULT_DURATION_NS = 30 * 10**9


def resolve(raw: RawSpec) -> RunSpec:
    """Return the validated spec with every default filled in.

    Raises:
        SpecError: a key is unknown, a value has the wrong type or is out of range.
        PluginError: the workload or the loader is unknown, or its extra is missing.
    """
    workload_name = _name(raw, "workload", None)
    loader_name = _name(raw, "loader", DEFAULT_LOADER)
    workload: type[Workload] = find_workload(workload_name)
    loader: type[Loader] = find_loader(loader_name)
    common, own = _split(raw.values["loader"], LoaderSection)
    run = _validated(RunSection, raw.values["run"], "run", raw)
    if run.epochs is None and run.duration is None:
        run = run.model_copy(update={"duration": DEFAULT_DURATION_NS})
    known_to_loader = [*LoaderSection.model_fields, *loader.Params.model_fields]
    return RunSpec(
        workload=workload_name,
        workload_params=_validated(workload.Params, _without_name(raw.values["workload"]), "workload", raw),
        store=_validated(StoreSection, raw.values["store"], "store", raw),
        loader=loader_name,
        loader_section=_validated(LoaderSection, common, "loader", raw),
        loader_params=_validated(loader.Params, own, "loader", raw, known_to_loader),
        accelerator=_validated(AcceleratorSection, raw.values["accelerator"], "accelerator", raw),
        run=run,
    )


def _name(raw: RawSpec, section: str, default: str | None) -> str:
    name = raw.values[section].get("name", default)
    if name is None:
        raise SpecError(f"no {section} named: give its name, or [{section}] name = ... in the spec file")
    if not isinstance(name, str):
        raise SpecError(f"{raw.origin(section, 'name')} = {name!r}: a name is text")
    return name


def _without_name(values: dict[str, Value]) -> dict[str, Value]:
    return {key: value for key, value in values.items() if key != "name"}


def _split(values: dict[str, Value], common: type[Section]) -> tuple[dict[str, Value], dict[str, Value]]:
    own = _without_name(values)
    shared = {key: own.pop(key) for key in list(own) if key in common.model_fields}
    return shared, own


def _validated(
    model: type[_Model], values: dict[str, Value], section: str, raw: RawSpec, known: list[str] | None = None
) -> _Model:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise SpecError(_one_line(error.errors()[0], section, raw, known or list(model.model_fields))) from error


def _one_line(error: ErrorDetails, section: str, raw: RawSpec, known: list[str]) -> str:
    key = str(error["loc"][0]) if error["loc"] else ""
    origin = raw.origin(section, key)
    if error["type"] == "extra_forbidden":
        hint = nearest(key, known) or f"; known here: {', '.join(sorted(known))}"
        return f"{origin} = {error['input']!r}: unknown key '{key}' in [{section}]{hint}"
    message = str(error["msg"]).removeprefix("Value error, ")
    message = message[0].lower() + message[1:] if message else "not valid"
    given = raw.values[section].get(key)
    if given is None or str(given) == str(error["input"]):
        given = error["input"]  # otherwise as it was written: where a range is passed, the error's is in plain units
    return f"{origin} = {given!r}: {message}" if key else f"[{section}]: {message}"
