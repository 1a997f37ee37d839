"""What a suite is: a list of runs on one store, from a built-in list or a TOML file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ioprof.compound.mixed_spec import (
    MixedSpec,
    RawMixed,
    assign,
    default_mixed,
    is_mixed,
    read_mixed,
    resolve_mixed,
)
from ioprof.compound.suite_lists import SUITES
from ioprof.errors import IoprofError, PluginError, SpecError, nearest
from ioprof.plugins import MIXED, find_workload
from ioprof.runner.plan import plan_run
from ioprof.spec.model import RunSpec
from ioprof.spec.resolve import resolve, store_url
from ioprof.spec.sources import (
    SECTIONS,
    RawSpec,
    Value,
    put_assignment,
    raw_of,
    read_toml,
    toml_content,
    use_plugins_of,
)

_COMMON = ("store", "run")
_KEYS = ("name", "file")


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteEntry:
    """One run of a suite."""

    name: str
    spec: RunSpec | MixedSpec | None
    """None: it cannot be run here."""
    missing: str | None
    """Why it cannot; None: it can."""
    workload: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteSpec:
    """A suite, fully resolved."""

    name: str
    entries: tuple[SuiteEntry, ...]
    results: Path
    label: str | None
    store_url: str


@dataclass(slots=True, kw_only=True)
class _RawEntry:
    name: str
    spec: RawSpec | RawMixed
    optional: bool
    """Left out where its workload is not installed; else that is an error."""


@dataclass(slots=True, kw_only=True)
class _RawSuite:
    name: str
    common: RawSpec
    entries: list[_RawEntry]


def suite_spec(target: str, flags: Iterable[tuple[str, str]], assignments: Iterable[str]) -> SuiteSpec:
    """Return the suite of a command line, every entry checked before any runs.

    Args:
        target: a suite's name or the path of a TOML file.
        flags: ``store``, ``results`` and ``label``.
        assignments: the ``--set`` values: ``section.key=value`` for all entries, ``ENTRY.section.key=value`` for one.

    Raises:
        SpecError: unknown suite, or a key or value is wrong; the message names the entry.
        PluginError: a workload or loader of a suite file is unknown.
    """
    raw = _read(Path(target)) if target.endswith(".toml") or "/" in target else _built_in(target)
    for name, value in flags:
        raw.common.put(*{"store": ("store", "url")}.get(name, ("run", name)), value, f"--{name}")
    for key in ("epochs", "results", "label"):
        if key == "epochs" and key in raw.common.values["run"]:
            raise SpecError(f"{raw.common.origin('run', key)}: not every entry has epochs; set it for one entry")
    given = list(assignments)
    entries = tuple(_entry(one, raw, given) for one in raw.entries)
    specs = [entry.spec for entry in entries if entry.spec is not None]
    if not specs:
        raise SpecError(f"suite {raw.name}: nothing of it is installed here; see ioprof list")
    _refuse_unused(given, raw)
    first = raw.common.values
    return SuiteSpec(
        name=raw.name,
        entries=entries,
        results=Path(str(first["run"].get("results", "./results"))),
        label=str(first["run"]["label"]) if "label" in first["run"] else None,
        store_url=store_url(raw.common),
    )


def _built_in(name: str) -> _RawSuite:
    if name not in SUITES:
        known = ", ".join(SUITES)
        hint = nearest(name, SUITES) or f"; known: {known}"
        raise SpecError(f"unknown suite '{name}'{hint} (or the path of a TOML file of your own)")
    entries = []
    for listed in SUITES[name].entries:
        if listed.workload == MIXED:
            mixed = default_mixed()
            for assignment in listed.settings:
                assign(mixed, assignment)
            entries.append(_RawEntry(name=MIXED, spec=mixed, optional=True))
            continue
        single = RawSpec()
        single.put("workload", "name", listed.workload, f"suite {name}: workload.name")
        for assignment in listed.settings:
            put_assignment(single, assignment)
        entries.append(_RawEntry(name=listed.workload, spec=single, optional=True))
    return _RawSuite(name=name, common=RawSpec(), entries=entries)


def _read(path: Path) -> _RawSuite:
    """Return the suite of a TOML file.

    Raises:
        SpecError: unreadable, not TOML, no entries, or a section or key at the wrong place.
        PluginError: a plug-in file that it names cannot be used.
    """
    content = toml_content(path)
    use_plugins_of(path, content)
    entries, name = content.pop("entry", []), content.pop("name", path.stem)
    if not isinstance(name, str):
        raise SpecError(f"{path}: name = {name!r}: a name is text")
    for section in content:
        if section not in _COMMON:
            hint = nearest(section, (*_COMMON, "entry"))
            where = "each entry's own: write it below [[entry]]" if section in SECTIONS else f"unknown here{hint}"
            raise SpecError(f"{path}: [{section}]: {where}")
    if not isinstance(entries, list) or not entries:
        raise SpecError(f"{path}: no entries: write [[entry]] and below it workload.name = 'small-files', for each run")
    suite = _RawSuite(name=name, common=raw_of(path, content), entries=[])
    for number, entry in enumerate(entries, 1):
        suite.entries.append(_read_entry(path, number, entry, {one.name for one in suite.entries}))
    return suite


def _read_entry(path: Path, number: int, entry: object, taken: set[str]) -> _RawEntry:
    if not isinstance(entry, dict):
        raise SpecError(f"{path}: entry {number}: must be a section: write [[entry]] and its keys below it")
    where = f"{path}: entry {number}"
    for key in entry:
        if key not in (*SECTIONS, *_KEYS):
            raise SpecError(f"{where}: unknown key '{key}'{nearest(key, (*SECTIONS, *_KEYS))}")
    if "store" in entry:
        raise SpecError(f"{where}: all entries use one store; write it below [store]")
    spec = _entry_spec(path, where, entry)
    workload = spec.common.values["workload"] if isinstance(spec, RawMixed) else spec.values["workload"]
    name = str(entry.get("name") or workload.get("name") or MIXED)
    if name in taken:
        raise SpecError(f"{where}: there are two entries called '{name}'; give one a name = '...' of its own")
    return _RawEntry(name=name, spec=spec, optional=False)


def _entry_spec(path: Path, where: str, entry: Mapping[str, object]) -> RawSpec | RawMixed:
    """Return an entry's own values: those of its file, and on top those that stand in the entry."""
    sections = {key: value for key, value in entry.items() if key in SECTIONS}
    own = raw_of(path, sections, f"{where.rpartition(': ')[2]}: ")
    file, name = entry.get("file"), own.values["workload"].get("name")
    if file is None:
        if name is None:
            raise SpecError(f"{where}: no workload named: write workload.name = 'small-files', or file = 'my.toml'")
        if name != MIXED:
            return own
        return _onto_mixed(default_mixed(), own, where)
    if not isinstance(file, str):
        raise SpecError(f"{where}: file = {file!r}: write the path of a spec file")
    if is_mixed(str(path.parent / file)):
        return _onto_mixed(read_mixed(path.parent / file), own, where)
    base = read_toml(path.parent / file)
    _copy(own, base, SECTIONS)
    return base


