"""Flags of the command line as spec values: the common ones by table, a plug-in's own by its parameters' names."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from ioprof.errors import UsageError, nearest
from ioprof.plugins import MIXED, find_loader, list_loaders
from ioprof.spec.dlio import PREFIX, read_dlio
from ioprof.spec.model import AcceleratorSection, CheckpointSection, LoaderSection, RunSection
from ioprof.spec.resolve import named_loader, named_workload
from ioprof.spec.sources import COMMAND_LINE, YAML, RawSpec, put_assignment, read_toml

SWITCHES = frozenset({"drop-caches"})
"""Flags that need no value."""
ALIASES = {"store": ("store", "url"), "loader": ("loader", "name"), "accelerator": ("accelerator", "name")}


def raw_spec(
    target: str, flags: Iterable[tuple[str, str]], assignments: Iterable[str], extra: Sequence[str]
) -> RawSpec:
    """Return the values of a command line, unvalidated.

    Args:
        target: a workload's name or the path of a spec file.
        flags: common flags that were given, name without dashes and value.
        assignments: the ``--set`` values, applied last.
        extra: further words of the command line: parameters of the workload or the loader.
    Raises:
        SpecError: the file or an assignment is wrong.
        PluginError: the workload or loader is unknown.
        UsageError: a word is no flag of anything here.
    """
    flags, extra = list(flags), list(extra)
    raw = read_dlio(target, _taken(extra, "scale")) if target.startswith(PREFIX) else _target(target)
    for name, value in flags:
        if name in ALIASES:
            raw.put(*ALIASES[name], value, f"--{name}")
    sections = flag_sections(raw)
    for name, value in [*((n, v) for n, v in flags if n not in ALIASES), *_pairs(extra, SWITCHES)]:
        key = name.replace("-", "_")
        if key not in sections:
            hint = _of_another_loader(raw, key) or nearest(f"--{name}", _shown(sections))
            raise UsageError(f"--{name}: no such flag{hint}")
        raw.put(*sections[key], value, f"--{name}")
    for assignment in assignments:
        put_assignment(raw, assignment)
    return raw


def flag_sections(raw: RawSpec) -> dict[str, tuple[str, str]]:
    """Return every key that may be a flag, and the section and key it stands for; the workload's own come first."""
    _, workload = named_workload(raw)
    _, loader = named_loader(raw)
    found: dict[str, tuple[str, str]] = {}
    owners = (
        ("workload", workload.Params),
        ("loader", loader.Params),
        ("loader", LoaderSection),
        ("run", RunSection),
        ("accelerator", AcceleratorSection),
    )
    for section, model in owners:
        for key in model.model_fields:
            if key not in ("name", *found):
                found[key] = (section, key)
    for key in CheckpointSection.model_fields:
        # Its keys are common words (size, keep): as flags they say whose they are.
        found.setdefault(f"checkpoint_{key}", ("checkpoint", key))
    return found


def refuse_flags_of_other_sections(raw: RawSpec) -> None:
    """Refuse what was typed but does not touch the dataset; a spec file may say it, as the run needs it.

    Raises:
        UsageError: a flag or an assignment is about the run, the loader or the accelerator.
    """
    _refuse_idle_flags(raw, ("seed",), "has no effect on a dataset, which is all that prepare makes")


def refuse_flags_without_part_in_probe(raw: RawSpec) -> None:
    """Refuse what was typed but does not touch what a probe reads, and when; a spec file may say it.

    Raises:
        UsageError: a flag or an assignment is about the loader, the accelerator or the run's steps.
    """
    keys = ("seed", "cache", "duration", "results", "label")
    _refuse_idle_flags(raw, keys, "has no part in a probe, which reads without loader and accelerator")


def _refuse_idle_flags(raw: RawSpec, of_run: Sequence[str], why: str) -> None:
    for (section, key), origin in raw.origins.items():
        counts = section in ("workload", "store") or (section == "run" and key in of_run)
        if origin.startswith("--") and not counts:
            raise UsageError(f"{origin}: {why}; give it to ioprof run")


def _taken(words: list[str], name: str) -> str | None:
    """Take a flag out of the words that belong to a plug-in; return its value, the last one where it is repeated."""
    found: str | None = None
    for at in reversed(range(len(words))):
        if words[at].startswith(f"--{name}="):
            found = found or words.pop(at).partition("=")[2]
        elif words[at] == f"--{name}" and at + 1 < len(words):
            found = found or words[at + 1]
            del words[at : at + 2]
    return found


def _target(target: str) -> RawSpec:
    if target == MIXED:
        raise UsageError("mixed: is several workloads at once, known to run, prepare and suite; name one of them here")
    if target.endswith(YAML) and "/" not in target:
        raise UsageError(f"{target}: for a DLIO configuration write dlio:{target}")
    if target.endswith(".toml") or "/" in target:
        return read_toml(Path(target))
    raw = RawSpec()
    raw.put("workload", "name", target, COMMAND_LINE)
    return raw


def _of_another_loader(raw: RawSpec, key: str) -> str:
    """Return which loaders have the flag that this one has not, or an empty string."""
    having = [
        one.name for one in list_loaders() if one.missing is None and key in find_loader(one.name).Params.model_fields
    ]
    have = "has" if len(having) == 1 else "have"
    return f" of the loader {named_loader(raw)[0]}; {', '.join(having)} {have} it" if having else ""


def _shown(sections: Iterable[str]) -> list[str]:
    return [f"--{key.replace('_', '-')}" for key in (*sections, *ALIASES)]


def _pairs(words: Sequence[str], switches: Collection[str]) -> list[tuple[str, str]]:
    """Read ``--name value`` and ``--name=value``; a switch without a value is true.

    Raises:
        UsageError: a word that is neither, or a flag without a value.
    """
    pairs: list[tuple[str, str]] = []
    left = list(words)
    while left:
        word = left.pop(0)
        if not word.startswith("--"):
            raise UsageError(f"'{word}': not expected here; flags look like --files 1M")
        name, equals, value = word[2:].partition("=")
        if not equals and name in switches and (not left or left[0].startswith("--")):
            value = "true"
        elif not equals:
            if not left:
                raise UsageError(f"--{name}: give it a value")
            value = left.pop(0)
        pairs.append((name, value))
    return pairs
