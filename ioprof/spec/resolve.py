"""From raw values to a validated RunSpec; every refusal is one line with place, value and the nearest right name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from ioprof.accelerator.table import ACCELERATORS
from ioprof.accelerator.table import find as find_accelerator
from ioprof.contract import PUBLISHED, Loader, PluginParams, Workload
from ioprof.errors import PluginError, SpecError, nearest
from ioprof.plugins import find_loader, find_workload
from ioprof.spec.model import (
    AcceleratorSection,
    CheckpointSection,
    LoaderSection,
    RunSection,
    RunSpec,
    Section,
    StoreSection,
)
from ioprof.spec.size_flags import size_flags
from ioprof.spec.sources import COMMAND_LINE, THROTTLE, RawSpec, Value
from ioprof.store.throttle import parse_throttle
from ioprof.store.throttled_url import PREFIX

_Model = TypeVar("_Model", bound=BaseModel)
DEFAULT_LOADER = "torch-map"
DEFAULT_DURATION_NS = 30 * 10**9


def resolve(raw: RawSpec) -> RunSpec:
    """Return the validated spec with every default filled in.

    Raises:
        SpecError: a key is unknown, a value has the wrong type or is out of range.
        PluginError: the workload or the loader is unknown, or its extra is missing.
    """
    workload_name, workload = named_workload(raw)
    loader_name, loader = named_loader(raw)
    common, own = _split(raw.values["loader"], LoaderSection)
    accelerator = _known_accelerator(raw, _wished(workload, "accelerator", AcceleratorSection))
    common = _with_batch_size(_wished(workload, "loader", LoaderSection), workload, accelerator.name) | common
    own = _wished(workload, "loader", loader.Params) | own
    run = _validated(RunSection, _wished(workload, "run", RunSection) | raw.values["run"], "run", raw)
    duration_is_default = run.epochs is None and run.duration is None and run.steps is None
    if duration_is_default:
        run = run.model_copy(update={"duration": DEFAULT_DURATION_NS})
    known_to_loader = [*LoaderSection.model_fields, *loader.Params.model_fields]
    params = _validated(workload.Params, _without_name(raw.values["workload"]), "workload", raw)
    loader_section = _validated(LoaderSection, common, "loader", raw)
    return RunSpec(
        workload=workload_name,
        workload_params=params,
        store=_store(raw),
        loader=loader_name,
        loader_section=loader_section,
        loader_params=_validated(loader.Params, own, "loader", raw, known_to_loader),
        accelerator=accelerator,
        checkpoint=_checkpoint(raw, workload, _steps_between_saves(raw, params, loader_section)),
        run=run,
        duration_is_default=duration_is_default,
        compute_origin=_compute_origin(raw),
        size_flags=size_flags(workload.Params, is_scaled=raw.is_scaled),
        caveats=(*raw.caveats, *_stand_ins_told(raw)),
        departures=tuple(raw.departures),
    )


def _store(raw: RawSpec) -> StoreSection:
    """Return the store, its parameters of throttling put behind its URL.

    Raises:
        SpecError: a key or a parameter is wrong, or there are parameters at both places.
    """
    plain = {key: value for key, value in raw.values["store"].items() if not key.startswith(THROTTLE)}
    section = _validated(StoreSection, plain, "store", raw)
    throttled = {key: value for key, value in raw.values["store"].items() if key.startswith(THROTTLE)}
    if not throttled:
        return section
    origin = raw.origin("store", next(iter(throttled)))
    if section.url.startswith(PREFIX):
        raise SpecError(f"{origin}: the store's URL has parameters already; write all of them behind its ?")
    parameters = "&".join(f"{key.removeprefix(THROTTLE)}={value}" for key, value in throttled.items())
    parse_throttle(parameters, "store.throttle")
    return StoreSection(url=f"{PREFIX}{section.url}?{parameters}")


def store_url(raw: RawSpec) -> str:
    """Return the URL of the store as a run will have it.

    Raises:
        SpecError: a key or a parameter of it is wrong.
    """
    return _store(raw).url


def _compute_origin(raw: RawSpec) -> str:
    """Return where the busy time came from: the command line, a file's key, or the workload's own wish."""
    for key in ("compute_spread", "compute"):
        if key in raw.values["accelerator"]:
            return raw.origin("accelerator", key)
    return "the workload"


def _stand_ins_told(raw: RawSpec) -> list[str]:
    """Return what decides the result though nobody gave it; naming an accelerator, or a spread, gives a busy time."""
    timed = not {"name", "compute_spread"}.isdisjoint(raw.values["accelerator"])
    return [
        told
        for (section, key), told in raw.stand_ins.items()
        if key not in raw.values[section] and not (timed and section == "accelerator")
    ]


def _steps_between_saves(raw: RawSpec, params: PluginParams, loader: LoaderSection) -> dict[str, Value]:
    """Return ``every`` where a configuration counts it in epochs: in steps of the run as it is."""
    if raw.epochs_between_saves is None:
        return {}
    held = params.model_dump()
    samples = held.get("files", 1) * held.get("samples_per_file", 1)
    steps = samples // loader.batch_size if loader.drop_last else -(-samples // loader.batch_size)
    return {"every": max(1, raw.epochs_between_saves * steps)}


def _checkpoint(raw: RawSpec, workload: type[Workload], counted: dict[str, Value]) -> CheckpointSection:
    """Return the checkpoints that are asked for; ``counted`` is what follows from other sections.

    Raises:
        SpecError: a value is wrong, or was typed where none are made.
    """
    given = raw.values["checkpoint"]
    section = _validated(
        CheckpointSection, _wished(workload, "checkpoint", CheckpointSection) | counted | given, "checkpoint", raw
    )
    typed = [key for key in given if raw.origin("checkpoint", key).startswith("--") and key != "every"]
    if section.every == 0 and typed:
        raise SpecError(
            f"{raw.origin('checkpoint', typed[0])} = {given[typed[0]]!r}: has no effect without checkpoints; "
            "add --checkpoint-every 100, or another number of steps"
        )
    return section


def named_workload(raw: RawSpec) -> tuple[str, type[Workload]]:
    """Return the name and the class of the workload.

    Raises:
        SpecError: there is no name, or it is no text.
        PluginError: it is unknown or does not import.
    """
    name = _name(raw, "workload", None)
    with _told_where(raw, "workload", name):
        return name, find_workload(name)


def named_loader(raw: RawSpec) -> tuple[str, type[Loader]]:
    """Return the name and the class of the loader; the workload's own, or the default one, where none is named.

    Raises:
        SpecError: the name is no text.
        PluginError: it is unknown, does not import, or its extra is missing.
    """
    name = _name(raw, "loader", _wished_loader(raw))
    with _told_where(raw, "loader", name):
        return name, find_loader(name)


def _wished(workload: type[Workload], section: str, model: type[BaseModel]) -> dict[str, Value]:
    """Return what the workload wants set in a section, of the keys that the section has."""
    wishes = {key.partition(".")[2]: value for key, value in workload.defaults.items() if key.startswith(f"{section}.")}
    return {key: value for key, value in wishes.items() if key in model.model_fields}


def _with_batch_size(wished: dict[str, Value], workload: type[Workload], accelerator: str) -> dict[str, Value]:
    """Put the batch size in that was published with the step time of the workload's model on this accelerator."""
    if wished.get("batch_size") != PUBLISHED:
        return wished
    names = (accelerator.lower(), str(workload.defaults.get("accelerator.name", "")))
    specs = (ACCELERATORS[name] for name in names if name in ACCELERATORS)
    steps = (spec.step_ns_per_sample.get(workload.reference_model or "") for spec in specs)
    found = next((step.batch_size for step in steps if step is not None), None)
    return {key: value for key, value in wished.items() if key != "batch_size"} | (
        {} if found is None else {"batch_size": found}
    )


