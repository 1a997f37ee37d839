"""The command line of a run with some flags changed: what to type next."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from ioprof.trace.run_record import RunRecord


def command_with(run: RunRecord, flags: Mapping[str, str]) -> str | None:
    """Return the command that made a run, with flags given anew; None where no `ioprof run` made it.

    Args:
        run: the record.
        flags: values by flag, without dashes; those that the command has are replaced, others added at its end. A
            ``--set`` of the same loader's or accelerator's key is applied last of all by a run, so it is taken out.
    """
    words = list(run.command)
    if len(words) < 3 or words[1] != "run":
        return None
    kept: list[str] = ["ioprof"]
    rest = iter(words[1:])
    for word in rest:
        name, _, value = word.partition("=")
        if name.removeprefix("--") in flags and name.startswith("--"):
            if not value:
                next(rest, None)
        elif word == "--set":
            assignment = next(rest, "")
            if not _sets(assignment, flags):
                kept += [word, assignment]
        elif not (word.startswith("--set=") and _sets(value, flags)):
            kept.append(word)
    kept += [part for name, value in flags.items() for part in (f"--{name}", value)]
    return shlex.join(kept)


def _sets(assignment: str, flags: Mapping[str, str]) -> bool:
    key = assignment.partition("=")[0].rpartition(".")[2]
    return key.replace("_", "-") in flags
