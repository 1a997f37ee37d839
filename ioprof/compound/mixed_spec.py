"""What a mixed run is: pipelines with a spec each, on one store, from a TOML file or from what is installed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ioprof.errors import IoprofError, SpecError, UsageError, nearest
from ioprof.plugins import MIXED
from ioprof.spec.model import RunSpec
from ioprof.spec.resolve import resolve
from ioprof.spec.sources import SECTIONS, RawSpec, Value, put_assignment, raw_of, toml_content, use_plugins_of

SUMMARY = "several pipelines at once on one store: alone, together, and how much each slows each"
_COMMON = ("store", "run")
_OF_ALL = ("duration", "results", "label")
"""Keys of [run] that hold for all pipelines."""
_NAME = re.compile(r"[A-Za-z0-9_]{1,24}")
_TOTAL_S, _LEAST_S = 40, 4
"""Measured time of all phases together where none is asked for, and the least of one."""
FLAGS = {
    "store": ("store", "url"), "duration": ("run", "duration"), "cache": ("run", "cache"), "seed": ("run", "seed"),
    "max-errors": ("run", "max_errors"), "results": ("run", "results"), "label": ("run", "label"),
}  # fmt: skip
"""Flags of ``ioprof run`` that mean all pipelines."""


@dataclass(slots=True)
class RawMixed:
    """Values as given, not yet validated."""

    common: RawSpec = field(default_factory=RawSpec)
    pipelines: dict[str, RawSpec] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class MixedSpec:
    """A mixed run, fully resolved."""

    pipelines: dict[str, RunSpec]
    """By name, in the order of the file."""
    phases: tuple[tuple[str, ...], ...]
    """Which pipelines run together, in order: each alone, all, and every pair where there are more than two."""
    duration_ns: int
    """Of each phase."""
    results: Path
    label: str | None
    store_url: str

    def of_phase(self, names: Sequence[str], directory: Path) -> dict[str, RunSpec]:
        """Return the specs of these pipelines with their run directories below ``directory``."""
        return {
            name: replace(spec, run=spec.run.model_copy(update={"results": str(directory), "label": name}))
            for name, spec in self.pipelines.items()
            if name in names
        }


def is_mixed(target: str) -> bool:
    """Return whether a target of ``ioprof run`` is a mixed run: its name, or a file that says so."""
    if target == MIXED:
        return True
    if not (target.endswith(".toml") or "/" in target):
        return False
    try:
        content = toml_content(Path(target))
    except SpecError as error:
        return "('pipeline'" in str(error)  # two of one name: told by `read_mixed`
    workload = content.get("workload")
    return "pipeline" in content or (isinstance(workload, dict) and workload.get("name") == MIXED)


def raw_mixed(
    target: str, flags: Iterable[tuple[str, str]], assignments: Iterable[str], extra: Sequence[str]
) -> RawMixed:
    """Return the values of a command line, unvalidated.

    Raises:
        SpecError: the file or an assignment is wrong.
        UsageError: a flag that no mixed run has.
    """
    raw = default_mixed() if target == MIXED else read_mixed(Path(target))
    for name, value in flags:
        if name not in FLAGS:
            raise _no_flag(f"--{name}", raw)
        raw.common.put(*FLAGS[name], value, f"--{name}")
    if extra:
        raise _no_flag(extra[0].partition("=")[0], raw)
    for assignment in assignments:
        assign(raw, assignment)
    return raw


def _no_flag(flag: str, raw: RawMixed) -> UsageError:
    name, key = next(iter(raw.pipelines)), flag.lstrip("-").replace("-", "_")
    if flag == "--epochs":
        return UsageError("--epochs: the phases of a mixed run last equally long; use --duration, that of each phase")
    return UsageError(
        f"{flag}: of which pipeline? A mixed run takes it as --set pipeline.{name}.SECTION.{key}=VALUE; its flags are "
        + ", ".join(f"--{known}" for known in FLAGS)
    )


def default_mixed() -> RawMixed:
    """Return training on small files beside a metadata storm."""
    raw = RawMixed()
    _pipeline(raw, "train", {"name": "small-files", "files": 6000})
    _pipeline(raw, "storm", {"name": "metadata-storm"})
    return raw


def _pipeline(raw: RawMixed, name: str, workload: dict[str, Value]) -> None:
    raw.pipelines[name] = RawSpec()
    for key, value in workload.items():
        raw.pipelines[name].put("workload", key, value, f"pipeline.{name}.workload.{key}")


def read_mixed(path: Path) -> RawMixed:
    """Return the values of a spec file with pipelines.

    Raises:
        SpecError: unreadable, not TOML, no or one pipeline, or a section or key at the wrong place.
        PluginError: a plug-in file that it names cannot be used.
    """
    content = _content(path)
    use_plugins_of(path, content)
    pipelines = content.pop("pipeline", {})
    for section in content:
        if section in SECTIONS and section not in (*_COMMON, "workload"):
            raise SpecError(f"{path}: [{section}] is each pipeline's own: write [pipeline.NAME.{section}]")
        if section not in SECTIONS:
            hint = nearest(section, (*_COMMON, "workload", "pipeline"))
            raise SpecError(f"{path}: unknown section [{section}]{hint}")
    raw = RawMixed(common=raw_of(path, content))
    for key in raw.common.values["workload"]:
        if key != "name":
            raise SpecError(f"{path}: workload.{key}: is each pipeline's own: write it below [pipeline.NAME.workload]")
    if not isinstance(pipelines, dict) or len(pipelines) < 2:
        raise SpecError(
            f"{path}: {'one pipeline' if pipelines else 'no pipelines'}: a mixed run needs two or more; write "
            "[pipeline.train] and below it workload.name = 'small-files'"
        )
    for name, entries in pipelines.items():
        raw.pipelines[name] = _read_pipeline(path, name, entries)
    return raw


def _content(path: Path) -> dict[str, object]:
    try:
        return toml_content(path)
    except SpecError as error:
        twice = re.search(r"Cannot declare \('pipeline', '([^']*)'", str(error))
        if twice is None:
            raise
        raise SpecError(f"{path}: there are two pipelines called '{twice[1]}'; give one another name") from error


def _read_pipeline(path: Path, name: str, entries: object) -> RawSpec:
    if not _NAME.fullmatch(name):
        raise SpecError(f"{path}: pipeline name {name!r}: use up to 24 letters, digits and underscores")
    if not isinstance(entries, dict):
        raise SpecError(f"{path}: 'pipeline.{name}' must be a section: write [pipeline.{name}] and its keys below it")
    raw = raw_of(path, dict(entries), f"pipeline.{name}.")
    _check_place(raw, name)
    return raw


def _check_place(raw: RawSpec, name: str) -> None:
    """Refuse in a pipeline what is the same for all.

    Raises:
        SpecError: the store, or a key of the run that all share.
    """
    for key in raw.values["store"]:
        raise SpecError(f"{raw.origin('store', key)}: all pipelines use one store; write it below [store]")
    for key in raw.values["run"]:
        if key == "epochs":
            raise SpecError(f"{raw.origin('run', key)}: the phases of a mixed run last equally long; use run.duration")
        if key in _OF_ALL:
            raise SpecError(f"{raw.origin('run', key)}: is the same for all pipelines; write it below [run]")


def assign(raw: RawMixed, assignment: str) -> None:
    """Apply one ``--set``.

    Raises:
        SpecError: not of the right form, an unknown pipeline or section, or a key at the wrong place.
    """
    if not assignment.startswith("pipeline."):
        section = assignment.partition(".")[0].strip()
        if section in SECTIONS and section not in _COMMON:
            raise SpecError(f"--set {assignment}: is each pipeline's own: --set pipeline.NAME.{assignment}")
        put_assignment(raw.common, assignment)
        return
    name, _, rest = assignment.removeprefix("pipeline.").partition(".")
    if name not in raw.pipelines:
        hint = nearest(name, raw.pipelines) or f"; there are {', '.join(raw.pipelines)}"
        raise SpecError(f"--set {assignment}: no pipeline '{name}'{hint}")
    put_assignment(raw.pipelines[name], rest)
    _check_place(raw.pipelines[name], name)


def resolve_mixed(raw: RawMixed) -> MixedSpec:
    """Return the validated mixed run.

    Raises:
        SpecError: a key or value is wrong; the message names the pipeline.
        PluginError: a pipeline's workload or loader is unknown.
    """
    phases = phases_of(list(raw.pipelines))
    if "epochs" in raw.common.values["run"]:
        raise SpecError(
            f"{raw.common.origin('run', 'epochs')}: the phases of a mixed run last equally long; use run.duration"
        )
    default_s = max(_LEAST_S, _TOTAL_S // len(phases))
    if "duration" not in raw.common.values["run"]:
        raw.common.put("run", "duration", f"{default_s}s", "[run]: duration")
    specs = {name: _resolved(raw, name) for name in raw.pipelines}
    first = next(iter(specs.values()))
    return MixedSpec(
        pipelines=specs,
        phases=phases,
        duration_ns=first.run.duration or default_s * 10**9,
        results=Path(first.run.results),
        label=first.run.label,
        store_url=first.store.url,
    )


def phases_of(names: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """Return each pipeline alone, all together, and every pair where that is not all."""
    alone = [(name,) for name in names]
    pairs = [(a, b) for n, a in enumerate(names) for b in names[n + 1 :]] if len(names) > 2 else []
    return (*alone, tuple(names), *pairs)


def _resolved(raw: RawMixed, name: str) -> RunSpec:
    own = raw.pipelines[name]
    workload = own.values["workload"].get("name")
    place = f"{own.file}: " if own.file else ""
    if workload is None:
        raise SpecError(f"{place}pipeline.{name}: no workload named: write workload.name = 'small-files', or another's")
    if workload == MIXED:
        raise SpecError(f"{place}pipeline.{name}.workload.name = 'mixed': a pipeline cannot be mixed itself")
    merged = RawSpec(file=own.file)
    for source in (raw.common, own):
        for section, values in source.values.items():
            for key, value in values.items():
                if (section, key) != ("workload", "name") or source is own:
                    merged.put(section, key, value, source.origins.get((section, key), f"{section}.{key}"))
    try:
        return _with_warmup(resolve(merged), merged)
    except IoprofError as error:
        told = str(error)
        raise type(error)(told if f"pipeline.{name}" in told else f"pipeline.{name}: {told}") from error


def _with_warmup(spec: RunSpec, raw: RawSpec) -> RunSpec:
    """Return the spec of a pipeline whose first step is warm-up: at it, pipelines are held until all can begin.

    Raises:
        SpecError: its figures would have that step.
    """
    if spec.run.warmup == 0:
        raise SpecError(
            f"{raw.origin('run', 'warmup')} = 0: the first step of a pipeline waits for those beside it too, which "
            "belongs to no figure; use run.warmup = 1 or more"
        )
    return spec