def _wished_loader(raw: RawSpec) -> str:
    """Return the loader to take where none is named; an unknown workload is told of where it is looked for."""
    name = raw.values["workload"].get("name")
    try:
        return str(find_workload(str(name)).defaults.get("loader.name", DEFAULT_LOADER))
    except PluginError:
        return DEFAULT_LOADER


def _known_accelerator(raw: RawSpec, wished: dict[str, Value]) -> AcceleratorSection:
    given = raw.values["accelerator"]
    # A busy time belongs to the accelerator it was thought for: naming another one drops it.
    if "name" in given:
        wished = {key: value for key, value in wished.items() if key not in ("name", "compute", "compute_spread")}
    section = _validated(AcceleratorSection, wished | given, "accelerator", raw)
    if section.name.lower() != "none":
        with _told_where(raw, "accelerator", section.name):
            find_accelerator(section.name)
    return section


@contextmanager
def _told_where(raw: RawSpec, section: str, name: str) -> Iterator[None]:
    """Put the place of a name before what is wrong with it; the default's and the command line's need none."""
    try:
        yield
    except PluginError as error:
        origin = raw.origins.get((section, "name"), COMMAND_LINE)
        raise PluginError(str(error) if origin == COMMAND_LINE else f"{origin} = {name!r}: {error}") from error


def _name(raw: RawSpec, section: str, default: str | None) -> str:
    name = raw.values[section].get("name", default)
    if name is None:
        where = f"{raw.file}: " if raw.file else ""
        raise SpecError(f"{where}no {section} named: write name = 'small-files', or another's, below [{section}]")
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