def _onto_mixed(mixed: RawMixed, own: RawSpec, where: str) -> RawMixed:
    for section, values in own.values.items():
        if section not in _COMMON and any((section, key) != ("workload", "name") for key in values):
            raise SpecError(f"{where}: {section} is each pipeline's own in a mixed run; put it into a file of its own")
    _copy(own, mixed.common, _COMMON)
    return mixed


def _copy(source: RawSpec, target: RawSpec, sections: Sequence[str]) -> None:
    for section in sections:
        for key, value in source.values[section].items():
            target.put(section, key, value, source.origins.get((section, key), f"{section}.{key}"))


def _entry(raw: _RawEntry, suite: _RawSuite, assignments: Sequence[str]) -> SuiteEntry:
    common: dict[str, dict[str, Value]] = suite.common.values
    target = raw.spec.common if isinstance(raw.spec, RawMixed) else raw.spec
    for section in _COMMON:
        for key, value in common[section].items():
            origin = suite.common.origins.get((section, key), "")
            # An entry's own value wins over the file's common one; what was typed wins over both.
            if key not in target.values[section] or origin.startswith("--"):
                target.put(section, key, value, origin)
    workload = str(target.values["workload"].get("name", MIXED))
    try:
        for assignment in assignments:
            _assign_to_entry(raw, suite, assignment)
        spec = resolve_mixed(raw.spec) if isinstance(raw.spec, RawMixed) else resolve(raw.spec)
        for one in spec.pipelines.values() if isinstance(spec, MixedSpec) else [spec]:
            plan_run(one)
    except PluginError as error:
        if raw.optional:
            return SuiteEntry(name=raw.name, spec=None, missing=_why_missing(workload, error), workload=workload)
        raise type(error)(f"entry {raw.name}: {error}") from error
    except IoprofError as error:
        raise type(error)(f"entry {raw.name}: {error}") from error
    return SuiteEntry(name=raw.name, spec=spec, missing=None, workload=workload)


def _why_missing(workload: str, error: PluginError) -> str:
    try:
        find_workload(workload)
    except PluginError:
        return "not installed"
    return str(error)


def _assign_to_entry(raw: _RawEntry, suite: _RawSuite, assignment: str) -> None:
    own = [one.name for one in suite.entries if assignment.startswith(f"{one.name}.")]
    if own and raw.name not in own:
        return
    text = assignment.removeprefix(f"{raw.name}.") if own else assignment
    if isinstance(raw.spec, RawMixed):
        section = text.partition(".")[0]
        if own or section in _COMMON:
            assign(raw.spec, text)
        elif section in SECTIONS and section != "workload":
            for pipeline in raw.spec.pipelines.values():
                put_assignment(pipeline, text)
        else:
            assign(raw.spec, text)
    else:
        put_assignment(raw.spec, text)


def _refuse_unused(assignments: Sequence[str], suite: _RawSuite) -> None:
    for assignment in assignments:
        first = assignment.partition(".")[0]
        if first not in SECTIONS and first not in [one.name for one in suite.entries]:
            raise SpecError(f"--set {assignment}: no entry or section '{first}'{nearest(first, SECTIONS)}")


def in_directory(spec: RunSpec | MixedSpec, directory: Path) -> RunSpec | MixedSpec:
    """Return a spec whose run directory goes below ``directory``."""
    if isinstance(spec, MixedSpec):
        return replace(spec, results=directory)
    return replace(spec, run=spec.run.model_copy(update={"results": str(directory)}))
