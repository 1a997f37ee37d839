"""The command that made a run, with some of its settings changed: what to type next."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping, Sequence

from ioprof.trace.run_record import RunRecord

_ALIASES = {("store", "url"): "store", ("loader", "name"): "loader", ("accelerator", "name"): "accelerator"}


def changed_command(run: RunRecord, settings: Mapping[tuple[str, str], str]) -> str | None:
    """Return the run's own command line with settings changed; None where it was not started by ``ioprof run``.

    Args:
        run: the record.
        settings: the new values as flags take them, by section and key of the spec.
    """
    if not _is_run_command(run.command):
        return None
    words = without_settings(run.command, settings)
    for (section, key), text in settings.items():
        words += [f"--{flag_of(section, key)}", text]
    return shlex.join(words)


def other_workload_command(run: RunRecord, workload: str, settings: Mapping[tuple[str, str], str]) -> str | None:
    """Return the run's own command line for another workload: what was said of the old one's data is left out."""
    if not _is_run_command(run.command):
        return None
    own = {("workload", key): "" for key in run.spec.get("workload", {})}
    words = without_settings(run.command, {**own, **settings})
    words[2:3] = [workload]
    for (section, key), text in settings.items():
        words += [f"--{flag_of(section, key)}", text]
    return shlex.join(words)


def _is_run_command(command: Sequence[str]) -> bool:
    return list(command[:2]) == ["ioprof", "run"] and len(command) > 2 and not command[2].startswith("-")


def flag_of(section: str, key: str) -> str:
    """Return the flag of a setting, without its dashes."""
    prefix = "checkpoint_" if section == "checkpoint" else ""
    return _ALIASES.get((section, key), prefix + key).replace("_", "-")


def without_settings(command: Sequence[str], settings: Collection[tuple[str, str]]) -> list[str]:
    """Return a command line without the words that say anything of some settings, as flags or by ``--set``."""
    flags = {f"--{flag_of(section, key)}" for section, key in settings}
    assigned = {f"{section}.{key}" for section, key in settings}
    left, kept = list(command), []
    while left:
        word = left.pop(0)
        name, equals, value = word.partition("=")
        if name in flags:
            if not equals and left:
                left.pop(0)
        elif word == "--set" and left and left[0].partition("=")[0] in assigned:
            left.pop(0)
        elif not (name == "--set" and value.partition("=")[0] in assigned):
            kept.append(word)
    return kept
